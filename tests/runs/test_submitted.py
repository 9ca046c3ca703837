"""`prvr evaluate --submission`: files and folders in, tables and JSON out, and what is said of a wrong one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from prvr.cli import main

QVH = [
    {"qid": 1, "query": "a", "duration": 150, "vid": "x_0.0_150.0", "relevant_windows": [[0, 8]],
     "relevant_clip_ids": [0, 1], "saliency_scores": [[4, 4, 4], [2, 2, 2]]},
    {"qid": 2, "query": "b", "duration": 150, "vid": "x_150.0_300.0", "relevant_windows": [[40, 60], [100, 148]],
     "relevant_clip_ids": [20], "saliency_scores": [[3, 3, 3]]},
]  # fmt: skip
GIVEN: list[dict[str, Any]] = [
    {"qid": 1, "pred_relevant_windows": [[0, 8, 0.5], [0, 7, 0.9]], "pred_saliency_scores": [1.0, 0.5]},
    {"qid": 2, "pred_relevant_windows": [[40, 60, 0.5]], "pred_saliency_scores": [1.0]},
]
TVR = [
    {"vid_name": "m", "duration": 60.0, "ts": [0.0, 10.0], "desc": "a", "type": "v", "desc_id": 1},
    {"vid_name": "n", "duration": 60.0, "ts": [20.0, 30.0], "desc": "b", "type": "t", "desc_id": 2},
]
RANKED: dict[str, Any] = {
    "video2idx": {"m": 0, "n": 1},
    "VCMR": [
        {"desc_id": 1, "predictions": [[0, 0, 6, 0.9], [0, 0, 10, 0.8]]},
        {"desc_id": 2, "predictions": [[1, 20, 30, 0.5]]},
    ],
    "VR": [{"desc_id": 1, "predictions": [[1, 0, 0, 0.9]]}, {"desc_id": 2, "predictions": [[1, 0, 0, 0.5]]}],
}


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def ask(submission: Path, data: Path, *more: str) -> int:
    return main(["evaluate", "--submission", str(submission), "--data", str(data), *more])


def test_qvhighlights_by_hand_and_from_every_form_of_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second of query 1 has the higher score and overlaps by 7 of 8: at 0.9 and 0.95 it is wrong and comes first.

    Of the highlights of query 2 one is right, among 75 clips of which 74 have the same score: (1 + 1 / 75) / 2.
    """
    given = lines(tmp_path / "given.jsonl", GIVEN)
    folder = tmp_path / "qvh"
    truth = lines(folder / "highlight_val_release.jsonl", QVH)
    assert ask(given, truth, "--json", "--out", str(tmp_path / "out" / "scores.json")) == 0
    said = capsys.readouterr()
    tree = json.loads(said.out)
    assert tree == json.loads((tmp_path / "out" / "scores.json").read_text())
    assert tree["short"]["MR-mAP"]["0.5"] == 100.0
    assert tree["short"]["MR-mAP"]["0.9"] == 50.0
    assert tree["middle"]["MR-mAP"]["0.95"] == 100.0
    assert tree["long"]["MR-R1"]["0.5"] == 0.0
    assert tree["HL-min-Fair"] == {"HL-mAP": 50.67, "HL-Hit1": 50.0}
    assert not said.err
    main(["data", "convert", str(folder), str(tmp_path / "own"), "--to", "jsonl"])
    capsys.readouterr()
    for place in (folder, tmp_path / "own"):  # the authors' files in a folder, and our own form of them
        assert ask(given, place, "--json") == 0
        assert json.loads(capsys.readouterr().out) == tree


def test_tables_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(lines(tmp_path / "a.jsonl", GIVEN), lines(tmp_path / "qvh.jsonl", QVH)) == 0
    said = capsys.readouterr().out
    assert "| moments | queries |    mAP | mAP@0.5 | mAP@0.75 | R1@0.5 | R1@0.7 |" in said
    assert "| long    |       1 |   0.00 |" in said
    assert "| Fair       | 50.67 | 50.00 |" in said
    assert ask(lines(tmp_path / "b.json", [RANKED]), lines(tmp_path / "tvr.jsonl", TVR)) == 0
    said = capsys.readouterr().out
    assert "| VCMR | 0.5-r1 | 0.5-r5 |" in said
    assert "| vt   |    n/a |    n/a |" in said
    assert "| VR  |     r1 |     r5 |    r10 |   r100 |\n" in said


