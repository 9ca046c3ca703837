from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prvr.core.errors import ConfigError, DataError
from prvr.core.types import Query
from prvr.data.annotations import parse_queries, render_queries, write_queries
from prvr.data.benchmarks import (
    BENCHMARKS,
    activitynet,
    benchmark,
    captions,
    charades,
    describe,
    hold_out,
    open_annotations,
    qvhighlights,
    tvr,
)
from prvr.data.benchmarks.catalogue import Benchmark, Release
from prvr.data.benchmarks.forms import form, form_of
from prvr.data.benchmarks.splits import Quartiles, moment_ratio

RELEASES = [pytest.param(known, one, id=f"{known.name}-{one.split}") for known in BENCHMARKS for one in known.releases]

CUT = {"qid": 1, "query": "a  dog", "duration": 100, "vid": "abc_60.0_210.0", "relevant_windows": [[2, 10], [90, 100]]}
CHARADES = {"qid": 0, "query": "a door", "duration": 30.5, "vid": "AO8RW", "relevant_windows": [[0.0, 6.9]]}
UNSEEN = {key: value for key, value in CHARADES.items() if key != "relevant_windows"}
TVR = {"vid_name": "s01", "duration": 61.46, "ts": [0, 3.87], "desc": " a door ", "type": "v", "desc_id": 7}
ACTIVITYNET = {
    "v_a": {"duration": 9.99, "timestamps": [[0, 10], [8, 2.5]], "sentences": [" A\nman.", "He runs."]},
    "v_b": {"duration": 5.0, "timestamps": [[1, 1]], "sentences": ["She runs."]},
}


def lines(*rows: object) -> str:
    return "\n".join(json.dumps(row) for row in rows)


def rows_of(path: Path, text: str) -> object:
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


def release_file(shared: Path, known: Benchmark, one: Release) -> Path:
    path = shared / "annotations" / known.folder / one.file
    if not path.is_file():
        pytest.skip(f"{path} is not here: annotations are not shipped")
    return path


@pytest.mark.parametrize(("known", "one"), RELEASES)
def test_the_real_files_hold_what_is_published_and_are_written_again(
    shared: Path, known: Benchmark, one: Release
) -> None:
    path = release_file(shared, known, one)
    own = form(known.name)
    assert form_of(path) is own
    queries = own.read(path)
    assert (len({query.video_id for query in queries}), len(queries)) == (one.videos, one.queries)
    assert len({query.query_id for query in queries}) == len(queries)
    again = parse_queries(render_queries(queries), where="ours")
    assert again == queries
    assert rows_of(path, own.render(again)) == rows_of(path, path.read_text(encoding="utf-8"))
    for query in queries:
        assert query.duration_s is not None
        assert all(0 <= start <= end <= query.duration_s + 0.011 for start, end in query.windows)
        assert query.text == " ".join(query.text.split())


def test_cuts_lie_end_to_end_in_order_of_start() -> None:
    late = {**CUT, "qid": 2, "query": "rain", "vid": "abc_210.0_360.0", "duration": 150, "relevant_windows": [[4, 6]]}
    gap = {**CUT, "qid": 3, "query": "snow", "vid": "abc_660.0_810.0", "duration": 120, "relevant_windows": []}
    other = {**CUT, "qid": 4, "vid": "a_b_60.0_210.0", "saliency_scores": [[4, 1, 2]]}
    text = lines(gap, late, other, CUT)  # neither order of the file nor gaps between cuts count
    queries = qvhighlights.parse(text, where="val")
    assert [(query.query_id, query.video_id, query.windows, query.duration_s) for query in queries] == [
        ("abc#3", "abc", (), 370.0),
        ("abc#2", "abc", ((104.0, 106.0),), 370.0),
        ("a_b#4", "a_b", ((2.0, 10.0), (90.0, 100.0)), 100.0),
        ("abc#1", "abc", ((2.0, 10.0), (90.0, 100.0)), 370.0),
    ]
    assert queries[1].source == {
        "benchmark": "qvhighlights",
        "qid": 2,
        "duration": 150,
        "vid": "abc_210.0_360.0",
        "offset_s": 100.0,
    }
    assert [json.loads(line) for line in qvhighlights.render(queries).splitlines()] == [gap, late, other, CUT]


