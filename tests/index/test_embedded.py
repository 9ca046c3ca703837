"""The engine in a folder: what is added is found, whole, by everyone, at once, wherever the folder lies."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest
import torch

from prvr.core.errors import IndexFolderError
from prvr.core.types import Bank
from prvr.index import embedded, nearest, upkeep, view
from prvr.index.base import Index
from prvr.index.embedded import EmbeddedIndex
from prvr.index.exact import ExactIndex
from prvr.index.merging import merge_alike
from prvr.index.opening import header_of, open_index, read_header
from prvr.index.segments import Kind, VectorForm
from tests.index.make import bank, header, unit, video

ROOT = Path(__file__).parents[2]


def filled(folder: Path, count: int = 40, *, width: int = 32, form: VectorForm | None = None) -> EmbeddedIndex:
    index, topics = EmbeddedIndex.create(folder, header(width=width), form=form), unit(7, width)
    for v in range(count):
        add(index, v, topics)
    index.save(folder)
    return index


def add(index: Index, v: int, topics: torch.Tensor, seed: int = 0) -> None:
    one = video(v, topics, seed=seed)
    index.add(one.video_id, one.bank, version=one.version, facts=one.facts, cues=one.cues)


def answers(index: Index, width: int = 32) -> list[list[tuple[str, float]]]:
    queries = torch.randn(5, width, generator=torch.Generator().manual_seed(1))
    return [[(hit.video_id, hit.score) for hit in index.search(query, k=6)] for query in queries]


@pytest.mark.parametrize("clip_weight", [0.0, 1.0])
@pytest.mark.parametrize("near", [False, True])
def test_a_branch_of_no_weight_may_be_absent(
    tmp_path: Path, clip_weight: float, near: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if near:
        monkeypatch.setattr(view, "EXACT", 5)
        monkeypatch.setattr(view, "SHORTLIST", (30, 30))
    judge = ExactIndex(header(width=32, clip_weight=clip_weight))
    with EmbeddedIndex.create(tmp_path, judge.header) as index:
        for v in range(60):
            made = bank(9, 0, 32) if clip_weight == 0 else bank(0, 5, 32)
            index.add(str(v), made)
            judge.add(str(v), made)
        index.save(tmp_path)
        assert (tmp_path / "nearest").exists() is near
        for got, want in zip(answers(index), answers(judge), strict=True):
            assert got[0][0] == want[0][0]
            assert got[0][1] == pytest.approx(want[0][1], abs=1e-3)


def test_an_index_answers_the_same_wherever_it_lies(tmp_path: Path) -> None:
    with filled(tmp_path / "here") as index:
        before = answers(index)
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert header_of(tmp_path / "here") is None
    with open_index(tmp_path / "there") as moved:
        assert answers(moved) == before
        assert moved.header == header(width=32)


class Watcher(threading.Thread):
    """Reads until it is told to stop; a video is whole if all it holds is of one version."""

    def __init__(self, folder: Path, versions: Sequence[Bank]) -> None:
        super().__init__()
        self.folder, self.versions = folder, versions
        self.seen: set[int] = set()
        self.failed: list[str] = []
        self.stop = threading.Event()

    def run(self) -> None:
        with EmbeddedIndex.open(self.folder) as reader:
            while not (self.stop.is_set() and self.seen):
                for hit in reader.search(torch.ones(16), k=9):
                    version = int(hit.bank.tokens[0].argmax())
                    self.seen.add(version)
                    pairs = zip(hit.bank[:2], self.versions[version][:2], strict=True)
                    if not all(torch.equal(got, want) for got, want in pairs):
                        self.failed.append(hit.video_id)
                if len(reader) != 4 or reader.problems:
                    self.failed.append(f"{len(reader)} videos, {reader.problems}")


def test_readers_see_whole_videos_while_one_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Videos are replaced over and over, and their segments joined and deleted under the readers."""
    monkeypatch.setattr(upkeep, "MANY", 2)
    versions = [Bank(row.repeat(9, 1), torch.full((9, 2), float(v)), 5) for v, row in enumerate(torch.eye(16))]
    with EmbeddedIndex.create(tmp_path, header(width=16)) as writer:
        for name in "abcd":
            writer.add(name, versions[0])
        writer.save(tmp_path)
        watchers = [Watcher(tmp_path, versions) for _ in range(2)]
        for watcher in watchers:
            watcher.start()
        for version in versions:
            for name in "abcd":
                writer.add(name, version)
                if name in "bd":
                    writer.save(tmp_path)
        for watcher in watchers:
            watcher.stop.set()
            watcher.join()
    assert [watcher.failed for watcher in watchers] == [[], []]
    assert all(watcher.seen - {0} for watcher in watchers)


