from __future__ import annotations

from datetime import date, timedelta
from time import tzset

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prvr.core.errors import QueryError
from prvr.core.facts import Facts, Where
from prvr.core.grammar import Request, day_at, day_of, duration_of, midnight, notes_of, parse


def asks(
    *steps: str, within: tuple[float | None, ...] = (), without: tuple[str, ...] = (), **filters: object
) -> Request:
    return Request(steps=steps, within_s=within, without=without, filters=Where(**filters))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("a dog jumps", asks("a dog jumps")),
        ("  a\tdog\n jumps ", asks("a dog jumps")),
        ('a dog -crowd -"on a leash"', asks("a dog", without=("crowd", "on a leash"))),
        ("a well-known man - at 12:30", asks("a well-known man - at 12:30")),
        ("A then B", asks("A", "B", within=(None,))),
        ("A THEN B within 30s then C", asks("A", "B", "C", within=(30.0, None))),
        ("A then B then C within 1:30", asks("A", "B", "C", within=(None, 90.0))),
        ('"now and then" a man', asks("now and then a man")),
        ('"then" then "within 30s"', asks("then", "within 30s", within=(None,))),
        ("a tree within the city", asks("a tree within the city")),
        ("a -b then c", asks("a", "c", within=(None,), without=("b",))),
        ("a then b path:x within 5m", asks("a", "b", within=(300.0,), path="x")),
        ('x path:"my holiday" tag:a tag:b tag:a', asks("x", path="my holiday", tags=("a", "b"))),
        ("x PATH:Y", asks("x", path="Y")),
        ("x after:2021 before:2021-06", asks("x", after=midnight(date(2021, 1, 1)), before=midnight(date(2021, 6, 1)))),
        ("x longer:5m shorter:1.5h", asks("x", longer_s=300.0, shorter_s=5400.0)),
        (r'"say \"x\" \\ y"', asks(r'say "x" \ y')),
        ("A then B within 2 minutes", asks("A", "B", within=(120.0,))),
        ("A then B within 1.5 Hours then C within 30 s", asks("A", "B", "C", within=(5400.0, 30.0))),
        ("A then B within two minutes then C within An Hour", asks("A", "B", "C", within=(120.0, 3600.0))),
        ("A then B within a tree then C", asks("A", "B within a tree", "C", within=(None, None))),
        ("he is back within a minute", asks("he is back within a minute")),
        ("x longer:ten min", asks("x", longer_s=600.0)),
        ("A then B within 30 seconds minutes", asks("A", "B minutes", within=(30.0,))),
        ("A then B within 5 dogs", asks("A", "B dogs", within=(5.0,))),
        ("x longer:5 minutes shorter:2h y", asks("x y", longer_s=300.0, shorter_s=7200.0)),
        ('x "within 2 minutes" longer:"90 sec"', asks("x within 2 minutes", longer_s=90.0)),
        ("the last 5 minutes", asks("the last 5 minutes")),
        ("a dog -“blue square” –crowd —“a b”", asks("a dog", without=("blue square", "crowd", "a b"))),
        ("„now and then“ path:“my film” tag：x « a  b »", asks("now and then a b", path="my film", tags=("x",))),
        ("don’t stop — run 12：30", asks("don't stop - run 12:30")),
        ('"a “then” – b"', asks("a “then” – b")),
        ("foo:bar http://x", asks("foo:bar http://x")),
        ("x -naïve", asks("x", without=("naïve",))),
    ],
)
def test_what_is_written_is_what_is_asked(text: str, means: Request) -> None:
    assert parse(text) == means
    assert parse(str(means)) == means


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "query: '' holds no word"),
        ("?! …", "holds no word"),
        ("-crowd", "'-crowd' holds no word to look for"),
        ("path:x", "holds no word to look for"),
        ("A then ?", r"'\?' holds no word"),
        (b"bytes", "expected a sentence, found bytes"),
        (None, "expected a sentence, found NoneType"),
        ("then", "'then' at character 1: nothing stands before it; write A then B"),
        ("a man then", "'then' at character 7: nothing stands after it"),
        ("a then then b", "'then' at character 8: nothing stands before it"),
        ("a within 5s", "'within' at character 3: it bounds the time between two steps; write A then B within 30s"),
        ("a then b within 5s within 6s", "'within' at character 20"),
        ("x longer:abc", "'longer:abc' at character 3: 'abc' is no duration; write longer:90s, longer:5m or longer:1h"),
        ("x after:2021-13", "'after:2021-13' at character 3: '2021-13' is no date; write after:2021"),
        ("x after:21", "'21' is no date"),
        ("x path:a path:b", "'path:b' at character 10: there is a second path:; write one path: only"),
        (
            "x pth:foo",
            "'pth:foo' at character 3: there is no filter 'pth'; write path:foo, or \"pth:foo\" for the words",
        ),
        ('x foo:"a b"', "there is no filter 'foo'; write one of path:, after:"),
        ("x tag: y", "'tag:' at character 3: nothing follows the colon; write tag:family"),
        ('x path:""', "nothing stands in it; write path:holiday"),
        ('x -"!"', "nothing stands in it; write -crowd"),
        ('a "b c', "'\"b' at character 3: the quote is not closed"),
        ('a -"b', "'-\"b' at character 3: the quote is not closed"),
        ("x -path:holiday", "'-path:holiday' at character 3: a filter cannot be turned round"),
    ],
)
def test_what_cannot_be_asked_is_named_with_its_place_and_the_fix(text: object, says: str) -> None:
    with pytest.raises(QueryError, match=says) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


