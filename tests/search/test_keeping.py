from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from prvr.core.errors import IndexFolderError
from prvr.features.extract import Progress
from prvr.features.store import FeatureStore
from prvr.index.opening import header_of, open_index
from prvr.search import indexing
from prvr.search.keeping import failures, forget, read_into


def test_what_is_read_can_be_searched_while_the_rest_is(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "SOON_S", 0.0)
    seen: list[tuple[int, int]] = []  # read, and to be found

    def look(now: Progress) -> None:
        if header_of(tmp_path) is not None:
            with open_index(tmp_path) as index:
                assert all(index.facts(video_id).tags == ("new",) for video_id in index.versions)
                seen.append((now.done, len(index)))

    done, calibrated = read_into([world / "videos"], tmp_path, tags=["new"], on_progress=look)
    assert done.num_videos == len(done.extraction.made) == 12
    assert not calibrated.enough
    assert seen[0][1] > 0
    assert all(found <= read for read, found in seen)
    assert any(0 < found < 12 for _, found in seen)
    again, _ = read_into([world / "videos"], tmp_path)
    assert (len(again.extraction.kept), again.added) == (12, ())


def test_what_could_not_be_read_is_forgotten_where_it_is_gone_and_pruned(world: Path, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    shutil.copy(world / "videos" / "w0000.webm", tmp_path / "videos")
    (tmp_path / "videos" / "junk.mp4").write_bytes(b"junk")
    for prune, left in ((False, 1), (False, 1), (True, 0)):
        read_into([tmp_path / "videos"], tmp_path, prune=prune)
        assert len(failures(tmp_path)) == left
        (tmp_path / "videos" / "junk.mp4").unlink(missing_ok=True)


def test_a_video_is_taken_out_and_comes_back(world: Path, tmp_path: Path) -> None:
    read_into([world / "videos"], tmp_path)
    with open_index(tmp_path) as index:
        name = next(iter(index.versions))
    forget(tmp_path, name)
    with open_index(tmp_path) as index:
        assert len(index) == 11
        assert name not in index.versions
    assert name not in FeatureStore.open(tmp_path / "features")
    with pytest.raises(IndexFolderError, match="no such video"):
        forget(tmp_path, name)
    with open_index(tmp_path, write=True), pytest.raises(IndexFolderError, match="another prvr process is writing"):
        forget(tmp_path, "other")
    with (
        FeatureStore.open(tmp_path / "features").writing(),
        pytest.raises(IndexFolderError, match="another prvr process is writing"),
    ):
        forget(tmp_path, "other")
    done, _ = read_into([world / "videos"], tmp_path)
    assert done.extraction.made == (name,)
    assert done.num_videos == 12