def test_one_writer_many_readers(tmp_path: Path) -> None:
    with filled(tmp_path, 3):
        with pytest.raises(IndexFolderError, match="another prvr process is writing here"):
            EmbeddedIndex.open(tmp_path, write=True)
        with EmbeddedIndex.open(tmp_path) as reader:
            assert len(reader) == 3
            with pytest.raises(IndexFolderError, match="was opened for reading"):
                reader.remove("001")
    with EmbeddedIndex.open(tmp_path, write=True) as index:
        index.remove("001")
        assert len(index) == 2


def test_what_was_made_otherwise_is_refused(tmp_path: Path) -> None:
    filled(tmp_path, 3).close()
    for other in (header(width=16), header(width=32, clip_weight=0.5)):
        with pytest.raises(IndexFolderError, match="holds an index that was made otherwise"):
            EmbeddedIndex.create(tmp_path, other)
    with pytest.raises(IndexFolderError, match="holds an index that was made otherwise"):
        EmbeddedIndex.create(tmp_path, header(width=32), form=VectorForm(tokens="int8"))
    with EmbeddedIndex.create(tmp_path, header(width=32)) as index:
        assert len(index) == 3


def test_dead_rows_are_swept_and_small_segments_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "BATCH", 4)
    monkeypatch.setattr(upkeep, "MANY", 3)
    files = tmp_path / "segments"
    with filled(tmp_path, 40) as index:
        assert len(list(files.iterdir())) == 1
        size = sum(path.stat().st_size for path in files.iterdir())
        assert size == sum(len(one.bank.tokens) for one in index.videos()) * 32 * 2
        index.remove(*(f"{v:03}" for v in range(0, 40, 10)))
        index.save(tmp_path)
        assert sum(path.stat().st_size for path in files.iterdir()) == size, "a tenth is not worth writing it again"
        before = {hit for row in answers(index) for hit in row if int(hit[0]) % 2}
        index.remove(*(f"{v:03}" for v in range(0, 40, 2)))
        index.save(tmp_path)
        assert sum(path.stat().st_size for path in files.iterdir()) < 0.6 * size
        assert before <= {hit for row in answers(index) for hit in row}
        assert index.verify() == []