PIECES = (
    "then",
    "within",
    "30s",
    "1:30",
    "a",
    "x",
    "é",
    "-",
    "-b",
    '"',
    "“",
    "”",
    "–",
    "’",
    "min",
    '"c d"',
    "\\",
    ":",
    " ",
    " ",
    " ",
    "\n",
)
FILTER_PIECES = ("path:", "tag:", "ta:", "after:2021", "longer:5m")


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES + FILTER_PIECES), max_size=14).map("".join))
def test_any_query_that_can_be_asked_can_be_written_again(text: str) -> None:
    try:
        asked = parse(text)
    except QueryError:
        return
    assert parse(str(asked)) == asked
    assert str(parse(str(asked))) == str(asked)


words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=8).filter(
    lambda word: any(map(str.isalnum, word))
)
phrases = st.lists(words, min_size=1, max_size=3).map(" ".join)
durations = st.integers(1, 10**7).map(lambda thousandths: thousandths / 1000)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    steps = draw(st.lists(phrases, min_size=1, max_size=3))
    within = draw(st.lists(st.none() | durations, min_size=len(steps) - 1, max_size=len(steps) - 1))
    filters = Where(
        path=draw(st.none() | phrases),
        after=draw(st.none() | st.dates(date(1900, 1, 1), date(2999, 1, 1)).map(midnight)),
        shorter_s=draw(st.none() | durations),
        tags=tuple(draw(st.lists(phrases, unique=True, max_size=2))),
    )
    return Request(
        steps=tuple(steps),
        within_s=tuple(within),
        without=tuple(draw(st.lists(phrases, max_size=2))),
        filters=filters,
    )


@settings(deadline=None)
@given(requests())
def test_any_request_can_be_written_and_read(request: Request) -> None:
    assert parse(str(request)) == request


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("a dog foo:bar http://x at 12:30 c:x path:y", ["foo"]),
        ('lang：en "lang:de" then day:2', ["lang", "day"]),
        ("a dog", []),
    ],
)
def test_a_key_that_is_no_filter_is_said(text: str, keys: list[str]) -> None:
    assert [note.removeprefix("There is no filter ").partition(":")[0] for note in notes_of(text)] == keys
    assert all(note.endswith("so it is searched as a word") for note in notes_of(text))


def test_durations_and_days() -> None:
    seconds = [duration_of(text) for text in ("90s", "90", "5m", "1h", "1.5h", "1:30", "1:00:05", "5x", "", "-5s")]
    assert seconds == [90, 90, 300, 3600, 5400, 90, 3605, None, None, None]
    assert [duration_of(text) for text in ("2 Minutes", "2min", "1 hr", "5  s", "5 s s")] == [
        120,
        120,
        3600,
        None,
        None,
    ]
    days = [day_of(text) for text in ("2021", "2021-06", "2021-06-30", "2021-6", "2021-02-30", "yesterday")]
    assert days == [date(2021, 1, 1), date(2021, 6, 1), date(2021, 6, 30), None, None, None]


def test_a_year_is_what_lies_between_its_ends() -> None:
    where = parse("x after:2021 before:2022").filters
    assert where
    begins, ends = midnight(date(2021, 1, 1)), midnight(date(2022, 1, 1))
    found = [where.holds(Facts(modified=moment)) for moment in (begins - 1, begins, ends - 1, ends)]
    assert found == [False, True, True, False]
    assert not parse("x").filters


def test_what_is_given_goes_over_what_another_says() -> None:
    one, other = Where(path="a", longer_s=0.0, tags=()), Where(path="b", before=5.0, longer_s=7.0, tags=("t",))
    assert one.over(other) == Where(path="a", before=5.0, longer_s=0.0, tags=("t",))
    assert one.over(None) == one
    assert Where().over(other) == other
    assert [bool(where) for where in (Where(), Where(longer_s=0.0), Where(path=""), Where(tags=("t",)))] == [
        *(False, True, True, True)
    ]


@pytest.mark.parametrize("zone", ["UTC", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia", "Asia/Kathmandu"])
def test_a_day_is_the_same_written_again_wherever_its_midnight_is(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In some places clocks go forward at midnight, and one day was left out in Samoa."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        tzset()
        days = [date(1970, 1, 1) + timedelta(days) for days in range(-20_000, 22_000)]
        moved = [day for day in days if day_at(midnight(day)) != day]
    tzset()
    assert moved == ([date(2011, 12, 30)] if zone == "Pacific/Apia" else [])