def test_activitynet_puts_backward_moments_in_order_and_writes_them_back() -> None:
    queries = activitynet.parse(json.dumps(ACTIVITYNET), where="train.json")
    assert [(query.query_id, query.text, query.windows) for query in queries] == [
        ("v_a#0", "A man.", ((0.0, 10.0),)),  # 0.01 s past the end, as in the authors' files
        ("v_a#1", "He runs.", ((2.5, 8.0),)),
        ("v_b#0", "She runs.", ((1.0, 1.0),)),
    ]
    assert queries[1].source == {"benchmark": "activitynet", "timestamp": [8, 2.5]}
    assert json.loads(activitynet.render(queries)) == ACTIVITYNET
    assert json.loads(activitynet.render([queries[2], *queries[:2]])) == ACTIVITYNET


def test_a_changed_sentence_is_what_is_written() -> None:
    (query,) = tvr.parse(lines(TVR), where="val")
    assert query.text == "a door"
    assert json.loads(tvr.render([query])) == TVR
    changed = replace(query, text="a window", windows=((1.0, 2.0),))
    assert json.loads(tvr.render([changed])) == {**TVR, "desc": "a window", "ts": [1.0, 2.0]}


def test_queries_from_elsewhere_get_the_next_free_number() -> None:
    (own,) = charades.parse(lines(CHARADES), where="train")
    (foreign,) = tvr.parse(lines(TVR), where="val")
    assert [json.loads(line)["qid"] for line in charades.render([foreign, own, foreign]).splitlines()] == [1, 0, 2]
    assert json.loads(charades.render([foreign])) == {
        "qid": 0,
        "query": "a door",
        "duration": 61.46,
        "vid": "s01",
        "relevant_windows": [[0.0, 3.87]],
    }
    assert json.loads(qvhighlights.render([foreign]))["vid"] == "s01_0.0_61.46"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("charades", lines(CHARADES)[:40], r"a:1: is not JSON .* expected an object with qid, query"),
        ("charades", lines(CHARADES, [1]), r"a:2: expected an object with qid, query, duration, vid, found"),
        ("charades", lines({"qid": 1}), "a:1: has no 'query'; expected an object with"),
        ("charades", "", "a: holds no query; expected JSON lines"),
        ("charades", "\n \n", "a: holds no query"),
        ("charades", lines(CHARADES, CHARADES), "a:2: query id 0 stands already at a:1; ids must be unique"),
        ("charades", lines({**CHARADES, "qid": " "}), "a:1: 'qid' must be a whole number or a name, found ' '"),
        ("charades", lines({**CHARADES, "qid": True}), "a:1: 'qid' must be a whole number or a name, found True"),
        ("charades", lines(CHARADES, {**UNSEEN, "qid": 1}), "a:2: has no 'relevant_windows'"),
        ("charades", lines({**CHARADES, "query": " "}), "a:1: 'query' must be text that is not empty"),
        ("charades", lines({**CHARADES, "vid": "a\nb"}), "a:1: 'vid' is a video id, one line without spaces around it"),
        ("charades", lines({**CHARADES, "duration": 0}), "a:1: 'duration' must be a number of seconds above 0"),
        ("charades", lines({**CHARADES, "duration": float("nan")}), "'duration' must be a number of seconds above 0"),
        ("charades", lines({**CHARADES, "relevant_windows": 3}), "a:1: 'relevant_windows' must be a list"),
        ("charades", lines({**CHARADES, "relevant_windows": [[1]]}), r"a:1: a moment is \[start, end\] in seconds"),
        (
            "charades",
            lines({**CHARADES, "relevant_windows": [[31, 32]]}),
            r"<= 30.5 \(the video's length\)",
        ),
        ("charades", lines({**CHARADES, "relevant_windows": [[3, 2]]}), r"found \[3, 2\]"),
        ("tvr", lines({**TVR, "ts": None}), "a:1: a moment is"),
        ("qvhighlights", lines({**CUT, "vid": "abc"}), "a:1: 'vid' must be '<youtube id>_<start>_<end>', found 'abc'"),
        (
            "qvhighlights",
            lines(CUT, {**CUT, "qid": 2, "duration": 90}),
            "a:2: cut .* is 90 s long here and 100",
        ),
        ("qvhighlights", lines({**CUT, "relevant_windows": [[90, 110]]}), "a:1: a moment is .* <= 100"),
        ("activitynet", "{", "a:1: is not JSON"),
        ("activitynet", "{}", "a: expected one object, video id -> an object with duration, timestamps, sentences"),
        ("activitynet", "[]", "a: expected one object"),
        ("activitynet", '{"v_a": 3}', "a: video 'v_a': expected an object with duration"),
        ("activitynet", '{"v_a": {"duration": 3}}', "a: video 'v_a': has no 'timestamps'"),
        ("activitynet", json.dumps(ACTIVITYNET)[:-1] + ', "v_a": {}}', "a: video 'v_a' stands twice"),
        (
            "activitynet",
            '{"v_a": {"duration": 3, "timestamps": [], "sentences": ["x"]}}',
            "has 1 sentences and 0 timestamps",
        ),
        (
            "activitynet",
            '{"v_a": {"duration": 3, "timestamps": [[0, 4]], "sentences": ["x"]}}',
            "a: video 'v_a', sentence 0: a moment is .* <= 3",
        ),
        (
            "activitynet",
            '{"v_a": {"duration": 3, "timestamps": [[0, 3]], "sentences": ["x"], "fps": 2}}',
            "unknown field 'fps'",
        ),
        (
            "charades_sta",
            "AB1CD 0.0 6.9##a door.\nAB1CD 0.0 -1##b",
            "a:2: expected '<video> <start> <end>##<sentence>'",
        ),
        ("charades_sta", " ", "a: holds no query"),
        ("captions", "v#0 a man\nv#1", r"a:2: expected '<video id>#<n> <sentence>', found 'v#1'"),
        ("captions", "v a man", r"a:1: expected"),
        ("captions", "#1 a man", r"a:1: expected"),
        ("captions", "v#0 a\n\nv#0 b", "a:3: query id 'v#0' stands already at a:1"),
        ("captions", " \n", "a: holds no query; expected lines of"),
    ],
)
def test_a_bad_file_is_named_with_its_place(name: str, content: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        form(name).parse(content, where="a")


words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=8)
sentences = st.lists(words, min_size=1, max_size=5).map(" ".join)
video_ids = words.filter(lambda text: "#" not in text and text.split() == [text])
said = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)


