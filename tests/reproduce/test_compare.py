"""All systems under one protocol, through the front door, on a small simulated benchmark and on the tiny world."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from prvr.cli import main
from prvr.core.errors import ConfigError, DataError
from prvr.core.types import FeatureSpec, QueryBatch, VideoFeatures
from prvr.data.benchmarks import open_annotations
from prvr.data.folder import DataFolder
from prvr.data.simulate import SimulateConfig, simulate
from prvr.methods.msc import runs as msc
from prvr.methods.msc.network import METHOD
from prvr.methods.recipe import Recipe, load_recipe
from prvr.reproduce import published
from prvr.reproduce.efficiency import multiply_adds, parameters
from prvr.reproduce.systems import SYSTEMS, choose, recipe_for, value_of
from tests.methods.names import named
from tests.reproduce.make import qvhighlights
from tests.runs.test_teacher import write_teacher

WIDTH = 16  # of frames and of words, which share no space all the same: they are simulated
SMALL = [word for setting in ("model.hidden=16", "model.heads=2", "batch_videos=5") for word in ("--set", setting)]
HERE = "tests.reproduce.test_compare:"


def picky() -> Recipe:
    """A private method that no features suit."""

    def fit(_: object, features: FeatureSpec) -> None:
        raise ConfigError(f"{features.name}: have no sound, which this system listens to")

    return replace(msc.qvhighlights(), target=f"{HERE}picky", title="picky", method=replace(METHOD, fit=fit))


def _stumble(_: object) -> Any:
    raise DataError("there is a hole in the floor; mend it")


def stumbling() -> Recipe:
    """A private method that fails when it is trained, and not before."""
    return replace(msc.qvhighlights(), target=f"{HERE}stumbling", title="stumbling", objective=_stumble)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("benchmark")
    qvhighlights(root)
    config = SimulateConfig(video_width=WIDTH, text_width=WIDTH, noise=0.3, distractors=50)
    simulate(open_annotations(root / "authors"), root / "alike", config=config)
    return root / "alike"


def compared(
    data: Path, out: Path, systems: str, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[dict[str, Any], str]:
    capsys.readouterr()
    words = ["compare", "--data", str(data), "--out", str(out), "--systems", systems, "--budget", "1", "--json", *SMALL]
    assert main([*words, *more]) == 0, capsys.readouterr().err
    shown = capsys.readouterr()
    return json.loads(shown.out), shown.err


def test_systems_side_by_side_and_a_second_call_only_reads(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    systems = f"ms-sl,{HERE}picky,gmmformer-v2,msc"
    more = ("--seeds", "2", "--set", "model.widths=none,1.0")
    found, said = compared(pack, tmp_path, systems, capsys, *more)
    recalls = {line["title"]: line for line in found["recalls"]["lines"]}
    assert list(recalls) == ["MS-SL", "picky", "GMMFormer v2", "MSC"]
    assert recalls["MSC"]["paper"] == list(published.TABLE4["MSC"])
    assert [len(line["ours"][4]) for line in recalls.values()] == [2, 0, 2, 2], "a seed each where there is one"
    assert said.count(" 1 epochs, best ") == 6
    notes = "\n".join(found["recalls"]["notes"])
    assert "SIMULATED" in notes
    assert "Budget 1 epochs" in notes
    assert "picky failed: " in notes
    assert "have no sound" in notes

    columns = found["costs"]["columns"]
    costs = {line["title"]: dict(zip(columns, line["ours"], strict=True)) for line in found["costs"]["lines"]}
    assert {title: cost["index"] for title, cost in costs.items()} == {
        "MS-SL": "re-rank",
        "picky": [],
        "GMMFormer v2": "yes",
        "MSC": "yes",
    }
    assert costs["MS-SL"]["bytes/video"] == [2 * 528 * 16 * 2], "proposals, and what each guides to"
    assert costs["MSC"]["bytes/video"] == [(128 + 32) * 16 * 2]
    assert costs["MSC"]["parameters, M"][0] > costs["MS-SL"]["parameters, M"][0] > 0
    for title in ("MS-SL", "GMMFormer v2", "MSC"):
        assert all(costs[title][name] for name in columns), title
    assert len(costs["MS-SL"]["R1@0.5"]) == 2

    again, said = compared(pack, tmp_path, systems, capsys, *more)
    assert again == found
    assert " epochs, best " not in said
    for suffix in ("md", "tex", "json"):
        assert "GMMFormer v2" in (tmp_path / f"compare-qvhighlights-costs.{suffix}").read_text()
    drawn = (tmp_path / "compare-qvhighlights.png").read_bytes()
    assert drawn.startswith(b"\x89PNG")
    assert b"SIMULATED features" in drawn, "its title says what it is of"


def test_two_rows_that_are_one_run_are_refused(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    twice = "prvr.methods.msc.runs:qvhighlights"
    words = ["compare", "--data", str(pack), "--out", str(tmp_path / "out"), "--systems", f"msc,ms-sl,{twice}"]
    assert main([*words, *SMALL]) == 1
    assert f"--systems: msc and {twice} are one and the same run" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_needs_a_common_space_is_a_line_that_says_why(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frames and sentences of simulated features are equally wide, but one is a random map of the other."""
    found, said = compared(pack, tmp_path, "zero-shot,trace,tf-prvr,dl-dkd,dl-dkd++,gmmformer", capsys)
    lines = {line["title"]: line["ours"][4] for line in found["recalls"]["lines"]}
    refused = ["zero-shot", "zero-shot + TRACE", "TF-PRVR", "DL-DKD", "DL-DKD++"]
    assert [title for title, ours in lines.items() if not ours] == refused
    notes = "\n".join(found["recalls"]["notes"])
    for title in refused:
        why = f"{title} failed: simulated_qvhighlight_slowfast_clip: simulated frames are a random map of what is said"
        assert why in notes
        assert f"{title}: simulated_" in said
    assert notes.count("bring those of a CLIP-type encoder") == 3
    assert notes.count("`--teacher FOLDER`") == 2
    found, _ = compared(pack, tmp_path, "dl-dkd", capsys, "--set", "loss.distill=0")
    assert found["recalls"]["lines"][0]["ours"][4], "it learns without a teacher"
    clip = write_teacher(tmp_path / "clip", DataFolder(pack))
    found, said = compared(pack, tmp_path, "dl-dkd,dl-dkd++,msc", capsys, "--teacher", str(clip))
    assert all(line["ours"][4] for line in found["recalls"]["lines"]), said
    assert any("taught by new_clip_vit_32_x_vid_features" in note for note in found["recalls"]["notes"])


