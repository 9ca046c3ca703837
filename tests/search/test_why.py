"""What each word gives: by hand, against a loop that anyone can read, and on videos whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from prvr.core.errors import IndexFolderError, QueryError
from prvr.core.grammar import parse
from prvr.core.types import Bank, Query
from prvr.data.world.vocabulary import COLOUR_WORDS, SCENE_WORDS, SHAPE_WORDS, TEXTURE_WORDS
from prvr.index.base import IndexHeader
from prvr.index.exact import ExactIndex
from prvr.search.engine import SearchEngine
from prvr.search.ranking import named
from prvr.search.why import MOST_WORDS, explain, without_each
from tests.core.slow import Curve, relevance
from tests.search.conftest import Made
from tests.search.test_engine import engine_of

FUNCTION_WORDS = {"a", "an", "the", "there", "is", "that", "which", "in", "of", "we", "see"}


@pytest.fixture(scope="module")
def engine(made: Made) -> SearchEngine:
    return engine_of(made)


def three_words(texts: Sequence[str]) -> Tensor:
    """`red` and `ball` are directions of their own, `no` is the way back from `ball`, all else means nothing."""
    known = {"red": [3.0, 0.0, 0.0], "ball": [0.0, 4.0, 0.0], "no": [0.0, -2.0, 0.0]}
    rows = [[known.get(word.lower().strip("., "), [0.0, 0.0, 0.0]) for word in text.split()] for text in texts]
    return torch.tensor(rows and [torch.tensor(row).sum(0).tolist() for row in rows])


def by_hand(made: Made, *, clip_weight: float) -> ExactIndex:
    """One video of 3 s: frames see nothing, then a red ball, then red; the one clip sees the ball."""
    tokens = torch.tensor([[0.0, 0.0, 1.0], [0.6, 0.8, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    spans = torch.tensor([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [0.0, 3.0]])
    index = ExactIndex(IndexHeader(encoder=made.encoder.spec, model="none", width=3, clip_weight=clip_weight))
    index.add("v", Bank(tokens, spans, 3))
    return index


def test_by_hand(made: Made) -> None:
    index = by_hand(made, clip_weight=0.25)
    why = explain(index, parse("a red ball"), "v", embed=three_words)
    assert why.at_s == (1.25,)  # the first half second of the red ball
    # the sentence points to (0.6, 0.8): cosine 1 with the frame, 0.8 with the clip
    assert why.score == pytest.approx(0.75 * 1.0 + 0.25 * 0.8)
    assert why.branches is not None
    assert tuple(why.branches) == pytest.approx((0.75 * 1.0, 0.25 * 0.8))
    assert [(word.text, word.step) for word in why.words] == [("a", 0), ("red", 0), ("ball", 0)]
    without_red, without_ball = 0.75 * 0.8 + 0.25 * 1.0, 0.75 * 0.6 + 0.25 * 0.0
    assert [word.adds for word in why.words] == pytest.approx([0.0, 0.95 - without_red, 0.95 - without_ball])


def test_one_branch_has_no_shares_and_a_word_may_take_away(made: Made) -> None:
    why = explain(by_hand(made, clip_weight=0.0), parse("red no ball, please"), "v", embed=three_words)
    assert why.branches is None
    # (3, 2, 0) at the red ball: (0.6 * 3 + 0.8 * 2) / sqrt(13); `no` out: (3, 4, 0) is the frame itself
    assert why.score == pytest.approx(3.4 / 13**0.5)
    adds = {word.text: word.adds for word in why.words}
    assert adds["no"] == pytest.approx(3.4 / 13**0.5 - 1.0)
    assert adds["please"] == pytest.approx(0.0)
    assert adds["ball"] == pytest.approx(3.4 / 13**0.5 - (0.6 * 3 - 0.8 * 2) / 13**0.5)
    only_clips = explain(by_hand(made, clip_weight=1.0), parse("ball"), "v", embed=three_words)
    assert only_clips.score == pytest.approx(1.0)
    assert only_clips.branches is None
    assert only_clips.words == (("ball", 0, None),)  # nothing is left without it


def slow_why(engine: SearchEngine, text: str, video_id: str) -> tuple[list[float], list[float]]:
    """What the steps score where they are seen best, and what each word adds: one sentence at a time."""
    request, weight = parse(text), engine.index.header.clip_weight

    def at(sentence: str, place_s: float) -> float:
        shown = engine.index.candidate(engine.embed(sentence), video_id)
        curve = relevance(shown, clip_weight=weight, duration_s=float(shown.bank.spans.max()))
        return float(curve.values[int(torch.searchsorted(curve.edges, torch.tensor(place_s), right=True)) - 1])

    vectors = engine.embed_many([*request.steps, *request.without])
    steps, negatives = vectors[: len(request.steps)], vectors[len(request.steps) :]
    row = named(engine.index, steps, negatives, video_id, within_s=request.within_s, where=None)
    duration_s = engine.index.facts(video_id).duration_s
    curve = relevance(row.candidate, clip_weight=weight, duration_s=duration_s)
    if row.values is not None:
        curve = Curve(torch.arange(row.values.shape[1] + 1) * row.step_s, row.values.amax(0))
    if row.places is None:
        best = int(curve.values.argmax())
        places = [float(curve.edges[best : best + 2].mean())]
    else:
        places = [(place + 0.5) * row.step_s for place in row.places.tolist()]
    whole = [at(step, place) for step, place in zip(request.steps, places, strict=True)]
    adds = []
    for i, step in enumerate(request.steps):
        words = step.rstrip(".").split()
        for w in range(len(words)):
            rest = " ".join(words[:w] + words[w + 1 :])
            adds.append((whole[i] - at(rest, places[i])) / len(whole))
    return whole, adds


def test_one_batch_is_the_loop_over_words(engine: SearchEngine, made: Made) -> None:
    captions = [query.text for query in made.queries["w0002.webm"]]
    one, other = captions[0].rstrip("."), captions[-1].rstrip(".")
    for text in (*captions[:3], f"{one} -tree -heart path:holiday", f"{one} then {other} within 60s"):
        for video_id in ("w0002.webm", "w0005.webm"):
            why, (whole, adds) = engine.why(text, video_id), slow_why(engine, text, video_id)
            assert why.score == pytest.approx(sum(whole) / len(whole), abs=1e-5)
            assert [word.adds for word in why.words] == pytest.approx(adds, abs=1e-5)
    alone = engine.why(captions[0], "w0002.webm")
    assert alone.score == pytest.approx(engine.look(captions[0], "w0002.webm").score, abs=1e-5)
    at = engine.look(captions[0], "w0002.webm").moments[0]
    assert at[0] <= alone.at_s[0] <= at[1]


def test_what_is_shown_counts_and_how_it_is_said_does_not(engine: SearchEngine, made: Made) -> None:
    """Of captions of videos that show them: words for what is there carry the score, `there is a` does not."""
    telling = {
        word
        for names in (COLOUR_WORDS, SCENE_WORDS, SHAPE_WORDS, TEXTURE_WORDS)
        for phrases in names.values()
        for phrase in phrases
        for word in phrase.split()
    } - FUNCTION_WORDS
    tops, function, lowered, moved = [], [], [], []
    for query in asked(made):
        why = engine.why(query.text, query.video_id)
        adds = {word.text.lower(): word.adds or 0.0 for word in why.words}
        top = max(adds, key=lambda word: adds[word])
        tops.append(top in telling)
        function += [abs(adds[word]) / adds[top] for word in adds.keys() & FUNCTION_WORDS]
        without = " ".join(word for word in query.text.lower().rstrip(".").split() if word != top)
        before, after = engine.look(query.text, query.video_id), engine.look(without, query.video_id)
        lowered.append(after.score < before.score)
        moved.append(not before.start <= engine.why(without, query.video_id).at_s[0] <= before.end)
    assert len(tops) > 50
    assert sum(tops) / len(tops) > 0.95
    assert sorted(function)[len(function) // 2] < 0.05  # in the middle, of what the top word adds
    assert sum(lowered) / len(lowered) > 0.9, "without its top word, a sentence finds less in its own video"
    assert sum(moved) / len(moved) > 0.5, "and often looks elsewhere in it"


def asked(made: Made) -> list[Query]:
    return [query for queries in made.queries.values() for query in queries[:2]]


def test_a_caption_by_hand(engine: SearchEngine) -> None:
    """A golden moon over a city: it is the gold and the moon that find it."""
    why = engine.why("There is a golden moon that flies a loop in front of tall buildings.", "w0002.webm")
    adds = {word.text: word.adds or 0.0 for word in why.words}
    assert sorted(adds, key=lambda word: -adds[word])[:2] == ["golden", "moon"]
    assert max(adds[word] for word in ("There", "is", "a")) < adds["moon"] / 5
    assert 43.125 <= why.at_s[0] <= 49.5  # where it is


def test_what_is_taken_apart() -> None:
    assert dict(without_each("Well, a (red) t-shirt - isn't it?")) == {
        "Well": ", a (red) t-shirt - isn't it?",
        "a": "Well, (red) t-shirt - isn't it?",
        "red": "Well, a () t-shirt - isn't it?",
        "t-shirt": "Well, a (red) - isn't it?",
        "isn't": "Well, a (red) t-shirt - it?",
        "it": "Well, a (red) t-shirt - isn't?",
    }
    assert list(without_each("moon!")) == [("moon", "")]
    assert list(without_each("赤い月")) == [("赤", "い月"), ("い", "赤月"), ("月", "赤い")]
    assert [word for word, _ in without_each("हिन्दी में")] == ["हिन्दी", "में"]


def test_what_is_not_looked_for_is_not_taken_apart(engine: SearchEngine) -> None:
    why = engine.why('a "red ball" -tree -"green heart" longer:1s then star', "w0000.webm")
    assert [(word.text, word.step) for word in why.words] == [("a", 0), ("red", 0), ("ball", 0), ("star", 1)]
    assert [word.adds is None for word in why.words] == [False, False, False, True]
    assert len(why.at_s) == 2
    assert why.at_s[0] < why.at_s[1]


def test_a_video_too_short_for_the_steps(made: Made) -> None:
    """Seven steps do not fit into six instants: each is looked at where it is seen best."""
    why = explain(
        by_hand(made, clip_weight=0.0), parse(" then ".join(["red"] * 4 + ["ball"] * 3)), "v", embed=three_words
    )
    assert why.at_s == (2.25,) * 4 + (1.25,) * 3
    assert why.score == pytest.approx((4 * 1.0 + 3 * 0.8) / 7)


def test_what_cannot_be_taken_apart(engine: SearchEngine) -> None:
    with pytest.raises(QueryError, match=f"70 words.*at most {MOST_WORDS}"):
        engine.why(" then ".join(["a red ball over the green city moon one two"] * 7), "w0000.webm")
    with pytest.raises(QueryError, match="reads 32"):
        engine.why("ball " * 40, "w0000.webm")
    with pytest.raises(QueryError, match="holds no word"):
        engine.why("-tree", "w0000.webm")
    with pytest.raises(IndexFolderError):
        engine.why("a red ball", "gone.webm")
