"""An index copied to a server and back: whole, in parts, and compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from prvr.core.errors import IndexFolderError
from prvr.index import copying
from prvr.index.collection import CollectionForm
from prvr.index.copying import compare, copy_from, copy_to
from prvr.index.embedded import EmbeddedIndex
from prvr.index.opening import ENGINE, open_index
from prvr.index.points import point_id
from prvr.index.qdrant import QdrantIndex
from prvr.index.segments import VectorForm
from tests.index.make import header, unit, video
from tests.index.wire import Qdrant, Refused, qdrant

WIDTH, VIDEOS = 32, 70


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Qdrant]:
    with qdrant(tmp_path / "qdrant") as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "index"
    topics = unit(12, WIDTH)
    with EmbeddedIndex.create(made, header(width=WIDTH)) as index:
        for v in range(VIDEOS):
            one = video(v, topics)
            index.add(one.video_id, one.bank, version=one.version, facts=one.facts, cues=one.cues)
        index.put_note("calibration", "how sure " * 1000)
        index.save(made)
    return made


def test_there_and_back_is_the_same_and_the_folder_answers_for_itself_again(
    server: Qdrant, folder: Path, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    done = copy_to(folder, server.url(), collection=CollectionForm(shards=2), on_progress=lambda *now: seen.append(now))
    assert (done.copied, done.videos, done.differences) == (VIDEOS, VIDEOS, ())
    assert (done.vectors, done.scores < 1e-5) == (0.0, True)
    assert seen[-1] == (VIDEOS, VIDEOS)
    assert [now for now, _ in seen] == sorted(now for now, _ in seen)
    again = copy_to(folder, server.url())
    assert (again.copied, again.videos, again.differences) == (0, VIDEOS, ())
    other = tmp_path / "back"
    other.mkdir()
    (other / ENGINE).write_text(server.url())
    back = copy_from(server.url(), other)
    assert (back.copied, back.videos, back.differences) == (VIDEOS, VIDEOS, ())
    assert not (other / ENGINE).exists()
    with open_index(folder) as one, open_index(other) as two:
        for ours, theirs in zip(one.videos(), two.videos(), strict=True):
            assert ours._replace(bank=theirs.bank) == theirs
            assert ours.bank.tokens.equal(theirs.bank.tokens)
            assert ours.bank.spans.equal(theirs.bank.spans)
        assert dict(one.notes()) == dict(two.notes())


def test_a_copy_that_was_stopped_goes_on_from_there(
    server: Qdrant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prvr.index.qdrant.BATCH", 8)
    puts = 0

    def breaks(method: str, path: str) -> None:
        nonlocal puts
        puts += (method, path[-7:]) == ("PUT", "/points")
        if puts > 4:
            raise Refused(500, "Service internal error: no space left on device")

    server.breaks = breaks
    with pytest.raises(IndexFolderError, match=r"no space left on device.*not there yet.* of 70 videos are there\)"):
        copy_to(folder, server.url(), workers=1)
    server.breaks = lambda method, path: None
    with QdrantIndex.connect(server.url()) as index:
        there = len(index)
    assert there == 3 * 8  # after the header's own
    done = copy_to(folder, server.url())
    assert (done.copied, done.differences) == (VIDEOS - there, ())


def test_what_changed_since_is_copied_and_what_is_gone_is_asked_about(server: Qdrant, folder: Path) -> None:
    copy_to(folder, server.url())
    with open_index(folder, write=True) as index:
        one = video(3, unit(12, WIDTH), seed=7)
        index.add(one.video_id, one.bank, version=one.version, facts=one.facts, cues=one.cues)
        index.put_tags({"005": ["other"]})
        index.remove("008")
        index.save(folder)
    with pytest.raises(IndexFolderError, match=r"holds 1 videos that are not in what is copied \(008\); add --prune"):
        copy_to(folder, server.url())
    done = copy_to(folder, server.url(), prune=True)
    assert (done.copied, done.videos, done.differences) == (2, VIDEOS - 1, ())


def test_a_copy_that_is_not_the_same_is_told(server: Qdrant, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "SAMPLED", VIDEOS)
    copy_to(folder, server.url())
    with open_index(folder) as source, QdrantIndex.connect(server.url()) as target:
        target._points.set_payload(point_id("004"), {"spans": [0.0] * 20})
        other = video(9, unit(12, WIDTH))
        target.add("009", other.bank, version=source.versions["009"], facts=other.facts, cues=other.cues)
        target.put_note("calibration", "other")
        vectors, scores, differences = compare(source, target, near=1e-3)
        assert vectors == float("inf")
        assert scores > 1e-3
        assert [line.partition(" differ")[0] for line in differences] == [
            "the note 'calibration' is another", "vectors of sampled videos", "scores of queries",
        ]  # fmt: skip
        target.remove("010")
        assert compare(source, target, near=1e-3)[2] == ["1 videos are not the same in both (010)"]


def test_a_smaller_form_is_compared_as_such(server: Qdrant, folder: Path, tmp_path: Path) -> None:
    copy_to(folder, server.url())
    done = copy_from(server.url(), tmp_path / "small", form=VectorForm(tokens="int8"))
    assert (done.copied, done.differences) == (VIDEOS, ())
    assert 1e-3 < done.vectors < 1e-2


def test_where_a_copy_makes_no_sense_is_told(server: Qdrant, folder: Path) -> None:
    copy_to(folder, server.url())
    (folder / ENGINE).write_text("qdrant://127.0.0.1:1/other")
    with pytest.raises(IndexFolderError, match=r"its vectors are in qdrant://127.0.0.1:1/other; copy from there, or"):
        copy_from(server.url(), folder)
    (folder / ENGINE).write_text(server.url())
    with pytest.raises(IndexFolderError, match="already; name another collection"):
        copy_to(folder, server.url())
    with pytest.raises(IndexFolderError, match="no index here; make one with"):
        copy_from(server.url("none"), folder.parent / "new")