@given(
    items=st.lists(
        st.tuples(video_ids, st.sampled_from(["#enc#", "#"]), st.integers(0, 9_999), sentences),
        min_size=1,
        max_size=8,
        unique_by=lambda item: item[:3],
    )
)
def test_captions_are_written_as_they_were_read(items: list[tuple[str, str, int, str]]) -> None:
    text = "".join(f"{video}{mark}{n} {sentence}\n" for video, mark, n, sentence in items)
    queries = captions.parse(text, where="a")
    assert [(query.video_id, query.text) for query in queries] == [(video, sentence) for video, _, _, sentence in items]
    assert captions.render(queries) == text


@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip), source=said)
def test_our_own_form_holds_any_sentence_and_any_source(text: str, source: object) -> None:
    query = Query(query_id="v#0", video_id="v", text=text, source={"benchmark": "x", "row": source})
    assert parse_queries(render_queries([query, replace(query, query_id="v#1")]), where="a")[0] == query


def test_captions_know_the_first_space_and_the_first_hash() -> None:
    text = "b#enc#7 a # b  c \r\na#2 x\nb#enc#1 y\n"
    queries = captions.parse(text, where="a")
    assert [(query.query_id, query.video_id, query.text) for query in queries] == [
        ("b#enc#7", "b", "a # b  c"),
        ("a#2", "a", "x"),
        ("b#enc#1", "b", "y"),
    ]
    foreign = [Query(query_id=name, video_id="b", text="t\nu") for name in ("q 1", "b#enc#0", "w#2")]
    assert captions.render(foreign) == "b#enc#1 t u\nb#enc#0 t u\nb#enc#2 t u\n"
    with pytest.raises(DataError, match="video id 'a#enc#7 b' cannot stand in a caption file"):
        captions.render([Query(query_id="q", video_id="a#enc#7 b", text="t")])


