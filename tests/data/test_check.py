from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from prvr.core.checks import Check
from prvr.data.check import check
from prvr.features.packs import write_hdf5
from tests.features.make import some_features, store_with

VIDEO, TEXT = "FeatureData/qvhighlight_slowfast_clip.h5", "TextData/qvhighlight_slowfast_clip_text.h5"
VIDEOS = ("aa", "bb", "cc", "dd", "ee")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A whole folder: the authors' annotations of five videos, and a published pair over them."""
    for split, names in (("train", VIDEOS[:3]), ("val", VIDEOS[3:])):
        same = {"query": "a door", "duration": 150, "relevant_windows": [[2, 10]]}
        rows = [same | {"qid": 10 * VIDEOS.index(v) + i, "vid": f"{v}_0.0_150.0"} for v in names for i in range(2)]
        (tmp_path / f"highlight_{split}_release.jsonl").write_text("\n".join(map(json.dumps, rows)))
    write_hdf5(tmp_path / VIDEO, ((v, torch.randn(75, 2816)) for v in VIDEOS))
    write_hdf5(
        tmp_path / TEXT, ((f"{v}#{10 * n + i}", torch.randn(6, 512)) for n, v in enumerate(VIDEOS) for i in (0, 1))
    )
    return tmp_path


def lines(root: Path) -> dict[str, Check]:
    return {line.name: line for line in check(root).checks}


def wrong(root: Path) -> dict[str, Check]:
    return {name: line for name, line in lines(root).items() if not line.ok}


def test_a_whole_folder_is_whole(root: Path) -> None:
    checked = check(root)
    assert checked.ok
    found = {line.name: line.found for line in checked.checks}
    assert list(found) == [
        "annotations of train", "annotations of val, test", "video pack", "text pack", "videos of train",
        "queries of train", "videos of val, test", "queries of val, test", "video features", "text features",
        "durations",
    ]  # fmt: skip
    assert found["annotations of train"].startswith("3 videos, 6 queries in ")
    assert "published are 2,214 and 7,218" in found["annotations of train"]
    assert "5 keys, 2816 wide, float32" in found["video pack"]
    assert "as published (SlowFast and CLIP (MSC))" in found["text pack"]
    assert found["queries of val, test"] == "all 4 have features"
    assert found["video features"].startswith("5 read: 75 to 75 rows, 2816 wide, rows of length ")
    assert found["durations"] == "a row every 2 s in the middle of 5 videos, 2 to 2 s"


def test_nothing_but_annotations_says_what_would_be_needed(root: Path) -> None:
    (root / VIDEO).unlink()
    (root / TEXT).unlink()
    (root / "highlight_train_release.jsonl").unlink()
    found = wrong(root)
    assert set(found) == {"annotations of train", "features"}
    assert "highlight_train_release.jsonl" in found["annotations of train"].fix
    assert f"{VIDEO} (2816 wide) with {TEXT} (512 wide)" in found["features"].fix


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    assert set(wrong(tmp_path)) == {"annotations", "features"}


def video_pack(**changed: Tensor) -> Callable[[Path], object]:
    """A change that writes the video pack anew, with other rows for some of its videos."""
    return lambda root: write_hdf5(root / VIDEO, ({v: torch.randn(75, 2816) for v in VIDEOS} | changed).items())


def all_videos(rows: Tensor) -> dict[str, Tensor]:
    return dict.fromkeys(VIDEOS, rows)


def text_pack(rows: dict[str, Tensor]) -> Callable[[Path], object]:
    return lambda root: write_hdf5(root / TEXT, rows.items())


def swap(root: Path) -> None:
    (root / VIDEO).rename(root / "x")
    (root / TEXT).rename(root / VIDEO)
    (root / "x").rename(root / TEXT)


def spoiled(value: float) -> Tensor:
    rows = torch.randn(75, 2816)
    rows[40, 7] = value
    return rows


SPOILED = (
    (video_pack(**all_videos(torch.randn(75, 768))), "video pack", "768 wide.*features 2816 wide: it holds other"),
    (video_pack(**all_videos(torch.randn(75, 512))), "video pack", "looks like the other pack of the pair"),
    (swap, "keys", "keys of the video pack are queries"),
    (lambda root: (root / TEXT).replace(root / VIDEO), "features", "TextData: no pack here"),
    (lambda root: (root / VIDEO).write_bytes((root / VIDEO).read_bytes()[:99_999]), "features", "not a whole HDF5"),
    (lambda root: write_hdf5(root / VIDEO, [("bb", spoiled(0))]), "videos of train", "2 of 3 have no .*: aa, cc"),
    (
        text_pack({"zz#0": torch.randn(2, 512)}),
        "queries of train",
        "6 of 6 have no features in .*: aa#0, aa#1, bb#10, …",
    ),
    (video_pack(bb=spoiled(np.nan)), "video features", "4 read: .*; 1 hold NaN or infinity: bb$"),
    (video_pack(ee=spoiled(np.inf)), "video features", "1 hold NaN or infinity: ee$"),
    (video_pack(cc=torch.zeros(0, 2816)), "video features", "4 read: .*; 1 hold no rows: cc$"),
    (text_pack({"aa#0": torch.zeros(0, 512)}), "text features", "none can be read; 1 hold no rows: aa#0$"),
    (
        video_pack(**all_videos(torch.zeros(75, 2816))),
        "video features",
        "none can be read; 5 are zero throughout: aa, bb, cc, dd, ee$",
    ),
    (video_pack(aa=torch.randn(4, 2816), bb=torch.randn(2, 2816)), "durations", "2 are far off, such as aa"),
    (lambda root: (root / "highlight_val_release.jsonl").write_text("{"), "annotations of val, test", "is not JSON"),
)


@pytest.mark.parametrize(("spoil", "line", "reason"), SPOILED, ids=[reason[:30] for _, _, reason in SPOILED])
def test_a_wrong_folder_is_refused_with_the_reason(
    root: Path, spoil: Callable[[Path], object], line: str, reason: str
) -> None:
    spoil(root)
    found = wrong(root)
    assert line in found
    assert found[line].fix
    assert re.search(reason, found[line].found), found[line].found


def test_bigfile_that_stopped_early_is_refused(root: Path) -> None:
    (root / VIDEO).unlink()
    folder = root / "FeatureData" / "qvhighlight"
    folder.mkdir()
    (folder / "feature.bin").write_bytes(bytes(4 * 3))
    for name, text in (("shape.txt", "2 2"), ("id.txt", "a b"), ("video2frames.txt", "{'aa': ['a', 'b']}")):
        (folder / name).write_text(text)
    assert "has 12 bytes, but 2 × 2 float32 are 16" in wrong(root)["features"].found


def test_our_own_layout(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    for split, videos in (("train", "ab"), ("val", "c")):
        text = [json.dumps({"query_id": f"{v}#0", "video_id": v, "text": "red", "duration_s": 5.0}) for v in videos]
        (tmp_path / "annotations" / f"{split}.jsonl").write_text("\n".join(text))
    store_with(tmp_path / "features", {v: some_features() for v in "abc"})
    checked = check(tmp_path)
    assert checked.ok
    assert {line.name for line in checked.checks} >= {"feature store", "videos of train", "video features"}
    store_with(tmp_path / "features", {}).remove("c")
    assert "1 of 1 have no features" in wrong(tmp_path)["videos of val"].found
    assert "prvr extract PATH --out" in wrong(tmp_path)["videos of val"].fix