def test_windows_that_overlap_a_better_one_are_dropped_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of query 1 the better of two windows is the worse fit: alone it is right at 0.5 and wrong at 0.7."""
    ranked, truth = lines(tmp_path / "b.json", [RANKED]), lines(tmp_path / "tvr.jsonl", TVR)
    found = []
    for more in ([], ["--nms", "0.5"], ["--nms", "0.6"]):
        assert ask(ranked, truth, "--json", *more) == 0
        found.append(json.loads(capsys.readouterr().out)["VCMR"])
    assert [one["0.7-r5"] for one in found] == [100.0, 50.0, 100.0]
    given, truth = lines(tmp_path / "a.jsonl", GIVEN), lines(tmp_path / "qvh.jsonl", QVH)
    assert ask(given, truth, "--json", "--nms", "0.5") == 0
    assert json.loads(capsys.readouterr().out)["short"]["MR-mAP"]["0.9"] == 0.0


def test_lenient_scores_what_there_is_and_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = lines(tmp_path / "qvh.jsonl", QVH)
    given = lines(tmp_path / "a.jsonl", GIVEN[:1])
    assert ask(given, truth) == 1
    assert "a.jsonl: 1 annotated queries have no prediction" in capsys.readouterr().err
    assert ask(given, truth, "--json", "--lenient") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["full"]["MR-R1"]["0.5"] == 50.0
    assert said.err == "1 annotated queries were not answered\n"
    ranked = lines(tmp_path / "b.json", [{**RANKED, "VCMR": [*RANKED["VCMR"][:1], {"desc_id": 9, "predictions": []}]}])
    assert ask(ranked, lines(tmp_path / "tvr.jsonl", TVR), "--lenient") == 0
    assert capsys.readouterr().err.splitlines() == [
        "VCMR: 1 annotated queries were not answered and count as wrong",
        "VCMR: 1 answers are to queries that are not annotated and are ignored",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"qid": 1}\n{"qid": 2,\n', r"given:2: is not JSON \(.*\); mend this line"),
        ('{"video2idx": {"m": 0},\n "VR": [}', r"given:2: is not JSON \(.*\); mend this line"),
        ("hello\n", r"given:1: is no submission of QVHighlights .* give the file that such an evaluator reads"),
        ('{"video2idx": {"m": 0}, "VR": [{"desc_id": 1, "predictions": [[0]]}]}', r"given, VR\[0\]: 'predictions'"),
    ],
)
def test_a_wrong_file_is_named_with_its_line_and_the_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, said: str
) -> None:
    given = tmp_path / "given"
    given.write_text(content)
    truth = lines(tmp_path / "truth.jsonl", TVR if "video2idx" in content else QVH)
    assert ask(given, truth) == 1
    error = capsys.readouterr().err
    assert re.search(said, error), error


def test_what_does_not_fit_together_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], world: Path) -> None:
    given = lines(tmp_path / "a.jsonl", GIVEN)
    for command, said in (
        (["evaluate", "--data", str(tmp_path)], "needs a run folder, or zero-shot, or --submission FILE"),
        (["evaluate", "zero-shot", "--submission", str(given), "--data", str(tmp_path)], "one of them alone"),
        (["evaluate", "zero-shot", "--data", str(tmp_path), "--nms", "0.5"], "--nms: is of a submission"),
        (["evaluate", "--submission", str(given), "--data", "x", "--intervals"], "--intervals: is of a run"),
        (["evaluate", "--submission", str(given), "--data", "x", "--nms", "2"], "--nms 2: is an overlap"),
        (["evaluate", "--submission", str(tmp_path / "no"), "--data", "x"], "cannot be read"),
        (["evaluate", "--submission", str(given), "--data", str(tmp_path)], "no annotations here"),
        (["evaluate", "--submission", str(given), "--data", str(world)], "give their annotation file as --data"),
    ):
        assert main(command) == 1
        assert said in capsys.readouterr().err