def test_neighbours_follow_what_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New videos are found before anything is derived from them, and those that are gone no more."""
    monkeypatch.setattr(view, "EXACT", 20)
    monkeypatch.setattr(view, "SHORTLIST", (30, 30))
    with filled(tmp_path, 120) as index:
        (first,) = (tmp_path / "nearest").iterdir()
        query = unit(32)
        index.add("new", Bank(query[None].repeat(3, 1), torch.zeros(3, 2), 2))
        index.save(tmp_path)
        assert index.search(query, k=1)[0].video_id == "new"
        assert list((tmp_path / "nearest").iterdir()) == [first], "one video more is no reason to derive again"
        best = answers(index)[0][0][0]
        index.remove(best)
        assert best not in {name for name, _ in answers(index)[0]}
        for v in range(200, 260):
            add(index, v, unit(5, 32))
        index.save(tmp_path)
        assert first not in set((tmp_path / "nearest").iterdir())


def test_very_many_vectors_are_kept_in_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "EXACT", 20)
    monkeypatch.setattr(view, "SHORTLIST", (60, 60))
    monkeypatch.setattr(nearest, "FLAT", 0)
    with filled(tmp_path, 150) as index:
        near = index._look().nearest
        assert near is not None
        assert near._parts[0][0].nprobe == near._parts[0][0].nlist // 4 > 1
        found = answers(index)
        monkeypatch.setattr(view, "EXACT", 999)
        index.put_note("a", "b")
        want = answers(index)
        assert index._look().nearest is None
    assert sum(len({*a} & {*b}) for a, b in zip(found, want, strict=True)) >= 24, "of 30"


def test_both_branches_are_searched_where_they_disagree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "EXACT", 20)
    topics = unit(9, 32)
    for name, alike in (("agree", True), ("disagree", False)):
        with EmbeddedIndex.create(tmp_path / name, header(width=32)) as index:
            for v in range(60):
                frames = torch.nn.functional.normalize(topics[v % 9] + 0.3 * unit(8, 32), dim=1)
                clips = frames.view(4, 2, 32).mean(1) if alike else unit(4, 32)
                tokens = torch.cat([frames, torch.nn.functional.normalize(clips, dim=1)])
                index.add(str(v), Bank(tokens, torch.zeros(12, 2), 8))
            index.save(tmp_path / name)
            correlation = nearest.correlation(index._segments, index._look().places)
            assert (correlation >= nearest.ALIKE) is alike
            assert len(list((tmp_path / name / "nearest").iterdir())) == (1 if alike else 2)


def test_without_faiss_every_vector_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "EXACT", 20)
    monkeypatch.setattr(view, "SHORTLIST", (60, 60))
    with filled(tmp_path, 80) as index:
        want = answers(index)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with EmbeddedIndex.open(tmp_path) as index:
        assert answers(index) == want
        assert index.problems == []


def test_int8_takes_half_the_bytes(tmp_path: Path) -> None:
    sizes = {}
    for tokens in get_args(Kind):
        with filled(tmp_path / tokens, 20, width=64, form=VectorForm(tokens=tokens)) as index:
            sizes[tokens] = sum(path.stat().st_size for path in (tmp_path / tokens / "segments").iterdir())
            assert index.num_bytes > sizes[tokens]
    assert sizes["fp32"] == 2 * sizes["fp16"]
    assert sizes["int8"] == sizes["fp16"] * (64 + 4) / 128


@pytest.mark.parametrize("alike", [-1.0, 0.5, 1.1])
def test_merging_alike_frames_equals_the_loop(alike: float) -> None:
    made = bank(12, 3, about=unit(8))
    got = merge_alike(made, alike)
    runs = [[0]]
    for t in range(1, 12):
        if float(made.tokens[t] @ made.tokens[t - 1]) >= alike:
            runs[-1].append(t)
        else:
            runs.append([t])
    assert got.num_frames == len(runs)
    for run, token, span in zip(runs, got.tokens, got.spans, strict=False):
        torch.testing.assert_close(token, torch.nn.functional.normalize(made.tokens[run].mean(0), dim=0))
        assert span.tolist() == [float(made.spans[run, 0].min()), float(made.spans[run, 1].max())]
    assert torch.equal(got.tokens[len(runs) :], made.tokens[12:])
    assert torch.equal(got.spans[len(runs) :], made.spans[12:])


def test_merged_frames_are_kept_instead_of_all(tmp_path: Path) -> None:
    still = unit(1, 32).repeat(9, 1)
    with EmbeddedIndex.create(tmp_path, header(width=32), form=VectorForm(alike=0.99)) as index:
        index.add("still", Bank(still, torch.arange(18.0).view(9, 2), 6))
        (hit,) = index.search(still[0], k=1)
        assert (hit.bank.num_frames, len(hit.bank.tokens)) == (1, 4)
        assert hit.bank.spans[0].tolist() == [0, 11]


def test_killed_at_any_moment_nothing_is_lost() -> None:
    """The same as the benchmark does more often; it is read there what is compared."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.torture", "kills", "--kills", "12", "--of", "index"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("| kills: index | 12 kills")


def test_reading_the_header_reads_no_vectors(tmp_path: Path) -> None:
    assert read_header(tmp_path) is None
    filled(tmp_path, 3).close()
    shutil.rmtree(tmp_path / "segments")
    assert read_header(tmp_path) == header(width=32)
