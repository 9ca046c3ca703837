"""A CLIP-type model in a folder, from raw video to answers: what people with their own footage do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from prvr.cli import main
from tests.encoders import make_models

clip_folder = make_models.clip_folder


@pytest.fixture
def few(mine: Path, tmp_path: Path) -> Path:
    root = tmp_path / "few"
    root.mkdir()
    for name in ("w0000.webm", "w0003.webm"):
        shutil.copy2(mine / "videos" / name, root / name)
    return root


def test_a_clip_folder_indexes_and_answers_wherever_it_is_moved(
    clip_folder: Path, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, index = Path(shutil.copytree(clip_folder, tmp_path / "clip")), tmp_path / "index"
    assert main(["index", str(few), "--index", str(index), "--encoder", str(model)]) == 0
    assert main(["index", str(few), "--index", str(index)]) == 0, "the index remembers its encoder"
    assert "0 videos read now, 2 unchanged" in capsys.readouterr().err
    search = ["search", "a dog jumps", "--index", str(index), "--json"]
    assert main(search) == 0
    (hits,) = (one["hits"] for one in json.loads(capsys.readouterr().out))
    assert len(hits) == 2
    model = model.rename(tmp_path / "moved")
    assert main(search) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert str(tmp_path / "clip") in line
    assert main([*search, "--encoder", str(model)]) == 0
    assert json.loads(capsys.readouterr().out)[0]["hits"] == hits


def test_another_encoder_or_a_mixed_store_is_refused_with_both_names(
    clip_folder: Path, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = tmp_path / "index"
    assert main(["index", str(few), "--index", str(index), "--encoder", str(clip_folder)]) == 0
    capsys.readouterr()
    for words in (
        ["index", str(few), "--index", str(index), "--encoder", "world"],
        ["search", "a dog", "--index", str(index), "--encoder", "world"],
        ["extract", str(few), "--out", str(index / "features"), "--encoder", "world"],
    ):
        assert main(words) == 1
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert f"{clip_folder.name}@" in line
        assert "world@" in line


def test_a_model_indexes_with_the_encoder_it_was_trained_on(
    clip_folder: Path, mine: Path, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, index = tmp_path / "run", tmp_path / "index"
    small = [*("--set", "model.hidden=16"), *("--set", "train.epochs=1"), *("--set", "batch_videos=8")]
    assert main(["train", "prvr.methods.msc.runs:world", "--data", str(mine), "--out", str(run), *small]) == 0
    words = ["index", str(few), "--index", str(index), "--model", str(run)]
    assert main([*words, "--encoder", str(clip_folder)]) == 1
    assert "index with `--encoder world`" in capsys.readouterr().err
    assert main(words) == 0
    assert main(["search", "a red ball", "--index", str(index)]) == 0
    capsys.readouterr()
    assert main(["index", str(few), "--index", str(index)]) == 0, "the index remembers its model"
    assert "0 videos read now, 2 unchanged" in capsys.readouterr().err
    other = [*("--set", "train.seed=1"), *small]
    assert main(["train", "prvr.methods.msc.runs:world", "--data", str(mine), "--out", str(run) + "2", *other]) == 0
    assert main([*words[:-1], str(run) + "2"]) == 1
    assert "scores of the two cannot be compared" in capsys.readouterr().err.splitlines()[-1]
