"""Files that lie elsewhere than when they were read are the same videos; nothing is decoded again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from prvr.core.errors import IndexFolderError, OtherFile, VideoError
from prvr.core.types import Encoder
from prvr.encoders.world import load_world_encoder
from prvr.index.opening import open_index
from prvr.ranker.ranker import zero_shot
from prvr.search.indexing import build_index, repair
from prvr.search.keeping import relocate
from prvr.search.places import locate


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_world_encoder()


@pytest.fixture
def videos(world: Path, tmp_path: Path) -> Path:
    """Four of them; the index is to lie elsewhere."""
    (tmp_path / "videos").mkdir()
    for number in range(4):
        shutil.copy(world / "videos" / f"w000{number}.webm", tmp_path / "videos")
    return tmp_path / "videos"


def files(index_folder: Path) -> dict[str, Path]:
    """Video id -> where the index has its file."""
    with open_index(index_folder) as index:
        return {video_id: locate(index_folder, index.facts(video_id).path) for video_id in index.versions}


def test_files_and_folders_that_were_renamed_are_not_read_again(videos: Path, tmp_path: Path, encoder: Encoder) -> None:
    index = tmp_path / "somewhere" / "index"
    build_index([videos], index, encoder, tags=["t"])
    new = videos.rename(tmp_path / "films")
    (new / "deep").mkdir()
    (new / "w0000.webm").rename(new / "deep" / "renamed.webm")
    (new / "w0000.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nof no video\n")
    shutil.copy2(new / "w0001.webm", new / "a copy.webm")  # the first by name, but w0001 is still there
    done = build_index([new], index, encoder, prune=True)
    assert done.extraction.made == ("a copy.webm",)
    assert done.removed == ()
    assert files(index) == {
        "a copy.webm": new / "a copy.webm",
        "w0000.webm": new / "deep" / "renamed.webm",
        **{f"w000{number}.webm": new / f"w000{number}.webm" for number in (1, 2, 3)},
    }
    with open_index(index) as opened:
        assert opened.facts("w0000.webm").tags == ("t",)
        assert [hit.video_id for hit in opened.words("renamed", k=3)] == ["w0000.webm"]
    again = build_index([new], index, encoder)
    assert (again.extraction.made, again.added) == ((), ())


def test_a_name_that_another_file_has_taken(videos: Path, tmp_path: Path, encoder: Encoder) -> None:
    index = tmp_path / "index"
    build_index([videos], index, encoder)
    (videos / "w0000.webm").rename(videos / "x.webm")
    shutil.copy(videos / "w0001.webm", videos / "w0000.webm")  # not copy2: changed now
    done = build_index([videos], index, encoder)
    assert sorted(done.extraction.made) == ["w0000.webm", "x.webm"]
    assert files(index) == {
        name: videos / name for name in ("w0000.webm", "w0001.webm", "w0002.webm", "w0003.webm", "x.webm")
    }


def test_a_video_is_told_where_it_lies_now(videos: Path, tmp_path: Path, encoder: Encoder) -> None:
    index, trained = tmp_path / "index", zero_shot(encoder.spec)
    build_index([videos], index, encoder)
    old, other = videos / "w0000.webm", tmp_path / "other"
    with pytest.raises(OtherFile, match="is still there"):
        relocate(index, "w0000.webm", videos / "w0001.webm", trained)
    other.mkdir()
    new = old.rename(other / "new name.webm")
    with pytest.raises(
        OtherFile, match=r"w0001\.webm: is not the file that was read as w0000\.webm: it has [\d,]+ bytes"
    ):
        relocate(index, "w0000.webm", videos / "w0001.webm", trained)
    with pytest.raises(VideoError, match="no such file"):
        relocate(index, "w0000.webm", other, trained)  # no w0000.webm in it
    stat = new.stat()
    os.utime(new, ns=(stat.st_atime_ns, stat.st_mtime_ns + 5_000_000_000))
    with pytest.raises(OtherFile, match="it was changed last 20"):
        relocate(index, "w0000.webm", new, trained)
    os.utime(new, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert files(index)["w0000.webm"] == old
    with open_index(index, write=True), pytest.raises(IndexFolderError, match="another prvr process is writing"):
        relocate(index, "w0000.webm", new, trained)
    with open_index(index, write=True) as opened:
        before = opened.facts("w0000.webm")
    repair(index)
    assert files(index)["w0000.webm"] == old  # which is nowhere, but no worse place is known
    assert relocate(index, "w0000.webm", new, trained) == new
    with open_index(index) as opened:
        after = opened.facts("w0000.webm")
        assert (after.duration_s, after.modified) == (before.duration_s, before.modified)
    assert files(index)["w0000.webm"] == new
    done = build_index([other], index, encoder)
    assert (done.extraction.made, done.extraction.kept, done.added) == ((), ("w0000.webm",), ())