def test_an_interrupted_comparison_goes_on(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*_: object, device: str) -> None:
        raise KeyboardInterrupt

    words = ["compare", "--data", str(pack), "--out", str(tmp_path), "--systems", "ms-sl,msc", "--budget", "1", *SMALL]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prvr.reproduce.lab.evaluate_run", stop)  # after the first run, before its report
        assert main(words) == 130
    _, said = compared(pack, tmp_path, "ms-sl,msc", capsys)
    assert "MS-SL, seed" not in said, "was trained before"
    assert "MSC, seed" in said


def test_runs_in_processes_killed_and_gone_on_with_end_with_the_same_table(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The driver is killed when the first run has its first epoch; what is there then goes on."""
    systems, more = "ms-sl,msc", ("--budget", "2")
    one, many = tmp_path / "one", tmp_path / "many"
    compared(pack, one, systems, capsys, *more)
    words = ["compare", "--data", str(pack), "--out", str(many), "--systems", systems, *SMALL, *more, "--workers", "2"]
    driver = subprocess.Popen([sys.executable, "-m", "prvr", *words], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 240
    while not list(many.glob("runs/*/last.safetensors")):
        assert driver.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    driver.kill()
    driver.wait()
    compared(pack, many, systems, capsys, *more, "--workers", "2")
    for suffix in ("md", "tex", "json"):
        ours, theirs = ((folder / f"compare-qvhighlights.{suffix}").read_bytes() for folder in (many, one))
        assert ours == theirs
    runs = list(many.glob("runs/*/"))
    assert len(runs) == 2
    for run in runs:
        epochs = [json.loads(row)["epoch"] for row in (run / "metrics.jsonl").read_text().splitlines()]
        assert epochs == [0, 1], f"{run}: each once"
    _, said = compared(pack, many, systems, capsys, *more, "--workers", "2")
    assert " epochs, best " not in said, "a second call only reads"


@pytest.mark.parametrize("more", [(), ("--workers", "1")], ids=["here", "processes"])
def test_a_run_that_fails_is_a_line_and_the_others_go_on(
    more: tuple[str, ...], pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, said = compared(pack, tmp_path, f"{HERE}stumbling,ms-sl", capsys, *more)
    lines = {line["title"]: line["ours"] for line in found["recalls"]["lines"]}
    assert (lines["stumbling"], len(lines["MS-SL"][4])) == ([[]] * 5, 1)
    why = "stumbling, seed 9527: there is a hole in the floor; mend it"
    if more:
        (log,) = (tmp_path / "logs").glob("*stumbling*.log")
        why += f" (log: {log})"
    assert f"stumbling failed: {why}" in found["recalls"]["notes"]
    assert said.count(why) == 1


def test_the_world_has_no_published_rows_and_no_index_takes_what_needs_the_query(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, _ = compared(mine, tmp_path, "zero-shot,trace,ms-sl,tf-prvr", capsys)
    costs = dict(zip(found["costs"]["columns"], found["costs"]["lines"][0]["ours"], strict=True))
    assert (costs["parameters, M"], costs["index"]) == ([0], "yes")
    data = DataFolder(mine)
    lengths = [len(data.store.read(name).times) for name in {query.video_id for query in data.queries("test")}]
    assert costs["bytes/video"] == [sum(lengths) / len(lengths) * 128 * 2], "every frame, as 16-bit numbers"
    assert all(value is None for line in found["recalls"]["lines"] for value in line["paper"])
    assert all(line["ours"][4] for line in found["recalls"]["lines"])
    assert "No settings were published for these data" in "\n".join(found["recalls"]["notes"])
    run = next((tmp_path / "runs").glob("own-ms-sl-*"))
    assert main(["evaluate", str(run), "--data", str(mine)]) == 0
    capsys.readouterr()
    words = ["index", str(mine / "videos"), "--index", str(tmp_path / "index"), "--encoder", "world"]
    assert main([*words, "--model", str(run)]) == 1
    said = capsys.readouterr().err
    assert "MS-SL needs the query at the video" in said
    assert "can only re-rank" in said
    assert not (tmp_path / "index").exists(), "refused before anything is read"


def test_what_cannot_be_compared_is_said_at_once(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", "--data", str(pack), "--out", str(tmp_path), "--budget", "1"]
    for more, message in (
        (["--systems", "gmformer"], "did you mean 'gmmformer'?"),
        (["--systems", ","], "names no system"),
        (["--systems", "my_lab.runs:wide"], "no recipe 'my_lab.runs:wide'"),
        (["--systems", "msc,ms-sl", "--set", "loss.cvba=0"], "did you mean 'cbva'?"),
        (["--systems", "zero-shot", "--set", "optim.lr=1"], "no system of the comparison has this setting"),
        (["--systems", "msc", "--seeds", "0"], "--seeds 0"),
    ):
        assert main([*words, *more]) == 1, more
        assert message in capsys.readouterr().err, more
    assert main([*words, "--systems", f"{HERE}picky"]) == 1, "nothing could be compared"
    assert not (tmp_path / "runs").exists()


def test_every_row_of_the_paper_is_a_system() -> None:
    titles = {system.title for system in SYSTEMS}
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)
    assert set(published.TABLE4).union(*published.TABLE5.values()) <= titles
    assert {system.title for system in SYSTEMS if system.reconstructed} == {"ProtoPRVR", "ARL"}
    assert choose("all") == SYSTEMS
    assert [system.name for system in choose("msc, zero-shot,msc")] == ["msc", "zero-shot"]


def data_of(width: int) -> DataFolder:
    """Of a folder, all that choosing settings looks at."""
    spec = FeatureSpec(name="made up", revision="0", video_width=width, text_width=width)
    return cast(DataFolder, SimpleNamespace(spec=spec))


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda one: one.name)
def test_each_system_suits_any_data(system: Any) -> None:
    for benchmark in ("qvhighlights", "tvr", "activitynet", "charades", "own"):
        recipe = recipe_for(system, benchmark, data_of(24), budget=3, settings=["optim.lr=0.5"])
        recipe.fit(data_of(24).spec)
        if recipe.objective is None:
            continue
        same = msc.world() if benchmark == "own" else load_recipe(f"prvr.methods.msc.runs:{benchmark}")
        train = same.settings.train
        assert (recipe.settings.train.seed, recipe.settings.train.patience) == (train.seed, train.patience)
        assert recipe.settings.train.epochs == 3
        assert recipe.settings.optim.lr == 0.5
        assert value_of(recipe.settings, "model.hidden") == 96 or benchmark != "own"


def test_what_is_counted_in_epochs_shrinks_with_the_budget() -> None:
    (method,) = choose("msc")
    full = recipe_for(method, "qvhighlights", data_of(24)).settings
    assert replace(full, model=msc.qvhighlights().settings.model) == msc.qvhighlights().settings
    half = recipe_for(method, "qvhighlights", data_of(24), budget=50).settings
    assert (half.train.epochs, half.schedule_epochs, half.loss.hard_from_epoch) == (50, 50, 10)
    assert half.train.patience == full.train.patience
    (other,) = choose("bgm-net")
    small = recipe_for(other, "own", data_of(24), budget=20).settings
    assert (small.loss.hard_from_epoch, small.loss.match_from_epoch) == (4, 4)


def test_multiply_adds_of_the_published_networks() -> None:
    """The paper's Table 7; parameters as the released code has them."""
    video = VideoFeatures(torch.randn(128, 2816), torch.arange(128) * 1.0, 128.0)
    query = QueryBatch(
        words=torch.randn(1, 9, 512), valid=torch.ones(1, 9, dtype=torch.bool), sentence=torch.randn(1, 512)
    )
    for title, flops, number in (("msc", 2.78, 32_142_880), ("mssl", 0.37, 4_574_592)):
        recipe = load_recipe(named(f"{title}:qvhighlights"))
        model = recipe.build().eval()
        counted = multiply_adds(cast(Any, model), recipe.prepared.make([video]), query)
        assert parameters(model) == number
        assert counted / 1e9 == pytest.approx(flops, rel=0.01 if title == "msc" else 0.02), "rounded by the paper"
