"""Copies are told from other films: against a loop that anyone can read, and through the engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from prvr.runs.runs import zero_shot

from prvr.core.types import Bank, Hit, Span
from prvr.index.base import ZERO_SHOT, Facts, IndexHeader
from prvr.index.exact import ExactIndex
from prvr.search import similar
from prvr.search.engine import SearchEngine
from prvr.search.listing import folds
from prvr.search.similar import same_as, usual_distance
from tests.index.make import header, unit
from tests.search.conftest import Made

WIDTH, FILMS = 32, 5


def film(number: int, *, seconds: int = 20) -> Bank:
    """A frame a second; scenes of three seconds."""
    generator = torch.Generator().manual_seed(number)
    scenes = torch.randn(seconds // 3 + 1, WIDTH, generator=generator).repeat_interleave(3, 0)[:seconds]
    tokens = scenes + 0.2 * torch.randn(seconds, WIDTH, generator=generator)
    return Bank(torch.nn.functional.normalize(tokens, dim=1), spans(seconds), seconds)


def spans(seconds: int) -> torch.Tensor:
    return torch.stack([torch.arange(seconds), torch.arange(seconds) + 1], 1).float()


def copied(bank: Bank, *, noise: float = 0.02, head: int = 0, tail: int = 0) -> Bank:
    """Encoded again, and some seconds cut off."""
    kept = bank.tokens[head : len(bank.tokens) - tail]
    return Bank(
        torch.nn.functional.normalize(kept + noise * torch.randn_like(kept), dim=1), spans(len(kept)), len(kept)
    )


def answer() -> tuple[list[Bank], list[Span]]:
    """Films with a moment each, then copies of them whose moments are found a second off, then again."""
    films = [film(number) for number in range(FILMS)]
    banks, found = list(films), [(float(2 + n), float(7 + n)) for n in range(FILMS)]
    for number in range(FILMS):
        head = number if number % 2 else 0
        banks.append(copied(films[number], head=head, tail=number))
        found.append((2.0 + number - head, 6.0 + number - head))
    banks += [copied(films[0], noise=0.03), copied(films[1], noise=0.5), film(99)]
    return banks, [*found, (2.0, 7.0), (3.0, 8.0), (4.0, 9.0)]


def by_loop(banks: list[Bank], found: list[Span], usual: float) -> list[int | None]:
    """What `same_as` means, one pair at a time."""
    repeats: list[int | None] = []
    means = [bank.tokens[int(start) : int(end)].mean(0) for bank, (start, end) in zip(banks, found, strict=True)]
    for one in range(len(banks)):
        near = sorted((float((means[one] - means[other]).square().sum()) / 2, other) for other in range(one))[
            : similar.TRIED
        ]
        fits = [
            other
            for apart, other in near
            if apart <= similar.NEAR * usual and loop_distance(banks, found, one, other) <= similar.SAME * usual
        ]
        repeats.append(min(fits, default=None))
    return repeats


def loop_distance(banks: list[Bank], found: list[Span], one: int, other: int) -> float:
    short, long = sorted((one, other), key=lambda place: len(banks[place].tokens))
    places = (torch.linspace(0, 1, similar.PROBES) * (len(banks[short].tokens) - 1)).round().int().tolist()
    moves = [found[long][edge] - found[short][edge] for edge in (0, 1)]
    distances = []
    for move in (*moves, sum(moves) / 2):
        best = []
        for place in places:
            start, end = (float(banks[short].spans[place, edge]) + move for edge in (0, 1))
            reached = [
                float(banks[short].tokens[place] @ token)
                for token, (first, last) in zip(banks[long].tokens, banks[long].spans.tolist(), strict=True)
                if start <= last and first <= end
            ]
            best += [max(reached)] if reached else []
        if len(best) >= similar.SHARED * len(places):
            distances.append(1 - sum(best) / len(best))
    return min(distances, default=float("inf"))


def test_the_fast_path_is_the_loop() -> None:
    banks, found = answer()
    repeats = same_as(banks, found, usual=1.0)
    assert repeats == by_loop(banks, found, 1.0)
    assert repeats[:FILMS] == [None] * FILMS
    assert repeats[FILMS : 2 * FILMS] == list(range(FILMS))
    assert repeats[2 * FILMS :] == [0, None, None]  # too coarse a copy, and another film


def test_where_a_page_begins_changes_nothing() -> None:
    banks, found = answer()
    whole = same_as(banks, found, usual=1.0)
    for start in range(len(banks) + 1):
        assert same_as(banks, found, usual=1.0, start=start) == whole[start:]


def test_many_copies_lead_to_the_first() -> None:
    """More than are looked at closely, and more pairs than are compared at a time."""
    banks = [copied(film(n % 2), noise=0.01) for n in range(60)]
    repeats = same_as(banks, [(3.0, 8.0)] * 60, usual=1.0)
    hits = [
        Hit(video_id=f"{n}", score=1.0, moments=((3.0, 8.0),), duration_s=20.0, same_as=None if at is None else f"{at}")
        for n, at in enumerate(repeats)
    ]
    assert [[rank % 2 for rank, _ in fold] for fold in folds(hits)] == [[1] * 30, [0] * 30]


def test_another_moment_of_the_same_film_is_no_copy() -> None:
    banks = [film(0), copied(film(0))]
    assert same_as(banks, [(2.0, 5.0), (2.0, 6.0)], usual=1.0) == [None, 0]
    assert same_as(banks, [(2.0, 5.0), (14.0, 17.0)], usual=1.0) == [None, None]


def test_an_encoder_that_points_one_way_changes_nothing() -> None:
    """What all vectors have in common shrinks every distance by the same factor."""
    banks, found = answer()
    direction = 3 * torch.nn.functional.normalize(torch.randn(WIDTH), dim=0)
    turned = [
        bank._replace(tokens=unit_of(bank.tokens - (bank.tokens @ direction)[:, None] * direction / 9))
        for bank in banks
    ]
    pushed = [bank._replace(tokens=unit_of(bank.tokens + direction)) for bank in turned]
    usual = [usual_distance(index_of(some)) for some in (turned, pushed)]
    assert usual[1] == pytest.approx(usual[0] / 10, rel=1e-3)
    assert same_as(pushed, found, usual=usual[1]) == same_as(turned, found, usual=usual[0])
    assert any(place is not None for place in same_as(pushed, found, usual=usual[1]))


def unit_of(tokens: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(tokens, dim=1)


def index_of(banks: list[Bank]) -> ExactIndex:
    index = ExactIndex(header(width=WIDTH, clip_weight=0.0))
    for number, bank in enumerate(banks):
        index.add(f"{number:03}", bank)
    return index


def test_the_usual_distance_is_the_mean_over_frames_of_different_videos() -> None:
    banks = [film(number, seconds=6 + number) for number in range(6)]
    pairs = [float((1 - one.tokens @ other.tokens.T).mean()) for i, one in enumerate(banks) for other in banks[:i]]
    assert usual_distance(index_of(banks)) == pytest.approx(sum(pairs) / len(pairs), abs=1e-5)
    assert usual_distance(index_of(banks[:1])) == 1.0


def test_clips_are_compared_where_there_are_no_frames() -> None:
    banks, found = answer()
    assert same_as([bank._replace(num_frames=0) for bank in banks], found, usual=1.0) == same_as(
        banks, found, usual=1.0
    )


@pytest.fixture(scope="module")
def engine(made: Made) -> SearchEngine:
    """The films of the world, and of every fourth one a copy without its first seconds."""
    trained = zero_shot(made.encoder.spec)
    index = ExactIndex(IndexHeader(encoder=made.encoder.spec, model=ZERO_SHOT, width=trained.width, clip_weight=0.0))
    torch.manual_seed(1)
    for number, (name, bank) in enumerate(made.banks.items()):
        index.add(name, bank, facts=Facts(duration_s=made.durations[name]))
        if number % 4 == 0:
            tokens = bank.tokens[2:] + 0.05 * unit(len(bank.tokens) - 2, trained.width)
            spans = (bank.spans[2:] - bank.spans[2, 0]).clamp(min=0)
            facts = Facts(duration_s=made.durations[name] - float(bank.spans[2, 0]))
            index.add(f"copy of {name}", Bank(unit_of(tokens), spans, len(tokens)), facts=facts)
    return SearchEngine(index, Path("/library/.prvr"), made.encoder, trained)


def test_copies_and_nothing_else_are_folded(engine: SearchEngine, made: Made) -> None:
    """The encoder sees no motion and the world repeats itself: other films have moments that look the same."""
    right = found = 0
    for name in list(made.banks)[::4]:
        for query in made.queries[name]:
            hits = engine.search(query.text, k=len(engine.index))
            both = {hit.video_id: hit for hit in hits}
            for hit in hits:
                assert hit.same_as is None or {hit.video_id, hit.same_as} == {
                    hit.video_id.removeprefix("copy of "),
                    f"copy of {hit.video_id.removeprefix('copy of ')}",
                }
            found += 1
            right += name in (both[f"copy of {name}"].same_as, both[name].same_as and name)
    assert right / found > 0.9


@pytest.mark.parametrize("back", [similar.BACK, 9])
def test_pages_agree(engine: SearchEngine, made: Made, monkeypatch: pytest.MonkeyPatch, back: int) -> None:
    """Also where one hit may not repeat all that stand before it."""
    monkeypatch.setattr(similar, "BACK", back)
    (query, *_) = made.queries[next(iter(made.banks))]
    (ranking,) = engine.rank_many([query.text], k=len(engine.index))
    whole = engine.hits(ranking)
    assert sum(hit.same_as is not None for hit in whole) >= 5
    places = {hit.video_id: place for place, hit in enumerate(whole)}
    assert all(0 < places[hit.video_id] - places[hit.same_as] <= back for hit in whole if hit.same_as)
    for size in (1, 7, 25):
        assert [hit for at in range(0, len(whole), size) for hit in engine.hits(ranking, at, at + size)] == whole
    assert engine.hits(ranking, len(whole)) == []


def test_folding_keeps_every_hit_and_its_rank() -> None:
    def hit(name: str, same: str | None = None) -> Hit:
        return Hit(video_id=name, score=1.0, moments=((0.0, 1.0),), duration_s=2.0, same_as=same)

    hits = [hit("a"), hit("b", "a"), hit("c"), hit("d", "b"), hit("e", "gone"), hit("f", "gone")]
    assert [[(rank, one.video_id) for rank, one in fold] for fold in folds(hits)] == [
        [(1, "a"), (2, "b"), (4, "d")],
        [(3, "c")],
        [(5, "e"), (6, "f")],
    ]
    assert [len(fold) for fold in folds([replace(one, same_as=None) for one in hits])] == [1] * 6
