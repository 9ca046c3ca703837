from __future__ import annotations

import math

import pytest
import torch

from prvr.core.types import Hit
from prvr.search.background import IN_COMMON, background, in_common, letters
from prvr.search.confidence import (
    CONFIDENT,
    NOTHING,
    RELATED,
    UNCALIBRATED,
    Null,
    Tail,
    label,
    verdict,
)
from prvr.search.words import ALL, NONE, SIZES, SOME, Kind, cut, kind_of, size_of


def hit(confidence: str) -> Hit:
    return Hit(video_id="v", score=0.3, moments=((0.0, 1.0),), duration_s=1.0, confidence=confidence)


def test_p_is_the_share_of_sentences_that_do_as_well() -> None:
    null = Null.of(torch.arange(100).flip(0))
    assert null is not None
    assert null.tail is None, "100 sentences are too few for a tail"
    found = null.p(torch.tensor([[-5.0, 0.0, 50.0], [98.5, 99.0, 1e9]]))
    want = torch.tensor([[101, 101, 51], [2, 2, 1]], dtype=torch.float64) / 101
    torch.testing.assert_close(found, want)


def test_too_few_sentences_say_nothing() -> None:
    assert Null.of(torch.rand(99)) is None


def test_p_never_rises_with_the_score_and_is_a_chance() -> None:
    for values in (torch.randn(300), torch.rand(700) ** 4, torch.rand(500) ** (-1 / 3)):
        null = Null.of(values)
        assert null is not None
        assert null.tail is not None
        p = null.p(torch.linspace(float(values.min()) - 1, float(values.max()) * 3 + 5, 5000))
        assert (p.diff() <= 1e-12).all()
        assert float(p[0]) == 1
        assert 0 <= float(p[-1]) < 1 / len(values)


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2])
def test_the_tail_finds_the_distribution_it_was_drawn_from(shape: float) -> None:
    """Excesses of a generalised Pareto distribution by its inverse: the fit gives its shape and scale back."""
    uniform = (torch.arange(50_000, dtype=torch.float64) + 0.5) / 50_000
    excess = -torch.log(uniform) if shape == 0 else (uniform**-shape - 1) / shape
    values = torch.cat([torch.zeros(450_000, dtype=torch.float64), 2.0 * excess]).sort().values
    tail = Tail.of(values)
    assert tail.above == pytest.approx(0, abs=1e-3)
    assert tail.shape == pytest.approx(shape, abs=0.02)
    assert tail.scale == pytest.approx(2.0, abs=0.05)
    chance = tail.p(torch.tensor([0.0, 2.0, 4.0], dtype=torch.float64))
    want = [0.1 * (math.exp(-x) if shape == 0 else (1 + shape * x) ** (-1 / shape)) for x in (0, 1, 2)]
    assert chance.tolist() == pytest.approx(want, rel=0.05)


def test_false_accepts_of_fresh_sentences_are_what_p_says() -> None:
    """Nulls of 500 draws judge fresh draws of the same kind; nominal 5, 1 and 0.2 %."""
    accepted = []
    for draw in range(40):
        generator = torch.Generator().manual_seed(draw)
        scores = torch.randn(20_500, 30, generator=generator).amax(1)  # best of thirty videos
        null = Null.of(scores[:500])
        assert null is not None
        p = null.p(scores[500:])
        accepted.append([float((p <= level).double().mean()) for level in (0.05, 0.01, 0.002)])
    five, one, fifth = torch.tensor(accepted).mean(0).tolist()
    assert five == pytest.approx(0.05, abs=0.005)
    assert one == pytest.approx(0.01, abs=0.002)
    assert fifth == pytest.approx(0.002, abs=0.001)


def test_labels() -> None:
    assert label(None, None) == UNCALIBRATED
    assert label(0.051, 0.001) == NOTHING
    assert label(0.05, None) == RELATED, "without a home bank nothing more can be said"
    assert label(0.05, 0.06) == RELATED
    assert label(0.01, 0.05) == CONFIDENT
    assert verdict([hit(NOTHING), hit(RELATED)]) == RELATED
    assert verdict([hit(RELATED), hit(CONFIDENT)]) == CONFIDENT
    assert verdict([hit(NOTHING)]) == verdict([]) == NOTHING


def test_the_background_is_always_the_same_and_of_every_length() -> None:
    for size, (fewest, most) in enumerate(SIZES):
        foreign, strings = background(size), letters(100, size=size)
        common = [text for source in IN_COMMON for text in in_common(source, size)]
        assert len(set(foreign)) == len(foreign) > 200
        assert len(common) == 100 * (len(IN_COMMON) if size else 1), "a place takes more than two words"
        for texts in (foreign, common, strings):
            lengths = [len(text.split()) for text in texts]
            assert fewest <= min(lengths)
            assert {size_of(text) for text in texts} == {size}
            assert size == len(SIZES) - 1 or max(lengths) <= most
        assert not set(strings) & set(letters(100, size=size, seed="other"))
    assert background(0)[:3] == ("sword maker", "front", "camera upside")


def test_what_kind_of_query_a_text_is() -> None:
    def unknown(text: str) -> list[str]:
        return [word for word in text.split() if word.lower() not in {"a", "red", "polka-dot", "star", "the", "of"}]

    assert kind_of("star", unknown) == Kind(0, ALL)
    assert kind_of("A RED star", unknown) == Kind(1, ALL)
    assert kind_of("a red umbrella", unknown) == Kind(1, SOME)
    assert kind_of("a polka-dot star", unknown) == Kind(1, ALL)
    assert kind_of("people dancing at a wedding", unknown) == Kind(1, NONE)
    assert kind_of("the", unknown) == kind_of("of the", unknown) == Kind(0, NONE), "function words tell nothing"
    assert kind_of("the of a of the star", unknown) == Kind(2, ALL)
    assert cut("A red star bounces over the hills again and again.", 1) in (
        "A red star",
        "A red star bounces",
        "red star bounces",
        "bounces over the hills",
        "star bounces over the hills",
        "over the hills",
        "over the hills again",
        "the hills again",
        "hills again and again.",
        "bounces over the hills again",
        "the hills again and again.",
    )
    assert cut("of the", 1) == ""


def test_sentences_that_are_all_alike_to_an_encoder_do_not_stand_out() -> None:
    """Unknown words are one word: half-precision copies of one score must count as reaching it."""
    null = Null.of(torch.full((100,), 0.3).half())
    assert null is not None
    assert float(null.p(torch.tensor(0.3))) == 1
    assert float(null.p(torch.tensor(0.302))) == pytest.approx(1 / 101)
