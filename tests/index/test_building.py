"""Folders of real video to an index folder: what is added, kept, taken out and mended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from prvr.core.errors import IndexFolderError
from prvr.core.facts import Cue, Where
from prvr.features.failures import Failures
from prvr.index.embedded import EmbeddedIndex
from prvr.index.opening import exists, header_of, open_index
from prvr.index.segments import VectorForm
from prvr.ranker.ranker import zero_shot
from prvr.search.indexing import Indexing, build_index, repair, verify
from prvr.search.places import locate
from tests.features.make import ColourEncoder
from tests.features.test_extract import paint

ENCODER = ColourEncoder()


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    root = tmp_path / "videos"
    paint(root / "sky.mp4", "blue", "green", "blue")
    paint(root / "deep" / "fire.mp4", "red", "red")
    paint(root / "both.mp4", "red", "blue")
    (root / "deep" / "fire.srt").write_text("1\n00:00:00,500 --> 00:00:01,000\nIt burns!\n")
    return root


def build(videos: Path, *, folder: Path | None = None, prune: bool = False, tags: tuple[str, ...] = ()) -> Indexing:
    return build_index([videos], folder or videos / ".prvr", ENCODER, workers=1, prune=prune, tags=tags)


def test_facts_and_subtitles_are_indexed(videos: Path) -> None:
    done = build(videos)
    assert done.added == ("both.mp4", "deep/fire.mp4", "sky.mp4")
    with open_index(videos / ".prvr") as index:
        hours = sum(facts.duration_s for facts in index.all_facts().values()) / 3600
        assert 0 < done.bytes_per_hour <= index.num_bytes / hours  # when closed, what SQLite kept aside is in the file
        facts = index.facts("deep/fire.mp4")
        assert facts.path == "deep/fire.mp4"
        assert locate(videos / ".prvr", facts.path) == videos / "deep" / "fire.mp4"
        assert facts.modified == pytest.approx((videos / "deep" / "fire.mp4").stat().st_mtime)
        assert facts.duration_s == pytest.approx(2, abs=0.05)
        (hit,) = index.words("what burns", k=5)
        assert (hit.video_id, hit.cues) == ("deep/fire.mp4", (Cue(0.5, 1.0, "It burns!"),))
        query = ENCODER.encode_texts(["red"]).sentence[0]
        assert [one.video_id for one in index.search(query, k=5, where=Where(path="deep/*"))] == ["deep/fire.mp4"]


def test_only_what_changed_is_made_again(videos: Path) -> None:
    build(videos)
    assert build(videos).added == ()
    (videos / "sky.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nHow blue\n")
    assert build(videos).added == ("sky.mp4",)
    assert build(videos, tags=("mine",)).added == ("both.mp4", "deep/fire.mp4", "sky.mp4")
    assert build(videos).added == (), "tags stay"
    with open_index(videos / ".prvr") as index:
        assert {one.video_id for one in index.words("blue", k=5)} == {"sky.mp4"}
        assert index.facts("sky.mp4").tags == ("mine",)


def test_a_library_may_move(videos: Path, tmp_path: Path) -> None:
    build(videos)
    moved = Path(shutil.move(videos, tmp_path / "elsewhere"))
    done = build(moved)
    assert (done.added, done.num_videos) == ((), 3)
    with open_index(moved / ".prvr") as index:
        assert locate(moved / ".prvr", index.facts("sky.mp4").path) == moved / "sky.mp4"


def test_videos_that_are_gone_are_taken_out_when_asked(videos: Path) -> None:
    build(videos)
    (videos / "sky.mp4").unlink()
    assert build(videos).num_videos == 3
    done = build(videos, prune=True)
    assert (done.removed, done.num_videos) == (("sky.mp4",), 2)
    assert "sky.mp4" not in done.extraction.store


def test_of_a_share_that_is_not_mounted_nothing_is_taken_out(videos: Path, tmp_path: Path) -> None:
    """Its mount point is an empty folder; the same goes for a folder below the one that is read."""
    build(videos)
    (videos / "junk.mp4").write_bytes(b"junk")
    build(videos)
    for away in (videos, videos / "deep"):
        share = tmp_path / "share"
        share.mkdir()
        for path in [path for path in away.iterdir() if path.name != ".prvr"]:
            path.rename(share / path.name)
        lost = ("both.mp4", "deep/fire.mp4", "sky.mp4") if away == videos else ("deep/fire.mp4",)
        for prune in (False, True):
            done = build(videos, prune=prune)
            assert (done.removed, done.missing, done.num_videos) == ((), lost, 3)
            (note,) = done.notes
            many = "3 videos" if away == videos else "1 video"
            assert note.startswith(f"{away}: shows nothing, as where a drive is not connected; its {many} stay")
            assert note.endswith(f"`prvr remove {away}`")
            assert len([*Failures(done.extraction.store.folder)]) == 1, "what is known of a file is kept, too"
        for path in share.iterdir():
            path.rename(away / path.name)
        share.rmdir()
        again = build(videos, prune=True)
        assert (again.extraction.made, again.notes, again.num_videos) == ((), [], 3)


def test_what_to_do_with_an_index_of_an_old_format_is_told_and_works(videos: Path) -> None:
    folder = videos / ".prvr"
    build(videos)
    for path in (*folder.glob("index.db*"), *(folder / "segments").iterdir()):
        path.unlink()
    assert not exists(folder)
    (folder / "index.json").write_text("{}")
    assert exists(folder)
    says = r"of a format that is not read any more; `prvr index --repair --index .* makes it anew from the features"
    for work in (open_index, header_of, lambda _: build(videos)):
        with pytest.raises(IndexFolderError, match=says):
            work(folder)
    assert repair(folder)[1] == ["both.mp4", "deep/fire.mp4", "sky.mp4"]
    done = build(videos)
    assert (done.num_videos, done.extraction.made, done.added) == (3, (), ())


def test_repair_makes_again_just_what_is_damaged(videos: Path) -> None:
    folder = videos / ".prvr"
    build(videos)
    assert verify(folder) == []
    assert repair(folder) == ([], [])
    (segment,) = (folder / "segments").iterdir()
    content = bytearray(segment.read_bytes())
    content[-1] ^= 0xFF
    segment.write_bytes(content)
    (damage,) = verify(folder)
    assert str(damage) == f"{segment}: video {damage.video_id!r} has not the bytes that were written"
    assert repair(folder) == ([damage], [damage.video_id])
    assert verify(folder) == []
    shutil.rmtree(folder / "segments")
    (folder / "segments").mkdir()
    assert len(repair(folder)[1]) == 3
    (folder / "index.db").write_bytes(b"\0" * 9999)
    assert len(repair(folder)[1]) == 3
    assert verify(folder) == []


def test_the_form_of_an_index_stays(videos: Path) -> None:
    folder = videos / ".prvr"
    build_index([videos], folder, ENCODER, form=VectorForm(tokens="int8"), workers=1)
    assert build(videos).added == ()
    with EmbeddedIndex.open(folder) as index:
        assert index.form.tokens == "int8"
    with pytest.raises(IndexFolderError, match="was made otherwise"):
        build_index([videos], folder, ENCODER, form=VectorForm(), workers=1)
    assert zero_shot(ENCODER.spec).width == 3


def test_a_server_that_is_not_there_is_told(videos: Path) -> None:
    with pytest.raises(IndexFolderError, match="127.0.0.1:1/videos: the index server does not do what was asked"):
        build_index([videos], videos / ".prvr", ENCODER, engine="qdrant://127.0.0.1:1/videos", workers=1)
    with pytest.raises(IndexFolderError, match="is no place for an index; write qdrant://host:port/collection"):
        open_index("qdrant://host")
