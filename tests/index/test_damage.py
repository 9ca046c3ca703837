"""Whatever happens to the files: a clear word, the good part searchable, and just the rest made again."""

from __future__ import annotations

import os
import random
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import torch

from prvr.core.errors import IndexFolderError
from prvr.index import embedded, view
from prvr.index.base import Index
from prvr.index.embedded import EmbeddedIndex
from prvr.index.opening import read_header
from prvr.index.upkeep import mend_catalogue
from tests.index.make import header, video

COUNT = 24
TOPICS = torch.nn.functional.normalize(torch.randn(5, 32, generator=torch.Generator().manual_seed(3)), dim=1)
QUERY = TOPICS[0]


def put(index: Index, v: int) -> None:
    one = video(v, TOPICS)
    index.add(one.video_id, one.bank, version=one.version, facts=one.facts, cues=one.cues)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of three segments."""
    monkeypatch.setattr(embedded, "BATCH", 8)
    with EmbeddedIndex.create(tmp_path / "index", header(width=32)) as index:
        for v in range(COUNT):
            put(index, v)
        index.save(tmp_path / "index")
    return tmp_path / "index"


def answer(index: Index) -> dict[str, float]:
    return {hit.video_id: hit.score for hit in index.search(QUERY, k=COUNT)}


def mended(folder: Path) -> tuple[list[str], list[str]]:
    """Repair, add what is lost, and be sure that all is as it was; -> what was damaged, and what was added."""
    found = mend_catalogue(folder)
    with EmbeddedIndex.create(folder, header(width=32)) as index:
        found += index.verify()
        index.repair(found)
        lost = [f"{v:03}" for v in range(COUNT) if f"{v:03}" not in index.versions]
        for name in lost:
            put(index, int(name))
        index.save(folder)
        assert index.verify() == []
        assert len(index) == COUNT
        assert index.words("dog", k=99)
    return [str(one) for one in found], lost


@pytest.mark.parametrize("damage", ["cut", "gone", "flipped", "not a number"])
def test_a_damaged_segment_costs_its_videos(folder: Path, damage: str) -> None:
    with EmbeddedIndex.open(folder) as index:
        whole = answer(index)
        place = index._look().places
        inside = {one.video_id for one in index._catalogue.rows(place.key[place.segment == 2].tolist()).values()}
    path = folder / "segments" / _files(folder)[2][0]
    content = bytearray(path.read_bytes())
    match damage:
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "gone":
            path.unlink()
        case "flipped":
            content[1] ^= 0x40  # the first number of the first video
            path.write_bytes(content)
        case _:
            content[:640] = b"\xff" * 640
            path.write_bytes(content)
    with EmbeddedIndex.open(folder) as index:
        left = answer(index)
        assert len(left) == {"cut": len(left), "gone": 16}.get(damage, COUNT - 1) < COUNT
        assert left.items() <= whole.items()
        assert whole.keys() - left.keys() <= inside
        (problem,) = index.problems
        assert str(path) in problem
        assert f"`prvr index --repair --index {folder}` mends it" in problem
        found = index.verify()
        assert {one.video_id for one in found} == whole.keys() - left.keys()
        with pytest.raises(IndexFolderError, match="vectors are damaged; `prvr index --repair"):
            index.candidate(QUERY, str(found[0].video_id))
    damages, lost = mended(folder)
    assert len(damages) == len(lost) == COUNT - len(left), "just that is made again"
    with EmbeddedIndex.open(folder) as index:
        assert answer(index) == whole
        assert index.problems == []


def _files(folder: Path) -> dict[int, tuple[str, int]]:
    with EmbeddedIndex.open(folder) as index:
        return index._catalogue.segments()


def readable(folder: Path) -> bool:
    try:
        with EmbeddedIndex.open(folder):
            return True
    except IndexFolderError:
        return False


def test_any_damaged_page_of_the_catalogue(folder: Path) -> None:
    """Page by page: what can be read answers, what cannot is told, and all is well after a repair."""
    with EmbeddedIndex.open(folder) as index:
        whole = answer(index)
    file, untouched = folder / "index.db", folder.with_name("untouched")
    content = file.read_bytes()
    shutil.copytree(folder, untouched)
    size = sqlite3.connect(file).execute("PRAGMA page_size").fetchone()[0]
    unread = 0
    for page in range(1, len(content) // size):
        broken = bytearray(content)
        broken[page * size : (page + 1) * size] = random.Random(page).randbytes(size)
        file.write_bytes(broken)
        if not readable(folder):
            unread += 1
        else:
            with EmbeddedIndex.open(folder) as index:
                left = answer(index)
                assert left.items() <= whole.items(), page
                assert len(left) == COUNT or index.problems, page
                assert index.verify(), page
        if page % 3 == 0:
            assert mended(folder)[0], page
            with EmbeddedIndex.open(folder) as index:
                assert answer(index) == whole, page
        shutil.rmtree(folder)
        shutil.copytree(untouched, folder)
    assert unread <= 4, "only without the header nothing can be read"


def test_any_flipped_bit_of_the_catalogue(folder: Path) -> None:
    """Never another answer, never an error that is not explained."""
    with EmbeddedIndex.open(folder) as index:
        whole = answer(index)
    file = folder / "index.db"
    content, dice = file.read_bytes(), random.Random(0)
    for trial in range(60):
        broken = bytearray(content)
        for _ in range(1 + trial % 3):
            broken[dice.randrange(100, len(content))] ^= 1 << dice.randrange(8)
        file.write_bytes(broken)
        with suppress(IndexFolderError), EmbeddedIndex.open(folder) as index:
            left = answer(index)
            assert left.items() <= whole.items(), trial
            assert len(left) == COUNT or index.problems, trial
            index.verify()
            index.score_all(QUERY[None])
            index.words("dog", k=5)


def test_a_catalogue_that_is_none_is_told(folder: Path) -> None:
    (folder / "index.db").write_bytes(b"this is no catalogue" * 500)
    for work in (EmbeddedIndex.open, read_header):
        with pytest.raises(IndexFolderError, match="is damaged .file is not a database.; `prvr index --repair"):
            work(folder)
    damages, lost = mended(folder)
    assert len(lost) == COUNT
    assert "cannot be read at all (file is not a database), and was put aside" in damages[0]


def test_damaged_neighbours_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "EXACT", 5)
    monkeypatch.setattr(view, "SHORTLIST", (8, 8))
    with EmbeddedIndex.create(tmp_path, header(width=32)) as index:
        for v in range(COUNT):
            put(index, v)
        index.save(tmp_path)
        truth = index.score_all(QUERY[None])[1].max()
    for damage in (b"", b"\0" * 99, None):
        (path,) = (tmp_path / "nearest").iterdir()
        path.unlink() if damage is None else path.write_bytes(damage)
        with EmbeddedIndex.open(tmp_path) as index:
            assert index.search(QUERY, k=1)[0].score == pytest.approx(float(truth), abs=1e-6)
            assert "answers are right, but slower" in index.problems[0]
            (found,) = index.verify()
            assert (found.place, found.video_id) == (str(path), None)
        damages, lost = mended(tmp_path)
        assert (len(damages), lost) == (1, [])
        with EmbeddedIndex.open(tmp_path) as index:
            index.search(QUERY, k=1)
            assert index.problems == []


@contextmanager
def full_disk(after: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [100, 4_000, 20_000])
def test_a_full_disk_keeps_what_was_committed(folder: Path, room: int) -> None:
    """In the middle of a segment, and in the middle of a commit."""
    with EmbeddedIndex.open(folder) as index:
        whole = answer(index)
    index = EmbeddedIndex.open(folder, write=True)
    for v in range(COUNT, COUNT + 7):
        put(index, v)
    with full_disk(room), pytest.raises(IndexFolderError, match="cannot be written.*free some space"):
        index.save(folder)
    with EmbeddedIndex.open(folder) as reader:
        kept = reader.search(QUERY, k=99)
        assert whole.items() <= {hit.video_id: hit.score for hit in kept}.items()
        assert reader.verify() == []
    index.save(folder)
    index.close()
    with EmbeddedIndex.open(folder) as reader:
        assert reader.verify() == []
        assert len(reader) == COUNT + 7


@contextmanager
def nobody() -> Iterator[None]:
    """As a user who owns nothing; root may write everywhere."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


