"""The commands as people type them: results on stdout, one line for a mistake, the promised exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prvr.cli import main
from prvr.core.text import clock
from prvr.data.annotations import read_queries, write_queries

TINY = [
    *("--set", "model.hidden=16", "--set", "model.heads=2", "--set", "batch_videos=4"),
    *("--set", "train.epochs=2", "--set", "train.patience=5"),
]


def test_from_a_folder_to_an_answer(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole way with a trained model, through the front door only."""
    run, index = mine / "run", mine / "index"
    assert main(["train", "prvr.methods.msc.runs:world", "--data", str(mine), "--out", str(run), *TINY, "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["epochs"] == 2
    assert main(["evaluate", str(run), "--data", str(mine), "--split", "test", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["num_videos"] == len({query.video_id for query in read_queries(mine / "annotations/test.jsonl")})
    assert report["fused"]["R@100"] == 100
    assert main(["index", str(mine / "videos"), "--index", str(index), "--model", str(run)]) == 0
    text = read_queries(mine / "annotations" / "test.jsonl")[0].text
    capsys.readouterr()
    assert main(["search", text, "--index", str(index), "-k", "3", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["query"] == text
    hits = answer["hits"]
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    for hit in hits:
        assert Path(hit["path"]).is_file()
        assert all(0 <= start < end <= hit["duration_s"] for start, end in hit["moments"])
    shutil.rmtree(run)
    assert main(["search", text, "--index", str(index), "-k", "3"]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 4
    assert Path(hits[0]["path"]).name in out.splitlines()[1]


def test_recipes_are_listed_with_what_can_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 50
    assert "prvr.methods.zero_shot.runs:max_over_frames" in {line.split()[0] for line in lines}
    assert main(["recipes", "curvspec", "i3d", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = ("tvr_i3d", "activitynet_i3d", "charades_i3d")
    assert [x["recipe"] for x in found] == [f"prvr.methods.curvspec.runs:{name}" for name in names]
    assert found[0]["settings"]["model"]["video_width"] == 3072
    assert main(["recipes", "prvr.methods.curvspec.runs:activitynet", "--show"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("prvr.methods.curvspec.runs:activitynet  CurvSpec\n")
    assert "    model.widths=none,2.0,4.0,8.0\n" in shown
    assert "    model.tangent_width=127\n" in shown
    assert "    model.learned_weights=true\n" in shown
    assert main(["recipes", "no-such"]) == 1
    assert "no recipe is called by no-such" in capsys.readouterr().err


def test_runs_without_a_folder_lie_where_their_method_says(
    mine: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mine)
    for method in ("msc", "mssl"):
        assert (
            main(["train", f"prvr.methods.{method}.runs:world", "--data", ".", *TINY, "--set", "train.epochs=1"]) == 0
        )
        assert capsys.readouterr().out.startswith(f"runs/{method}-world  best SumR ")
        assert (mine / "runs" / f"{method}-world" / "model.safetensors").exists()


def test_a_file_that_cannot_be_read_is_code_3_and_the_rest_is_indexed(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mine / "videos" / "broken.mp4").write_bytes(b"\0" * 100)
    assert main(["index", str(mine / "videos"), "--index", str(mine / "index"), "--json"]) == 3
    shown = capsys.readouterr()
    assert json.loads(shown.out)["videos"] == 12
    assert "skipped" in shown.err
    assert "broken.mp4" in shown.err
    assert "1 could not be read or not whole" in shown.err
    assert main(["index", "--failures", "--index", str(mine / "index")]) == 0
    line = capsys.readouterr().out
    assert line.startswith(f"{mine / 'videos' / 'broken.mp4'}: is not a video")
    shutil.copy(next((mine / "videos").glob("*.webm")), mine / "videos" / "broken.mp4")
    assert main(["index", "--retry", "--index", str(mine / "index")]) == 0
    assert "1 video read now" in capsys.readouterr().err
    assert main(["index", "--failures", "--index", str(mine / "index")]) == 0
    assert capsys.readouterr() == ("", f"{mine / 'index'}: every file could be read\n")


def test_an_index_uses_the_features_that_lie_in_its_folder(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", str(mine / "videos"), "--index", str(mine)]) == 0
    assert "0 videos read now, 12 unchanged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["serch", "x"], 2, "no 'serch'; did you mean 'search'?"),
        (["search"], 2, "required: query"),
        (["search", "x", "--topk", "3"], 2, "unrecognized arguments: --topk"),
        (["search", "x", "--index", "{nowhere}"], 1, "no index here; make one with `prvr index"),
        (["search", "x", "--index", "{nowhere}", "-k", "0"], 1, "-k 0: must be greater than 0"),
        (["index", "--failures", "--index", "{nowhere}"], 1, "no index here; make one with `prvr index"),
        (["index", "--retry", "--index", "{nowhere}"], 1, "no index here"),
        (["extract", "{nowhere}", "--out", "{out}"], 1, "nowhere"),
        (["extract", "{empty}", "--out", "{out}"], 1, "no video could be read below"),
        (["extract", "{empty}", "--out", "{file}/out"], 1, "cannot be written"),
        (["extract", "{empty}", "--out", "{out}", "--encoder", "wrold"], 1, "did you mean 'world'"),
        (["extract", "{empty}", "--out", "{out}", "--encoder", "./nothing"], 1, "nothing"),
        (["extract", "{empty}", "--out", "{out}", "--rate", "0"], 1, "--rate 0: must be greater than 0"),
        (["extract", "{empty}", "--out", "{out}", "--max-frames", "0"], 1, "--max-frames 0: must be greater than 0"),
        (["extract", "{empty}", "--out", "{out}", "--workers", "-1"], 1, "--workers -1: must be greater than 0"),
        (["extract", "{empty}", "--out", "{out}", "--device", "tpu"], 1, "tpu"),
        (["index", "{empty}", "--index", "{out}"], 1, "no video could be read below"),
        (["index", "{empty}", "--index", "{out}", "--model", "{empty}"], 1, "no run here (no config.json)"),
        (
            ["train", "prvr.methods.msc.runs:nothing", "--data", "{empty}"],
            1,
            "no recipe 'prvr.methods.msc.runs:nothing'",
        ),
        (["train", "no.such:thing", "--data", "{empty}"], 1, "no recipe 'no.such:thing'"),
        (["train", "prvr.methods.msc.runs:world", "--data", "{empty}"], 1, "no feature store here"),
        (["train", "prvr.methods.msc.runs:world", "--data", "{empty}", "--set", "optim.lrr=1"], 1, "did you mean 'lr'"),
        (["evaluate", "zero-shot", "--data", "{empty}"], 1, "no feature store here"),
        (["demo", "--size", "huge", "--out", "{out}"], 1, "--size huge: choose one of tiny, demo"),
    ],
)
def test_a_mistake_is_one_line_and_a_code(
    words: list[str], code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    places = {name: str(tmp_path / name) for name in ("nowhere", "out", "empty", "file")}
    try:
        found = main([word.format(**places) for word in words])
    except SystemExit as stop:
        found = int(str(stop.code))
    shown = capsys.readouterr()
    last = shown.err.strip().splitlines()[-1]
    assert (found, shown.out) == (code, "")
    assert says in last
    assert last.startswith("prvr")
    assert "Traceback" not in shown.err


@pytest.mark.parametrize("query", ["", "  ", "word " * 10_000, "?!"])
def test_what_is_no_sentence_is_refused(query: str, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", str(mine / "videos"), "--index", str(mine)]) == 0
    capsys.readouterr()
    assert main(["search", query, "--index", str(mine)]) == 1
    assert capsys.readouterr().err.startswith("prvr search: query:")


def test_wrong_data_is_named(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = mine / "annotations" / "train.jsonl"
    queries = read_queries(train)
    write_queries(train, [*queries, type(queries[0])(query_id="x", video_id="ghost.webm", text="a ball")])
    words = ["train", "prvr.methods.msc.runs:world", "--data", str(mine), "--out", str(mine / "run"), *TINY]
    assert main(words) == 1
    assert "annotated videos have no features" in (line := capsys.readouterr().err)
    assert "'ghost.webm'" in line
    train.unlink()
    assert main(words) == 1
    assert "no annotations of split 'train' here; there are test, val" in capsys.readouterr().err
    write_queries(train, queries)
    assert main([*words, "--set", "model.video_width=64"]) == 1
    assert "frames of world@8ec7a7bca72e are 128 wide" in (line := capsys.readouterr().err)
    assert "`--set model.video_width=128`" in line


def test_a_damaged_or_foreign_run_is_refused(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = mine / "run"
    words = ["train", "prvr.methods.msc.runs:world", "--data", str(mine), "--out", str(run), *TINY]
    assert main(words) == 0
    assert main([*words, "--set", "optim.lr=0.5"]) == 1
    assert "holds a run of other settings" in capsys.readouterr().err
    weights = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    assert main(["evaluate", str(run), "--data", str(mine)]) == 1
    assert "model.safetensors" in capsys.readouterr().err
    (run / "model.safetensors").write_bytes(weights)
    config = json.loads((run / "config.json").read_text())
    config["settings"]["model"]["hidden"] = 32
    for changed, says in (
        (config, "config.json"),
        ({k: v for k, v in config.items() if k != "sum"}, "model.safetensors"),
    ):
        (run / "config.json").write_text(json.dumps(changed))
        assert main(["evaluate", str(run), "--data", str(mine)]) == 1
        assert says in capsys.readouterr().err


def test_ctrl_c_stops_safely(mine: Path) -> None:
    """A real signal to a real process: code 130, a word on how to go on, and what is finished stays."""
    for i in range(30):
        shutil.copy(mine / "videos" / "w0000.webm", mine / "videos" / f"copy{i:02}.webm")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "prvr", "extract", str(mine / "videos"), "--out", str(mine / "features")),
            "--workers=1",
        ],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    before, deadline = 12, time.monotonic() + 300
    while len(list((mine / "features" / "videos").glob("*.safetensors"))) <= before and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Stopped safely" in err
    assert "Traceback" not in err
    assert main(["extract", str(mine / "videos"), "--out", str(mine / "features")]) == 0


def test_help_is_quick_and_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(verb in out for verb in ("demo", "extract", "train", "evaluate", "index", "search", "doctor"))


def test_doctor_has_a_fix_for_whatever_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["doctor", "--index", str(tmp_path), "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)
    assert {check["name"] for check in checks} >= {"python", "torch", "device", "video", "world", "index"}
    assert all(check["ok"] or check["fix"] for check in checks)
    (tmp_path / "index.json").write_text("{")
    assert main(["doctor", "--index", str(tmp_path)]) == 1
    assert "!!  index" in capsys.readouterr().out
    monkeypatch.setattr("prvr.encoders.things.installed", lambda: None)
    assert main(["doctor", "--index", str(tmp_path / "none")]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("!!")]
    assert line.startswith(
        "!!  own videos   no model on this machine sees real footage  -> prvr models get siglip2-b16"
    )


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00.0"), (75.25, "1:15.2"), (3723.99, "1:02:03.9")])
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown
