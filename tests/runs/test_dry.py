"""What a run would do is found out without doing it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from prvr.cli import main
from prvr.data.folder import DataFolder
from prvr.methods.recipe import load_recipe
from prvr.runs.dry import largest
from prvr.runs.train import Splits

RECIPE = "prvr.methods.msc.runs:world"
SMALL = ["model.hidden=16", "model.heads=2", "batch_videos=4", "train.epochs=3"]


def files(root: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file()}


def test_it_says_what_the_run_is_and_writes_nothing(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, before = tmp_path / "run", files(tmp_path)
    words = ["train", RECIPE, "--data", str(mine), "--out", str(out), "--dry-run", "--device", "cpu"]
    assert main([*words, *(word for one in SMALL for word in ("--set", one)), "--json"]) == 0
    assert files(tmp_path) == before
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert "dropout 0.2 as 0.1992" in printed.err
    assert "The rate falls over 11 epochs, as the recipe has it" in printed.err

    recipe, data = load_recipe(RECIPE).with_settings(SMALL), DataFolder(mine)
    splits = {name: data.queries(name) for name in ("train", "val")}
    counts = {name: [len({query.video_id for query in items}), len(items)] for name, items in splits.items()}
    assert list(found["splits"].values()) == list(counts.values())
    step, model = found["step"], recipe.build()
    assert sum(step["parts"].values()) == sum(weight.numel() for weight in model.parameters())
    assert step["parts"]["alignment"] == 16 * 16 + 16
    assert (found["epochs"], found["schedule_epochs"], step["steps"]) == (3, 11, -(-counts["train"][0] // 4))
    assert step["videos"] == 4
    assert step["shapes"]["videos.frames"] == [4, 128, 128]
    assert step["shapes"]["made.queries"] == [step["queries"], 16]
    assert 0 < step["before_mb"] <= step["peak_mb"]
    assert step["time_s"] > 0
    weights = 4 * sum(step["parts"].values()) / 1e6
    assert found["writes"][str(out / "model.safetensors")] == pytest.approx(weights)
    assert found["writes"][str(out / "last.safetensors")] == pytest.approx(3 * weights, rel=0.01)  # two moments
    assert found["reads"] == [*(str(mine / "annotations" / f"{name}.jsonl") for name in splits), str(mine / "features")]
    assert found["standing"] == f"{out} holds no run yet"


def test_its_batch_is_one_of_the_first_epoch(mine: Path, tmp_path: Path) -> None:
    recipe, data = load_recipe(RECIPE).with_settings(SMALL), DataFolder(mine)
    some = largest(recipe, data, data.queries("train"), cache=tmp_path / "cache")
    found = some.select(torch.arange(len(some)))
    seed = recipe.settings.train.seed
    most = max(Splits(recipe, data).train.batches(4, seed=seed, epoch=0), key=lambda batch: len(batch.queries))
    assert torch.equal(found.videos.frames, most.videos.frames)
    assert len(found.queries) == len(most.queries)
    torch.testing.assert_close(found.queries.words.sum(), most.queries.words.sum())
