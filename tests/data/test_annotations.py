from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prvr.core.errors import DataError
from prvr.core.types import Query
from prvr.data.annotations import group_by_video, read_queries, write_queries

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).filter(str.strip)
windows = st.lists(st.tuples(st.floats(0, 50), st.floats(50, 99)), max_size=3).map(tuple)
queries = st.builds(
    Query,
    query_id=texts,
    video_id=texts,
    text=texts,
    windows=windows,
    duration_s=st.none() | st.floats(0, 1e5),
    attributes=st.none() | st.dictionaries(texts, texts, min_size=1, max_size=3),
)


@given(items=st.lists(queries, min_size=1, max_size=6, unique_by=lambda query: query.query_id))
def test_written_is_read_back(items: list[Query], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("annotations") / "train.jsonl"
    write_queries(path, items)
    assert read_queries(path) == items


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", r"a.jsonl:1: is not JSON"),
        ("[]", r"a.jsonl:1: expected an object with query_id, video_id, text"),
        ('{"query_id": "q", "video_id": "v"}', "a.jsonl:1: field 'text' must be text"),
        ('{"query_id": "q", "video_id": "v", "text": " "}', "field 'text' must be text that is not empty"),
        ('\n{"query_id": "q", "video_id": "v", "text": "t", "windows": [[3, 1]]}', r"a.jsonl:2: a window is"),
        ('{"query_id": "q", "video_id": "v", "text": "t", "windows": 3}', "windows must be a list"),
        ('{"query_id": "q", "video_id": "v", "text": "t", "txet": 1}', "unknown field 'txet'"),
        ('{"query_id": "q", "video_id": "v", "text": "t", "duration_s": "x"}', "duration_s must be a number"),
        ('{"query_id": "q", "video_id": "v", "text": "t"}\n' * 2, "query id 'q' stands twice"),
        ("", "holds no query"),
        ("\n\n", "holds no query"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=says):
        read_queries(path)


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.jsonl: cannot be read .*expected JSON lines"):
        read_queries(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"b.jsonl: cannot be read"):
        read_queries(tmp_path / "b.jsonl")


def test_groups_keep_the_order_of_first_appearance() -> None:
    items = [Query(query_id=str(i), video_id=video, text="t") for i, video in enumerate("bab")]
    assert {video: [item.query_id for item in group] for video, group in group_by_video(items).items()} == {
        "b": ["0", "2"],
        "a": ["1"],
    }
    assert list(group_by_video(items)) == ["b", "a"]