def test_a_read_only_folder_answers_and_says_that_it_cannot_be_written(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "index"
        shutil.copytree(folder, copy)
        for path in (Path(place), copy, *copy.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            with nobody():
                with EmbeddedIndex.open(copy) as index:
                    assert len(answer(index)) == COUNT
                    assert index.verify() == []
                with pytest.raises(IndexFolderError, match="cannot be written .Permission denied.; choose another"):
                    EmbeddedIndex.open(copy, write=True)
        finally:
            for path in (Path(place), copy, *copy.rglob("*")):
                path.chmod(0o755)


def test_where_there_is_no_index_it_is_said_how_one_is_made(tmp_path: Path) -> None:
    with pytest.raises(IndexFolderError, match="no index here; make one with `prvr index PATH --index DIR`"):
        EmbeddedIndex.open(tmp_path / "nowhere")


def test_files_of_the_user_in_an_index_folder_stay(folder: Path, tmp_path: Path) -> None:
    own = [folder / "segments" / "holiday.mp4", folder / "nearest" / "notes.txt", folder / ".draft.tmp"]
    left = folder / "segments" / f"{'0123456789abcdef'}.rows"
    for path in (*own, left):
        path.parent.mkdir(exist_ok=True)
        path.write_text("somebody's own")
    with EmbeddedIndex.create(folder, header(width=32)) as index:
        put(index, 0)
        index.save(folder)
    assert all(path.read_text() == "somebody's own" for path in own)
    assert not left.exists(), "what a killed writer left is ours"
    other = tmp_path / "films"
    (other / "segments").mkdir(parents=True)
    (other / "segments" / "one.mp4").touch()
    with pytest.raises(IndexFolderError, match=r"one\.mp4: is no file of an index; choose another folder"):
        EmbeddedIndex.create(other, header(width=32))


def test_what_a_killed_writer_committed_is_read_where_nothing_may_be_written(tmp_path: Path) -> None:
    """SQLite needs a file beside the log to read it (`-shm`); what bars that here is a folder of its name."""
    folder, copy = tmp_path / "index", tmp_path / "copy"
    with EmbeddedIndex.create(folder, header(width=32)) as index:
        for v in range(COUNT):
            put(index, v)
        assert index.search(QUERY, k=1), "committed, and in the log alone"
        whole = answer(index)
        shutil.copytree(folder, copy)
    assert (copy / "index.db-wal").stat().st_size
    (copy / "index.db-shm").unlink()
    (copy / "index.db-shm").mkdir()
    before = len(list(Path(tempfile.gettempdir()).glob("prvr-*")))
    with EmbeddedIndex.open(copy) as index:
        assert answer(index) == whole
        assert len(index) == COUNT
    assert len(list(Path(tempfile.gettempdir()).glob("prvr-*"))) == before


def test_a_segment_that_is_cut_under_who_searches_it_ends_nobody(folder: Path) -> None:
    with EmbeddedIndex.open(folder) as index:
        whole = answer(index)
        path = folder / "segments" / _files(folder)[2][0]
        os.truncate(path, 100)
        left = answer(index)
        assert left.items() < whole.items()
        (problem,) = index.problems
        assert str(path) in problem
        assert index.verify()
    assert mended(folder)[1]


@pytest.mark.parametrize("version", [1, 99])
def test_of_another_version_the_next_step_is_said_and_works(folder: Path, version: int) -> None:
    with EmbeddedIndex.open(folder) as index:
        whole = answer(index)
    with closing(sqlite3.connect(folder / "index.db")) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    if version == 99:
        with pytest.raises(IndexFolderError, match="made by a newer prvr .* update prvr, or index into another folder"):
            EmbeddedIndex.open(folder)
        with pytest.raises(IndexFolderError, match="update prvr"):
            mend_catalogue(folder)
        return
    with pytest.raises(IndexFolderError, match=f"older format .* `prvr index --repair --index {folder}` makes it anew"):
        EmbeddedIndex.open(folder)
    found, lost = mended(folder)
    assert "older format, and was put aside" in found[0]
    assert len(lost) == COUNT
    with EmbeddedIndex.open(folder) as index:
        assert answer(index) == whole


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE passage SET text = text || 'x' WHERE video = 3",
        "UPDATE tag SET name = 'zoo' WHERE video = 3",
        "UPDATE video SET path = 'elsewhere' WHERE id = 3",
    ],
)
def test_words_that_are_not_what_was_written_are_found(folder: Path, damage: str) -> None:
    with EmbeddedIndex.open(folder, write=True) as index:
        assert index.verify() == []
        changed = next(name for name, facts in index.all_facts().items() if index._catalogue.key_of(name) == 3)
        index.put_tags({changed: ["new", "own"]})
        assert index.verify() == [], "tags may be changed"
    with closing(sqlite3.connect(folder / "index.db")) as connection:
        assert connection.execute(damage).rowcount
        connection.commit()
    with EmbeddedIndex.open(folder) as index:
        (found,) = index.verify()
    assert found.video_id == changed
    assert "has not the place, tags or subtitles that were written" in str(found)
    assert mended(folder)[1] == [changed]