def test_videos_may_be_called_by_their_titles() -> None:
    text = "My film #2 (final)#enc#0 a man\nvid#1#enc#3 says #4 and goes\nb#4 x\n"
    queries = captions.parse(text, where="a")
    assert [(query.query_id, query.video_id, query.text) for query in queries] == [
        ("My film #2 (final)#enc#0", "My film #2 (final)", "a man"),
        ("vid#1#enc#3", "vid#1", "says #4 and goes"),
        ("b#4", "b", "x"),
    ]
    assert captions.render(queries) == text
    foreign = Query(query_id="vid#1#0", video_id="vid#1", text="t")  # would be read as one of the video `vid`
    assert captions.render([foreign]) == "vid#1#enc#0 t\n"
    (query,) = charades.parse(lines({**CHARADES, "vid": "My film #2"}), where="a")
    assert (query.query_id, query.video_id) == ("My film #2#0", "My film #2")


def test_a_moment_that_ends_after_its_video_is_clipped_and_written_as_it_was() -> None:
    row = {**CHARADES, "relevant_windows": [[24.3, 31.4], [1, 2]]}
    (query,) = charades.parse(lines(row), where="train")
    assert query.windows == ((24.3, 30.5), (1.0, 2.0))
    assert json.loads(charades.render([query])) == row
    changed = replace(query, windows=((2.0, 3.0),))
    assert json.loads(charades.render([changed])) == {**row, "relevant_windows": [[2.0, 3.0]]}


def test_queries_may_have_names_and_no_moments() -> None:
    named = {**CHARADES, "qid": "s1-d2_0", "vid": "s1-d2"}
    (query,) = charades.parse(lines(named), where="train")
    assert (query.query_id, query.windows) == ("s1-d2#s1-d2_0", ((0.0, 6.9),))
    assert json.loads(charades.render([query])) == named
    unseen = {**UNSEEN, "qid": 3158, "duration": 150, "vid": "abcdefghijk_360.0_510.0"}
    (query,) = qvhighlights.parse(lines(unseen), where="test")
    assert (query.query_id, query.video_id, query.windows) == ("abcdefghijk#3158", "abcdefghijk", ())
    assert json.loads(qvhighlights.render([query])) == unseen


def test_charades_as_its_authors_write_it(tmp_path: Path) -> None:
    text = "AB1CD 0 6.9##a person puts a plate.\nXY9ZZ 3.1 2##person sits down.\nAB1CD 24.3 31.4##person closes it.\n"
    for split in ("train", "test"):
        (tmp_path / f"charades_sta_{split}.txt").write_text(text)
    found = open_annotations(tmp_path)
    assert (found.benchmark, found.splits) == (benchmark("charades"), ("train", "val", "test"))
    queries = found.queries("test")
    assert [(query.query_id, query.text, query.windows, query.duration_s) for query in queries] == [
        ("AB1CD#0", "a person puts a plate.", ((0.0, 6.9),), None),
        ("XY9ZZ#1", "person sits down.", ((2.0, 3.1),), None),
        ("AB1CD#2", "person closes it.", ((24.3, 31.4),), None),
    ]
    assert form_of(tmp_path / "charades_sta_test.txt").render(queries) == text
    (tmp_path / "charades_test_release.jsonl").write_text(lines(CHARADES))
    assert open_annotations(tmp_path).queries("test")[0].duration_s == 30.5, "the form that says more comes first"


