from __future__ import annotations

import json
from pathlib import Path

import pytest

from prvr.core.errors import ConfigError, DataError
from prvr.core.types import Query
from prvr.data.annotations import read_queries, write_queries
from prvr.data.benchmarks import BENCHMARKS, benchmark, open_annotations
from prvr.data.benchmarks.catalogue import Benchmark
from prvr.data.benchmarks.forms import form
from prvr.data.convert import convert

QUERIES = [
    Query(query_id="b#0", video_id="b", text="a dog", windows=((0.0, 2.0), (3.0, 4.0)), duration_s=5.0),
    Query(query_id="first", video_id="a", text="a cat", windows=((1.0, 2.0),), duration_s=8.0),
    Query(query_id="b#1", video_id="b", text="a\ncow", duration_s=5.0, attributes={"kind": "cow"}),
]


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    write_queries(tmp_path / "mine" / "annotations" / "train.jsonl", QUERIES)
    return tmp_path / "mine" / "annotations" / "train.jsonl"


@pytest.mark.parametrize("known", BENCHMARKS, ids=lambda known: known.name)
def test_a_real_benchmark_goes_there_and_back(shared: Path, tmp_path: Path, known: Benchmark) -> None:
    root = shared / "annotations" / known.folder
    if not root.is_dir():
        pytest.skip(f"{root} is not here: annotations are not shipped")
    authors = open_annotations(root).source("test")
    ours, again = tmp_path / "annotations" / "test.jsonl", tmp_path / authors.name
    assert convert(authors, ours, to="jsonl").lost == ()
    assert open_annotations(tmp_path).benchmark == known
    assert convert(ours, again, to=known.name).lost == ()
    assert _json(again) == _json(authors)

    text = tmp_path / known.caption_file("test")
    lost = {loss.field for loss in convert(ours, text, to="captions").lost}
    assert lost == {"windows", "duration_s", "source"}
    assert _heads(text) == [(query.query_id, query.video_id, query.text) for query in read_queries(ours)]


def _heads(path: Path) -> list[tuple[str, str, str]]:
    return [(query.query_id, query.video_id, query.text) for query in form("captions").read(path)]


def test_a_real_folder_becomes_ours(shared: Path, tmp_path: Path) -> None:
    root = shared / "annotations" / "charades_sta"
    if not root.is_dir():
        pytest.skip(f"{root} is not here: annotations are not shipped")
    assert convert(root, tmp_path, to="jsonl").queries == 12_404 + 2 * 3_720  # val and test are one split
    annotations = open_annotations(tmp_path)
    assert (annotations.benchmark, annotations.splits) == (benchmark("charades"), ("train", "val", "test"))
    assert annotations.queries("val") == annotations.queries("test") == open_annotations(root).queries("test")


def _json(path: Path) -> object:
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if "\n" not in text.strip() else [json.loads(line) for line in text.splitlines()]


def test_what_captions_cannot_say_is_counted(ours: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.caption.txt"
    done = convert(ours, target, to="captions")
    assert target.read_text() == "b#0 a dog\na#enc#0 a cat\nb#1 a cow\n"
    assert (done.files, done.queries) == ((target,), 3)
    assert {loss.field: loss.queries for loss in done.lost} == {
        "query_id": 1,
        "text": 1,
        "windows": 2,
        "duration_s": 3,
        "attributes": 1,
    }
    assert str(done.lost[2]) == "a.caption.txt: moments of 2 queries"


def test_a_form_with_one_moment_says_what_it_left(ours: Path, tmp_path: Path) -> None:
    write_queries(tmp_path / "b.jsonl", QUERIES[:2])
    done = convert(tmp_path / "b.jsonl", tmp_path / "b.json", to="activitynet")
    assert json.loads((tmp_path / "b.json").read_text())["b"]["timestamps"] == [[0.0, 2.0]]
    assert {loss.field: loss.queries for loss in done.lost} == {"query_id": 1, "windows": 1, "source": 2}
    assert [query.video_id for query in open_and_read(tmp_path / "b.json")] == ["b", "a"]


def open_and_read(path: Path) -> list[Query]:
    convert(path, path.with_suffix(".again.jsonl"), to="jsonl")
    return read_queries(path.with_suffix(".again.jsonl"))


def test_a_folder_becomes_a_folder(ours: Path, tmp_path: Path) -> None:
    write_queries(ours.parent / "test.jsonl", QUERIES[:1])
    done = convert(ours.parent.parent, tmp_path / "out", to="captions")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in done.files] == [
        "TextData/minetrain.caption.txt",
        "TextData/minetest.caption.txt",
    ]
    convert(ours.parent.parent, tmp_path / "qv", to="qvhighlights")
    assert {path.name for path in (tmp_path / "qv").iterdir()} == {
        "highlight_train_release.jsonl",
        "highlight_val_release.jsonl",
    }
    assert open_annotations(tmp_path / "qv").queries("train")[0].windows == QUERIES[0].windows
    write_queries(ours.parent / "val.jsonl", QUERIES[1:2])
    with pytest.raises(DataError, match="has a val and a test split, and TVR has one evaluated split"):
        convert(ours.parent.parent, tmp_path / "tvr", to="tvr")


def test_nothing_is_written_when_one_query_cannot_be(ours: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(DataError, match=r"cannot be written in the form 'tvr' \(query 'b#1': its moment is not known"):
        convert(ours, out / "a.jsonl", to="tvr")
    write_queries(tmp_path / "a.jsonl", [Query(query_id="q", video_id="v", text="t", windows=((0, 1),))])
    with pytest.raises(DataError, match="the length of its video is not known, and TVR cannot be written without"):
        convert(tmp_path / "a.jsonl", out / "a.jsonl", to="tvr")
    with pytest.raises(ConfigError, match="no form of annotations 'caption'; did you mean 'captions'?"):
        convert(ours, out / "a.txt", to="caption")
    assert not out.exists()


def test_what_is_there_stays(ours: Path, tmp_path: Path) -> None:
    before = ours.read_bytes()
    with pytest.raises(DataError, match="is there already; name another target"):
        convert(ours, ours, to="jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        convert(ours, tmp_path / "file" / "a.jsonl", to="jsonl")
    # the second of two files is in the way: the first is not left behind
    write_queries(ours.parent / "val.jsonl", QUERIES[:1])
    (tmp_path / "out" / "annotations" / "val.jsonl").mkdir(parents=True)
    with pytest.raises(DataError, match=r"val.jsonl: is there already"):
        convert(ours.parent.parent, tmp_path / "out", to="jsonl")
    assert [path.name for path in (tmp_path / "out" / "annotations").iterdir()] == ["val.jsonl"]
    assert ours.read_bytes() == before


@pytest.mark.parametrize("content", ["hello", '{"a": 1}', "[1]", "{", ""])
def test_a_file_of_no_known_form_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(content)
    with pytest.raises(DataError, match="a.txt: is of no form that is known"):
        convert(path, tmp_path / "b", to="jsonl")
