"""A sweep of settings: a run for each point of a grid, and a table of all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prvr.cli import main
from prvr.core.errors import ConfigError
from prvr.reproduce.sweep import points
from tests.reproduce.make import SMALL, qvhighlights

RECIPE = "prvr.methods.msc.runs:qvhighlights"
SETTINGS = [word for setting in (*SMALL, "train.epochs=1") for word in ("--set", setting)]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return qvhighlights(tmp_path_factory.mktemp("benchmark"))


def swept(pack: Path, out: Path, capsys: pytest.CaptureFixture[str], *more: str, code: int = 0) -> tuple[Any, str]:
    capsys.readouterr()
    words = ["train", RECIPE, "--data", str(pack), "--out", str(out), "--json", *SETTINGS]
    assert main([*words, *more]) == code, capsys.readouterr().err
    shown = capsys.readouterr()
    return json.loads(shown.out), shown.err


def test_a_grid_is_every_choice_of_one_value_each() -> None:
    assert points(["optim.lr=1e-4, 3e-4", "batch_videos=8"]) == [
        ("optim.lr=1e-4", "batch_videos=8"),
        ("optim.lr=3e-4", "batch_videos=8"),
    ]
    assert points(["model.widths=none,1;none,2"]) == [("model.widths=none,1",), ("model.widths=none,2",)]
    for grid in (["optim.lr"], ["optim.lr="], ["optim.lr=1,"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(ConfigError, match="--grid "):
            points(grid)


def test_a_sweep_in_processes_has_the_table_of_one_by_one_and_a_second_call_only_reads(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ("--grid", "optim.lr=1e-3,2e-2", "--name", "mine")
    sheet, said = swept(pack, tmp_path / "one", capsys, *grid)
    assert [line["title"] for line in sheet["lines"]] == ["optim.lr=1e-3", "optim.lr=2e-2"]
    sums = [line["ours"][4][0] for line in sheet["lines"]]
    best = tmp_path / "one" / sheet["lines"][sums.index(max(sums))]["title"]
    assert sheet["notes"][1] == f"Best: {best.name}, in {best}."
    assert f"Next: prvr evaluate {best} " in said
    assert sheet["stamps"]
    assert "numbers to choose settings by, not to report" in sheet["notes"][0]
    assert json.loads((best / "about.json").read_text()) == {"name": f"mine, {best.name}"}
    assert json.loads((best / "config.json").read_text())["settings"]["optim"]["lr"] == float(best.name[9:])

    same, said = swept(pack, tmp_path / "many", capsys, *grid, "--workers", "2")
    assert said.count(": 1 epochs, best ") == 2
    for suffix in ("tex", "json"):
        ours, theirs = ((tmp_path / folder / f"grid.{suffix}").read_text() for folder in ("many", "one"))
        assert ours.replace("/many/", "/one/") == theirs, "the folder of the best is in a note"
    assert same["lines"] == sheet["lines"]
    again, said = swept(pack, tmp_path / "many", capsys, *grid)
    assert again == same
    assert " epochs, best " not in said

    (tmp_path / "many" / "optim.lr=1e-3" / "last.safetensors").unlink()
    left, said = swept(pack, tmp_path / "many", capsys, *grid, code=1)
    assert [bool(line["ours"][0]) for line in left["lines"]] == [False, True]
    assert left["notes"][-1].startswith("Failed: optim.lr=1e-3: ")
    assert "choose another folder" in left["notes"][-1]


def test_what_cannot_be_swept_is_said_before_anything_is_trained(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", RECIPE, "--data", str(pack), "--out", str(tmp_path / "out"), *SETTINGS]
    for more, message in (
        (["--grid", "optim.lr=1e-3,0.001"], "optim.lr=1e-3 and optim.lr=0.001 are one and the same run"),
        (["--grid", "optim.rl=1e-3"], "did you mean"),
        (["--grid", "model.video_width=24,25"], "are 24 wide, but the model expects 25"),
        (["--grid", "optim.lr=1", "--dry-run"], "--dry-run: is for one run; leave --grid out"),
        (["--grid", "optim.lr=1", "--notes", "so"], "--notes: is for one run; leave --grid out"),
        (["--workers", "2"], "--workers: is for many runs; add --grid"),
        (["--on", "ray"], "--on: is for many runs; add --grid"),
        (["--grid", "optim.lr=1", "--workers", "0"], "--workers 0: must be greater than 0"),
        (["--grid", "optim.lr=1", "--on", "rays"], "--on rays: expected ray for this machine"),
        (["--grid", "optim.lr=1", "--cpus-per-worker", "2"], "--cpus-per-worker: is for a cluster; add --on ray"),
        (["--grid", "optim.lr=1", "--on", "ray", "--gpus-per-worker", "-1"], "--gpus-per-worker -1: must be greater"),
    ):
        assert main([*words, *more]) == 1, more
        assert message in capsys.readouterr().err, more
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main([*words, "--grid", "optim.lr=1"]) == 1
    assert "is not for torchrun" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
