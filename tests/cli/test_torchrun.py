"""Training with several processes, as people start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from prvr.cli import main

SMALL = [
    *("--set", "model.hidden=16", "--set", "model.heads=2", "--set", "batch_videos=4", "--set", "train.epochs=2"),
    *("--set", "model.dropout=0", "--set", "model.input_dropout=0", "--set", "loss.hard_from_epoch=1"),
]


def test_two_processes_train_what_one_does_and_only_the_first_speaks(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "prvr.methods.msc.runs:world", "--data", str(mine), *SMALL]
    assert main([*words, "--out", str(mine / "one")]) == 0
    alone = capsys.readouterr().out
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    done = subprocess.run(
        [*torchrun, "prvr", *words, "--out", str(mine / "two")],
        capture_output=True,
        text=True,
        env=environment,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == alone.replace(str(mine / "one"), str(mine / "two"))
    one, two = (
        [json.loads(line) for line in (mine / run / "metrics.jsonl").read_text().splitlines()] for run in ("one", "two")
    )
    for ours, theirs in zip(one, two, strict=True):
        assert theirs["terms"] == pytest.approx(ours["terms"], rel=1e-4)
        assert theirs["validation"] == pytest.approx(ours["validation"])
