"""A student on one pack, its teacher on another: what training reads of both, and what is said where one is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor

from prvr.cli import main
from prvr.core.errors import ConfigError, DataError, FeatureError
from prvr.core.vectors import unit_rows
from prvr.core.weights import load_weights
from prvr.data.folder import DataFolder
from prvr.features.packs import open_packs, write_hdf5
from prvr.methods.msc.network import MSC
from prvr.methods.recipe import Recipe, load_recipe
from prvr.parts.sampling import average_positions
from prvr.ranker.ranker import open_run
from prvr.runs.train import Splits
from tests.reproduce.make import qvhighlights

WIDTH = 12  # of the teacher; the student's frames are 24 wide and its words 16
SMALL = ["model.video_width=24", "model.text_width=16", "model.hidden=16", "model.heads=2", "batch_videos=4",
         "train.epochs=1", "optim.lr=1e-3"]  # fmt: skip


def dldkd(name: str = "activitynet") -> Recipe:
    return load_recipe(f"prvr.methods.dldkd.runs:{name}").with_settings(SMALL)


def write_teacher(folder: Path, data: DataFolder, *, seed: int = 0, frames: int = 150, leave_out: int = 0) -> Path:
    """A pack as DL-DKD's: raw CLIP frames and one vector a query, of the training split alone."""
    draw = torch.Generator().manual_seed(seed)
    queries = data.queries("train")
    videos = sorted({query.video_id for query in queries})[leave_out:]

    def rows(names: list[str], count: int) -> list[tuple[str, Tensor]]:
        return [(name, 10 * torch.randn(count, WIDTH, generator=draw)) for name in names]

    write_hdf5(folder / "FeatureData" / "new_clip_vit_32_x_vid_features.hdf5", rows(videos, frames))
    write_hdf5(folder / "TextData" / "clip_ViT_B_32_x_query_feat.hdf5", rows([q.query_id for q in queries], 1))
    return folder


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return qvhighlights(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def teacher(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("teacher"), DataFolder(pack))


def test_the_teacher_stands_at_the_students_frames_and_as_it_was_made(pack: Path, teacher: Path) -> None:
    """The student has 75 frames of a video and the teacher 150: two of its frames for one of the student's."""
    data = DataFolder(pack, teacher=teacher)
    items = Splits(dldkd(), data).train
    batch = items.select(torch.tensor([3, 1]))
    assert batch.teacher is not None
    packs = open_packs(teacher)
    assert packs is not None
    for row, v in enumerate((3, 1)):
        there = batch.videos.frame_valid[row]
        assert int(there.sum()) == 75
        raw = packs.video.read(items.video_ids[v])
        by_hand = torch.stack([raw[2 * t : 2 * t + 2].mean(0) for t in range(74)])
        torch.testing.assert_close(batch.teacher.frames[row, :74], by_hand)
        torch.testing.assert_close(batch.teacher.frames[row, :75], average_positions(raw, 75))
        assert not batch.teacher.frames[row, 75:].any()
    rows = [q for q, v in enumerate(items.video_of_query.tolist()) if v in (1, 3)]
    for sentence, q in zip(batch.teacher.sentence, rows, strict=True):
        assert torch.equal(sentence, packs.text.read(items.items[q].query_id)[0])
    plain = Splits(dldkd(), DataFolder(pack)).train
    assert plain.teacher is None
    assert torch.equal(plain.queries.sentence, items.queries.sentence), "what models read of a query stays"
    assert Splits(dldkd(), data).val.teacher is None
    kept = list((pack / "prepared").glob("teacher-*/frames.npy"))
    again = Splits(dldkd(), DataFolder(pack, teacher=teacher)).train.teacher
    assert items.teacher is not None
    assert again is not None
    assert torch.equal(again.frames, items.teacher.frames)
    assert list((pack / "prepared").glob("teacher-*/frames.npy")) == kept
    assert len(kept) == 1


@pytest.mark.parametrize("name", ["activitynet", "tvr_plus"])
def test_dldkd_learns_from_a_pack_of_its_own(name: str, pack: Path, teacher: Path, tmp_path: Path) -> None:
    other = write_teacher(tmp_path / "other", DataFolder(pack), seed=1)
    weights = []
    for number, path in enumerate((teacher, other)):
        words = ["train", f"prvr.methods.dldkd.runs:{name}", "--data", str(pack), "--features", str(pack)]
        words += [word for setting in SMALL for word in ("--set", setting)]
        words += ["--teacher", str(path), "--out", str(tmp_path / f"run{number}")]
        assert main(words) == 0
        weights.append(load_weights(tmp_path / f"run{number}" / "model.safetensors")[0])
    changed = {key for key in weights[0] if not torch.equal(weights[0][key], weights[1][key])}
    assert any(key.startswith("inherit.") for key in changed), "another teacher teaches something else"
    if name == "tvr_plus":  # in DL-DKD both branches share a projection of words, which the taught one moves
        assert not any(key.startswith("explore") for key in changed), "nobody teaches the other branch"
    row = json.loads((tmp_path / "run0" / "metrics.jsonl").read_text().splitlines()[0])
    assert "distill" in json.dumps(row)
    trained = open_run(tmp_path / "run0")
    assert trained.features.teacher is not None
    assert trained.features.teacher.name == "new_clip_vit_32_x_vid_features"
    assert trained.features.same_as(DataFolder(pack).spec), "it can be measured where the teacher is not"
    assert main(["evaluate", str(tmp_path / "run0"), "--data", str(pack)]) == 0
    again = ["train", f"prvr.methods.dldkd.runs:{name}", "--data", str(pack), "--teacher", str(other)]
    again += [word for setting in SMALL for word in ("--set", setting)]
    assert main([*again, "--out", str(tmp_path / "run0")]) == 1, "a run does not go on with another teacher"


def test_a_teacher_lies_beside_the_student_in_one_bundle(pack: Path, tmp_path: Path) -> None:
    """MS-SL publishes I3D with RoBERTa and CLIP-B/32 in the same two folders: the video file names the pair."""
    data, bundle = DataFolder(pack), tmp_path / "bundle"
    write_teacher(bundle, data)
    ids = sorted({q.video_id for split in ("train", "val") for q in data.queries(split)})
    queries = [q.query_id for split in ("train", "val") for q in data.queries(split)]
    write_hdf5(bundle / "FeatureData" / "i3d.hdf5", [(name, torch.randn(20, 24)) for name in ids])
    write_hdf5(bundle / "TextData" / "i3d.hdf5", [(name, torch.randn(5, 16)) for name in queries])
    write_hdf5(bundle / "TextData" / "roberta_x_query_feat.hdf5", [(name, torch.randn(5, 16)) for name in queries])
    clip = bundle / "FeatureData" / "new_clip_vit_32_x_vid_features.hdf5"
    both = DataFolder(pack, bundle / "FeatureData" / "i3d.hdf5", clip)
    assert (both.spec.video_width, both.spec.text_width) == (24, 16)
    assert both.spec.teacher is not None
    assert (both.spec.teacher.video_width, both.spec.teacher.shared_space) == (WIDTH, True)
    items = Splits(dldkd(), both).train
    assert items.teacher is not None
    assert items.teacher.frames.shape == (10, 128, WIDTH)
    assert torch.equal(items.teacher.frames.any(2), items.videos.frame_valid)


def test_what_is_missing_is_named_with_the_way_to_get_it(pack: Path, teacher: Path, tmp_path: Path) -> None:
    recipe = dldkd()
    assert recipe.trainable is not None
    with pytest.raises(ConfigError, match=r"no teacher for DL-DKD; .*--teacher FOLDER` takes .*loss.distill=0"):
        recipe.trainable(recipe.settings, DataFolder(pack).spec)
    words = ["train", "prvr.methods.dldkd.runs:activitynet", "--data", str(pack), "--out", str(tmp_path / "run")]
    assert main([*words, *[word for setting in SMALL for word in ("--set", setting)]]) == 1
    assert not (tmp_path / "run").exists()
    few = write_teacher(tmp_path / "few", DataFolder(pack), leave_out=2)
    with pytest.raises(DataError, match=r"the teacher has no features of 2 of 10 videos .*prvr extract"):
        _ = Splits(recipe, DataFolder(pack, teacher=few)).train
    text = next((teacher / "TextData").glob("*.hdf5"))
    with pytest.raises(ConfigError, match="holds sentences alone"):
        recipe.trainable(recipe.settings, DataFolder(pack, teacher=text).spec)
    other = tmp_path / "text.h5"
    write_hdf5(other, [("nobody", torch.randn(1, WIDTH))])
    with pytest.raises(FeatureError, match=r"has no text features of 30 of 30 queries \(first: "):
        _ = Splits(recipe, DataFolder(pack, teacher=other)).train


def test_sentences_alone_teach_msc(pack: Path, teacher: Path) -> None:
    """Table 3c: TCPL reads the teacher's sentences at length 1, in place of the encoder's."""
    recipe = load_recipe("prvr.methods.msc.runs:qvhighlights").with_settings([*SMALL, "loss.hard_from_epoch=0"])
    text = next((teacher / "TextData").glob("*.hdf5"))
    batch = next(Splits(recipe, DataFolder(pack, teacher=text)).train.batches(4, seed=0, epoch=0))
    assert batch.teacher is not None
    assert batch.teacher.frames.shape == (4, 0, 0)
    assert recipe.objective is not None
    learn, made = recipe.objective(recipe.settings), cast(MSC, recipe.build().eval()).embed(batch)
    taught = learn(made, batch, 0).terms
    plain = learn(made, replace(batch, teacher=None), 0).terms
    sentence = unit_rows(batch.teacher.sentence)
    given = replace(batch, teacher=None, queries=replace(batch.queries, sentence=sentence))
    by_hand = learn(made, given, 0).terms
    for name in ("tcpl_distance", "tcpl_angle"):
        assert float(taught[name]) == float(by_hand[name])
        assert float(taught[name]) != float(plain[name])
    moved = batch.to("cpu")
    assert moved.teacher is not None
    assert torch.equal(moved.teacher.sentence, batch.teacher.sentence)
