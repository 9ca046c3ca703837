"""Published packs beside their annotations: what is read is what was meant, or the reader is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from prvr.core.errors import FeatureError
from prvr.data.check import check
from prvr.data.folder import DataFolder
from prvr.data.sources import PackSource
from prvr.features.packs import content
from prvr.methods.zero_shot.network import METHOD, Nothing

WIDTH = 4
VIDEOS = [f"vid{v}" for v in range(7)]
CUT_S = {"_0.0_150.0": 150.0, "_150.0_300.0": 150.0}


def save(path: Path, name: str, rows: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, allow_pickle=False, **{name: rows.astype(np.float32)})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Moment-DETR's folders of videos of two cuts each, a query a cut; of the first cut there are fewer rows."""
    rng = np.random.default_rng(0)
    for split, videos in (("train", VIDEOS[:4]), ("val", VIDEOS[4:])):
        lines = []
        for video in videos:
            for (cut, length), rows in zip(CUT_S.items(), (60, 75), strict=True):
                qid = len(list(tmp_path.glob("clip_text_features/*")))
                save(tmp_path / f"clip_features/{video}{cut}.npz", "features", rng.normal(size=(rows, WIDTH)))
                save(tmp_path / f"clip_text_features/qid{qid}.npz", "last_hidden_state", rng.normal(size=(3, WIDTH)))
                row = {"qid": qid, "query": f"door {qid}", "duration": length, "vid": f"{video}{cut}"}
                lines.append(row | {"relevant_windows": [[20, 40]]})
        (tmp_path / f"highlight_{split}_release.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


def source(root: Path) -> PackSource:
    found = DataFolder(root).source
    assert isinstance(found, PackSource)
    return found


def change(path: Path, name: str, rows: object) -> None:
    with np.load(path) as old:
        array = old[name]
    array[...] = rows
    save(path, name, array)


def test_the_rows_of_a_cut_stand_in_that_cut(root: Path) -> None:
    video = source(root).read("vid0")
    assert (len(video.times), video.duration_s) == (135, 300.0)
    assert video.times[[0, 1, 59, 60, 70, 134]].tolist() == [0, 2.5, 147.5, 150, 170, 298]
    line = {one.name: one for one in check(root).checks}["cuts"]
    assert line.ok
    assert "7 of 14 have more or fewer rows than one every 2 s, such as vid0_0.0_150.0 with 60 rows" in line.found
    save(root / "clip_features/vid0_300.0_450.0.npz", "features", np.ones((75, WIDTH)))
    assert len(source(root).read("vid0").times) == 135, "a cut that no annotation names is no part of the video"
    (root / "clip_features/vid0_0.0_150.0.npz").unlink()
    assert "vid0" not in source(root), "half a video is none"


def test_what_is_kept_follows_the_bytes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> tuple[torch.Tensor, torch.Tensor, str, str]:
        data = DataFolder(root)
        made = data.load("val", data.queries("val"), METHOD.prepared(Nothing()))
        return made.videos.frames.clone(), made.queries.sentence.clone(), made.content, made.digest  # type: ignore[attr-defined]

    monkeypatch.setattr(content, "_SETTLED_NS", 0)
    before, again = load(), load()
    assert before[2:] == again[2:]
    middle = root / "clip_features/vid5_0.0_150.0.npz"
    size = middle.stat().st_size
    change(middle, "features", np.arange(WIDTH) + 1.0)
    assert middle.stat().st_size == size
    videos = load()
    assert not torch.equal(videos[0], before[0])
    assert (videos[2] != before[2], videos[3]) == (True, before[3]), "other data, the same split"
    change(root / "clip_text_features/qid10.npz", "last_hidden_state", np.arange(WIDTH) + 1.0)
    texts = load()
    assert torch.equal(texts[0], videos[0])
    assert not torch.equal(texts[1], videos[1])
    monkeypatch.setattr(content, "_digest", lambda file: pytest.fail(f"{file} is read again"))
    assert load()[2] == texts[2]


def test_no_two_queries_are_read_from_one_file(root: Path) -> None:
    for split in ("train", "val"):
        (root / f"highlight_{split}_release.jsonl").unlink()
    text = {f"v_{v}": {"duration": 9, "timestamps": [[0, 1], [2, 3]], "sentences": ["a", "b"]} for v in VIDEOS}
    (root / "val_1.json").write_text(json.dumps(text))
    wrong = {one.name: one for one in check(root).checks if not one.ok}
    assert "14 of 14 have no features" in wrong["queries of val, test"].found
    assert "entries called by a number need the authors' number" in wrong["queries of val, test"].fix
    with pytest.raises(FeatureError, match="no text features of 14 of 14 .*need the authors' number"):
        source(root).texts(DataFolder(root).queries("val"))
    (root / "val_1.json").unlink()
    (root / "annotations").mkdir()
    for split, sentences in (("train", ["a", "b"]), ("val", ["b", "b "])):
        rows = [
            {"query_id": f"{v}#{n}", "video_id": v, "text": sentence}
            for v in {"train": VIDEOS[:1], "val": VIDEOS[1:2]}[split]
            for n, sentence in enumerate(sentences)
        ]
        (root / "annotations" / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(
        FeatureError, match=r"2 queries share 1 entries \(first: 'vid0#0' and 'vid1#0' would both be 'qid0'"
    ):
        source(root).texts(DataFolder(root).queries("val"))
    assert "2 queries share 1 entries" in {one.name: one for one in check(root).checks}["queries"].found


def test_numbers_that_the_files_say_lead_to_their_entries(root: Path) -> None:
    data = DataFolder(root)
    queries = data.queries("val")
    assert [query.query_id for query in queries][:2] == ["vid4#8", "vid4#9"]
    with np.load(root / "clip_text_features/qid9.npz") as file:
        assert source(root).sentences(queries)[1].tolist() == file["last_hidden_state"][-1].tolist()


def test_padding_is_no_words(root: Path) -> None:
    before = source(root).texts(DataFolder(root).queries("val"))
    for path in (root / "clip_text_features").iterdir():
        with np.load(path) as old:
            rows = old["last_hidden_state"]
        save(path, "last_hidden_state", np.pad(rows, ((1, 73), (0, 0))))
    after = source(root).texts(DataFolder(root).queries("val"))
    for name in ("words", "start", "sentence"):
        assert torch.equal(getattr(after, name), getattr(before, name))
    line = {one.name: one for one in check(root).checks}["padding"]
    assert (line.ok, line.found) == (True, "14 queries have rows of zeros around their words; these are left out")
    for path in (root / "clip_text_features").iterdir():
        save(path, "last_hidden_state", np.ones((77, WIDTH)))
    file = root / "highlight_train_release.jsonl"
    file.write_text(file.read_text().replace("door 3", "a man closes the red door"))
    line = {one.name: one for one in check(root).checks}["padding"]
    assert not line.ok
    assert "every query has 77 rows, though sentences have 2 to 6 words" in line.found


def test_numbers_that_are_none_name_their_video_and_query(root: Path) -> None:
    change(root / "clip_features/vid5_150.0_300.0.npz", "features", np.where(np.arange(75) == 9, np.nan, 1)[:, None])
    change(root / "clip_text_features/qid3.npz", "last_hidden_state", np.inf)
    change(root / "clip_text_features/qid2.npz", "last_hidden_state", 0)
    for cut in CUT_S:
        change(root / f"clip_features/vid1{cut}.npz", "features", 0)
    wrong = {one.name: one for one in check(root).checks if not one.ok}
    assert "; 1 hold NaN or infinity: vid5; 1 are zero throughout: vid1" in wrong["video features"].found
    assert "; 1 hold NaN or infinity: vid1#3; 1 are zero throughout: vid1#2" in wrong["text features"].found
    with pytest.raises(FeatureError, match=r"video 'vid5' holds NaN or infinity in 1 of 135 rows \(first: row 69\)"):
        source(root).read("vid5")
    with pytest.raises(FeatureError, match="the query in 'qid3' holds NaN or infinity in 3 of 3 rows"):
        source(root).sentences(DataFolder(root).queries("train"))
