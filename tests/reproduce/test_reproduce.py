"""The paper's tables through the front door, on a small simulated benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prvr.cli import main
from prvr.data.folder import DataFolder
from prvr.evaluation.measured import Measured
from prvr.reproduce import published
from tests.reproduce.make import SMALL, qvhighlights

SETTINGS = [word for setting in SMALL for word in ("--set", setting)]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return qvhighlights(tmp_path_factory.mktemp("benchmark"))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reproduced")


def reproduce(what: str, pack: Path, out: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[Any, str]:
    capsys.readouterr()
    words = ["reproduce", what, "--data", str(pack), "--out", str(out), "--json", *SETTINGS, *more]
    assert main(words) == 0, capsys.readouterr().err
    shown = capsys.readouterr()
    return json.loads(shown.out), shown.err


def test_table1_has_every_row_twice_and_a_second_call_only_reads(
    pack: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet, said = reproduce("table1", pack, out, capsys, "--seeds", "2")
    assert [line["title"] for line in sheet["lines"]] == list(published.TABLE1)
    assert sheet["lines"][-1]["paper"] == list(published.TABLE1["+ adaptive CBVA"])
    assert all(len(cell) == 2 for line in sheet["lines"] for cell in line["ours"])
    assert said.count(" epochs, best ") == 10
    assert "SIMULATED" in said
    assert "SIMULATED" in sheet["notes"][0]
    assert sheet["stamps"] == ["SIMULATED features: says nothing about real videos"]
    assert "protocol published" in sheet["notes"][0], "val is the split that is reported"
    again, said = reproduce("table1", pack, out, capsys, "--seeds", "2")
    assert again == sheet
    assert " epochs, best " not in said
    reports = [Measured.load(path) for path in (out / "reports").glob("qvhighlights-baseline-*.json")]
    assert sorted(one.report.fused.sum_r for one in reports) == sorted(sheet["lines"][0]["ours"][4])
    assert {one.report.protocol for one in reports} == {"published"}
    assert all(one.report.simulated and one.report.data and one.report.settings for one in reports)
    for suffix in ("md", "tex"):
        written = (out / f"table1.{suffix}").read_text()
        assert "adaptive CBVA" in written
        assert written.index("SIMULATED features: says nothing") < written.index("ours"), "on its face"


def test_an_interrupted_table_goes_on(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*_: object, device: str) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prvr.reproduce.lab.evaluate_run", stop)  # after the first run, before its report
        assert main(["reproduce", "table1", "--data", str(pack), "--out", str(tmp_path), *SETTINGS]) == 130
    _, said = reproduce("table1", pack, tmp_path, capsys)
    assert said.count(" epochs, best ") == 4, "the first row was trained before"


def test_the_clean_protocol_holds_a_part_of_train_out(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["train", "prvr.methods.msc.runs:qvhighlights", "--data", str(pack), "--out", str(run), *SETTINGS]
    assert main([*words, "--protocol", "clean"]) == 0
    assert json.loads((run / "config.json").read_text())["selected_on"] == "10% of train, held out"
    capsys.readouterr()
    assert main(["evaluate", str(run), "--data", str(pack), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["split"], report["protocol"]) == (DataFolder(pack).reported, "clean")
    assert report["moments"]["num_queries"] == report["num_queries"] == 18
    assert main([*words]) == 1, "the same folder under the other protocol"
    assert main(["evaluate", str(run), "--data", str(pack), "--against", str(run), "--intervals"]) == 0
    assert "Paired by query" in capsys.readouterr().out


def test_a_table_of_runs_in_processes_is_the_same_and_a_run_that_fails_is_a_note(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet, _ = reproduce("table9", pack, tmp_path / "one", capsys)
    same, said = reproduce("table9", pack, tmp_path / "many", capsys, "--workers", "2")
    assert same == sheet
    assert said.count(" epochs, best ") == 2
    for suffix in ("md", "tex", "json"):
        ours, theirs = ((tmp_path / folder / f"table9.{suffix}").read_bytes() for folder in ("many", "one"))
        assert ours == theirs
    assert len(list((tmp_path / "many" / "logs").iterdir())) == 2
    (baseline,) = (tmp_path / "many" / "runs").glob("*-baseline-*/")
    (baseline / "last.safetensors").unlink()
    words = ["reproduce", "table9", "--data", str(pack), "--out", str(tmp_path / "many"), "--json", *SETTINGS]
    assert main([*words, "--workers", "1"]) == 1
    (*notes, why) = json.loads(capsys.readouterr().out)["notes"]
    assert notes == sheet["notes"]
    assert why.startswith("Failed: baseline, seed ")
    assert f"{baseline}: holds model.safetensors but no last.safetensors" in why
    assert f"(log: {tmp_path / 'many' / 'logs' / baseline.name}.log)" in why


@pytest.mark.parametrize("what", ["table6", "table7", "table8", "table9", "table4"])
def test_the_other_tables_measure_the_method_beside_the_paper(
    what: str, pack: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet, _ = reproduce(what, pack, out, capsys)
    ours = [line for line in sheet["lines"] if line["title"].startswith("MSC")]
    assert ours
    assert all(any(cell for cell in line["ours"]) for line in ours)
    assert any(value is not None for line in sheet["lines"] for value in line["paper"])


def test_what_has_no_data_is_said(pack: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet, _ = reproduce("tableA1", pack, out, capsys)
    assert all(not cell for line in sheet["lines"] for cell in line["ours"])
    assert sheet["notes"][0] == "TVR: no data were given, so ours are n/a."
    assert main(["reproduce", "table1", "--data", str(pack), "--data", str(pack), "--out", str(out)]) == 1
    assert "give one folder a benchmark" in capsys.readouterr().err
    assert main(["reproduce", "table1", "--data", str(pack), "--out", str(out), "--teacher", "CLIP-L"]) == 1
    assert "expected NAME=PATH" in capsys.readouterr().err


def test_table4_reads_the_other_systems_from_what_was_compared(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the same command line of `compare` trained them: nothing else is taken, and nothing of theirs is trained."""
    compared = tmp_path / "compared"
    once = ["--set", "train.epochs=1", "--set", "optim.lr=2e-3"]
    words = ["compare", "--data", str(pack), "--out", str(compared), "--systems", "ms-sl,bgm-net", *SETTINGS, *once]
    assert main([*words, "--json"]) == 0
    theirs = {line["title"]: line["ours"] for line in json.loads(capsys.readouterr().out)["recalls"]["lines"]}
    more = ("--compared", str(compared), *once)
    sheet, said = reproduce("table4", pack, tmp_path / "out", capsys, *more)
    ours = {line["title"]: line["ours"] for line in sheet["lines"]}
    assert list(ours) == list(published.TABLE4)
    assert (ours["MS-SL"], ours["BGM-Net"]) == (theirs["MS-SL"], theirs["BGM-Net"])
    assert ours["MSC"][4]
    assert ours["GMMFormer"] == [[]] * 5
    assert "no whole runs of gmmformer,amdnet,gmmformer-v2,protoprvr in" in "\n".join(sheet["notes"])
    assert said.count(" epochs, best ") == 1, "MSC's own"
    sheet, _ = reproduce("table4", pack, tmp_path / "out", capsys, *more, "--set", "optim.lr=3e-3")
    assert {line["title"]: line["ours"] for line in sheet["lines"]}["MS-SL"] == [[]] * 5, "a run of other settings"


def test_another_teacher_changes_table3c_alone(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = next((pack / "TextData").glob("*.h5"))
    words = ["train", "prvr.methods.msc.runs:qvhighlights", "--data", str(pack), *SETTINGS]
    assert main([*words, "--teacher", str(text), "--out", str(tmp_path / "run"), "--json"]) == 0


def test_figures_are_drawn_of_what_was_trained(
    pack: Path, out: Path, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--set", "model.hidden=16", "--set", "model.heads=2", "--set", "batch_videos=4", "--set", "train.epochs=1"]
    for figure in ("figure1", "figure3"):
        assert main(["reproduce", figure, "--data", str(mine), "--out", str(mine / "out"), *small]) == 0
        said = capsys.readouterr().out
        assert said.count("MSC") == (2 if figure == "figure1" else 1)
        content = (mine / "out" / f"{figure}.png").read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) > 20_000, "an empty plot is smaller"
        assert b"SIMULATED" not in content, "these are measured on films"
        assert b"GENERATED videos" in content
    words = ["reproduce", "figure3", "--data", str(mine), "--out", str(mine / "out"), *small, "--query", "nobody"]
    assert main(words) == 1
    assert "no such query" in capsys.readouterr().err