def test_a_byte_order_mark_is_no_part_of_the_first_id(tmp_path: Path) -> None:
    for name, text in (("a.txt", "v#0 a man\n"), ("b.jsonl", lines(CHARADES)), ("c.json", json.dumps(ACTIVITYNET))):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        assert form_of(tmp_path / name).read(tmp_path / name)[0].video_id in ("v", "AO8RW", "v_a")


def test_a_benchmark_is_found_by_name() -> None:
    assert benchmark("tvr").packs[0].video == "FeatureData/tvr_clip_L14.h5"
    assert benchmark("qvhighlights").caption_file("train") == "TextData/qvhighlighttrain.caption.txt"
    with pytest.raises(ConfigError, match="no benchmark 'charade'; did you mean 'charades'?"):
        benchmark("charade")
    evaluated = {known.name: known.release("test") for known in BENCHMARKS}
    assert {name: one and one.split for name, one in evaluated.items()} == {
        "qvhighlights": "val",
        "tvr": "val",
        "activitynet": "val_1",
        "charades": "test",
    }
    assert all(known.release("val") == evaluated[known.name] for known in BENCHMARKS)


def test_our_own_files_come_before_captions_and_those_before_the_authors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no annotations here; looked for annotations/train.jsonl.*tvr_val_release"):
        open_annotations(tmp_path)
    folder = tmp_path / "charades_sta"
    folder.mkdir()
    (folder / "charades_test_release.jsonl").write_text(lines(CHARADES))
    for root in (tmp_path, folder):
        authors = open_annotations(root)
        assert (authors.benchmark, authors.splits) == (benchmark("charades"), ("val", "test"))
        assert authors.source("val") == authors.source("test") == folder / "charades_test_release.jsonl"
        assert authors.queries("val")[0].video_id == "AO8RW"
    with pytest.raises(DataError, match="charades_train_release.jsonl: no annotations of split 'train' here"):
        authors.queries("train")

    text = tmp_path / "charades" / "TextData"
    text.mkdir(parents=True)
    (text / "charadesval.caption.txt").write_text("AO8RW#enc#0 from captions\n")
    field = open_annotations(tmp_path)
    assert (field.benchmark, field.splits) == (benchmark("charades"), ("val", "test"))
    assert [(query.text, query.windows) for query in field.queries("test")] == [("from captions", ())]
    (text / "charadestest.caption.txt").write_text("AO8RW#enc#0 of its own\n")
    assert open_annotations(tmp_path / "charades").queries("test")[0].text == "of its own"

    write_queries(tmp_path / "annotations" / "val.jsonl", [Query(query_id="q", video_id="v", text="ours")])
    ours = open_annotations(tmp_path)
    assert (ours.benchmark, ours.splits, ours.queries("val")[0].text) == (None, ("val",), "ours")
    with pytest.raises(DataError, match=r"annotations/test.jsonl: no annotations of split 'test' here; there are val"):
        ours.queries("test")
    write_queries(tmp_path / "annotations" / "val.jsonl", authors.queries("val"))
    assert open_annotations(tmp_path).benchmark == benchmark("charades")


def test_captions_take_moments_from_the_authors_files_beside_them(tmp_path: Path) -> None:
    (tmp_path / "TextData").mkdir()
    (tmp_path / "TextData" / "charadesval.caption.txt").write_text(
        "AO8RW#enc#0 a  door\nAO8RW#enc#1 a window\nB#enc#0 a door\nAO8RW#enc#2 a door\nAO8RW#enc#3 a door\n"
    )
    again = {**CHARADES, "qid": 1, "relevant_windows": [[8, 9]]}
    (tmp_path / "charades_test_release.jsonl").write_text(lines(CHARADES, again))
    queries = open_annotations(tmp_path).queries("test")
    assert [query.query_id for query in queries] == [
        "AO8RW#enc#0",
        "AO8RW#enc#1",
        "B#enc#0",
        "AO8RW#enc#2",
        "AO8RW#enc#3",
    ]
    assert [query.windows for query in queries] == [((0.0, 6.9),), (), (), ((8.0, 9.0),), ()]
    assert [query.duration_s for query in queries] == [30.5, None, None, 30.5, None]
    assert queries[3].source == {"benchmark": "charades", "qid": 1}


def test_several_benchmarks_in_one_folder_must_be_named(tmp_path: Path) -> None:
    (tmp_path / "tvr_val_release.jsonl").write_text(lines(TVR))
    (tmp_path / "val_1.json").write_text(json.dumps(ACTIVITYNET))
    (tmp_path / "val_2.json").write_text(json.dumps(ACTIVITYNET))
    with pytest.raises(DataError, match="more than one benchmark"):
        open_annotations(tmp_path)
    chosen = open_annotations(tmp_path, name="activitynet")
    assert chosen.source("val_2") == tmp_path / "val_2.json"
    assert chosen.source("test") == chosen.source("val_1") == tmp_path / "val_1.json"
    with pytest.raises(DataError, match=r"looked for .*QVHighlights: highlight_train_release.jsonl"):
        open_annotations(tmp_path, name="qvhighlights")


def test_a_split_in_numbers(tmp_path: Path) -> None:
    (tmp_path / "val_1.json").write_text(json.dumps(ACTIVITYNET))
    (info,) = describe(open_annotations(tmp_path))
    assert (info.splits, info.videos, info.queries, info.queries_per_video) == (("val", "test", "val_1"), 2, 3, 1.5)
    assert (info.words_per_query, info.windows_per_query) == (2.0, 1.0)
    assert info.duration_s == pytest.approx(Quartiles(6.2475, 7.495, 8.7425))  # of 5 and 9.99
    assert info.moment_ratio == pytest.approx(Quartiles(0.5 * 5.5 / 9.99, 5.5 / 9.99, (1 + 5.5 / 9.99) / 2))  # 0, …, 1
    assert (info.published, info.as_published) == ((4_917, 17_505), False)
    write_queries(tmp_path / "annotations" / "train.jsonl", [Query(query_id="q", video_id="v", text="t")])
    (info,) = describe(open_annotations(tmp_path))
    assert (info.moment_ratio, info.duration_s, info.published, info.as_published) == (None, None, None, True)


def test_overlapping_moments_count_once() -> None:
    query = Query(query_id="q", video_id="v", text="t", windows=((4.0, 6.0), (1.0, 5.0), (2.0, 3.0)), duration_s=10.0)
    assert moment_ratio(query) == pytest.approx(0.5)


def test_whole_videos_are_held_out_whatever_the_order() -> None:
    queries = [Query(query_id=f"{v}#{i}", video_id=f"v{v}", text="t") for i in range(3) for v in range(10)]
    kept, held = hold_out(queries, share=0.2, seed=0)
    assert {query.video_id for query in held} == {"v5", "v7"}  # the smallest of `printf '0\\0v5' | sha256sum`
    assert len(held) == 6
    assert [query for query in queries if query in kept] == kept
    assert sorted([*kept, *held], key=queries.index) == queries
    turned = hold_out(queries[::-1], share=0.2, seed=0)
    assert turned == (kept[::-1], held[::-1])
    assert hold_out(queries, share=0.2, seed=1)[1] != held
    assert len({query.video_id for query in hold_out(queries, share=0.001, seed=0)[1]}) == 1
    assert len({query.video_id for query in hold_out(queries, share=0.999, seed=0)[0]}) == 1


def test_holding_out_needs_a_share_and_two_videos() -> None:
    query = Query(query_id="q", video_id="v", text="t")
    with pytest.raises(ConfigError, match="share: 1.0 of the videos cannot be held out"):
        hold_out([query], share=1.0, seed=0)
    with pytest.raises(DataError, match="only 1 video to train on"):
        hold_out([query], share=0.5, seed=0)
