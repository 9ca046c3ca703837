from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.errors import ConfigError, FeatureError
from prvr.core.types import FeatureSpec, QueryAtVideo, QueryBatch, RetrievalModel, VideoFeatures
from prvr.methods.recipe import load_recipe
from prvr.methods.tfprvr.moment_graph import affinity, moments_of, segments_of, smooth_by_graph, smooth_by_level
from prvr.methods.tfprvr.network import LONGEST, TFPRVR, MomentConfig, find_moments, lift, prepare_moments, strongest
from prvr.methods.tfprvr.trajectory import cut_strength, levels_of, peaks, turning
from prvr.methods.tfprvr.wavelets import FAMILIES, Wavelet, bands, depth_of, filters
from prvr.parts.scoring import cosine_scores
from prvr.runs.measure import untrained
from tests.parts.make import video_features


def scenes(length: int, width: int = 12, *, seed: int = 0) -> Tensor:
    """A video of a few scenes with noise, all a little alike, as an encoder's features are."""
    rng = torch.Generator().manual_seed(seed)
    centres = torch.randn(length // 9 + 1, width, generator=rng)
    noise = 0.2 * torch.randn(length, width, generator=rng)
    return 1 + centres[torch.arange(length) // 9] + noise


def unit_batch(lengths: list[int]) -> tuple[Tensor, Tensor]:
    longest = max(3, *lengths)
    rows = [F.pad(F.normalize(scenes(n, seed=n).double(), dim=1), (0, 0, 0, longest - n)) for n in lengths]
    return torch.stack(rows), torch.tensor(lengths)


@pytest.mark.parametrize("wavelet", FAMILIES)
def test_filters_are_orthonormal_and_blind_to_slow_changes(wavelet: Wavelet) -> None:
    low, high, low_back, high_back = filters(wavelet)
    moments = {"haar": 1, "db4": 4, "db8": 8, "sym4": 4}[wavelet]
    assert len(low) == 2 * moments
    assert float(low.sum()) == pytest.approx(math.sqrt(2), abs=1e-10)
    for shift in range(moments):
        for left, right, want in ((low, low, shift == 0), (high, high, shift == 0), (low, high, False)):
            product = float(left[2 * shift :] @ right[: len(right) - 2 * shift])
            assert product == pytest.approx(float(want), abs=1e-10)
    place = torch.arange(2 * moments, dtype=torch.float64) / (2 * moments)
    for power in range(moments):
        assert float(high @ place**power) == pytest.approx(0.0, abs=1e-8)
    assert torch.equal(low_back, low.flip(0))
    assert torch.equal(high_back, high.flip(0))


@pytest.mark.parametrize("wavelet", FAMILIES)
def test_all_bands_together_leave_what_is_slow(wavelet: Wavelet) -> None:
    """A constant has no details; a signal's details lose nothing but its coarsest average, so they are linear in it."""
    lengths = torch.tensor([140, 61, 33])
    x = torch.randn(3, 140, dtype=torch.float64) * (torch.arange(140) < lengths[:, None])
    one = bands(torch.ones_like(x), lengths, wavelet)
    for v, length in enumerate(lengths.tolist()):
        assert float(one[v, :, :length].abs().amax()) < 1e-9
        alone = bands(x[v : v + 1, :length], lengths[v : v + 1], wavelet)
        whole = bands(x, lengths, wavelet)[v]
        torch.testing.assert_close(whole[: alone.shape[1], :length], alone[0])
        assert not whole[alone.shape[1] :, :length].any()
    torch.testing.assert_close(bands(3 * x, lengths, wavelet), 3 * bands(x, lengths, wavelet))


def test_haar_by_hand() -> None:
    """Two levels of four samples: half differences of pairs, then of pairs of pairs."""
    x = torch.tensor([[1.0, 3.0, 8.0, 4.0]]).double()
    want = torch.tensor([[[-1.0, 1.0, 2.0, -2.0], [-2.0, -2.0, 2.0, 2.0]]]).double()
    torch.testing.assert_close(bands(x, torch.tensor([4]), "haar"), want)


def test_how_deep_a_video_is_looked_at() -> None:
    frames = torch.tensor([1, 15, 16, 29, 30, 57, 58, 113, 114, 226])
    assert (depth_of(frames - 2, "db4")).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 5]
    assert levels_of(frames, "db4").tolist() == [1, 1, 1, 1, 2, 2, 3, 3, 4, 5]


def test_turning_by_hand() -> None:
    """Straight on, a right angle, back again, a rest that begins, and rest."""
    path = torch.tensor([[0, 0], [1, 0], [2, 0], [2, 1], [2, 0], [2, 0], [2, 0]]).double()[None]
    want = torch.tensor([[0, 1, 2, 1, 0]]).double()
    torch.testing.assert_close(turning(path, torch.tensor([7])), want, atol=1e-7, rtol=0)
    assert turning(path, torch.tensor([4]))[0, 2:].tolist() == [0, 0, 0]


def test_peaks_by_hand() -> None:
    x = torch.tensor([[[1, 2, 1, 3, 3, 3, 0, 5, 5]], [[5, 1, 4, 4, 1, 1, 2, 0, 9]]]).double()
    found = peaks(x, torch.tensor([9, 8]))
    assert [row.nonzero().flatten().tolist() for row in found[:, 0]] == [[1, 4], [2, 6]]


def test_a_cut_stands_before_the_frame_after_the_next() -> None:
    """One turn in a resting path: the finest response peaks there, and the cut comes two frames later."""
    signal = torch.zeros(1, 30).double()
    signal[0, 14] = 1.0
    response = bands(signal, torch.tensor([30]), "db4")[0, 0].abs()
    strength = cut_strength(signal, torch.tensor([32]))
    assert strength.shape == (1, 2, 32)
    assert float(strength[0, 0, int(response.argmax()) + 2]) == float(response.max())
    assert not cut_strength(torch.zeros(1, 30).double(), torch.tensor([32])).any()


def test_segments_and_moments_by_hand() -> None:
    """Two levels of five frames: 0-2 | 2-5 and 0-3 | 3-5, so moments 0-2, 2-3 and 3-5."""
    cut = torch.zeros(1, 2, 5, dtype=torch.bool)
    cut[0, 0, 2] = cut[0, 1, 3] = True
    lengths = torch.tensor([5])
    segments = segments_of(cut, lengths, torch.tensor([2]))
    assert segments.span.tolist() == [[[0, 2], [2, 5], [0, 3], [3, 5]]]
    assert segments.level.tolist() == [[0, 0, 1, 1]]
    found = moments_of(torch.eye(4).double()[None], segments, lengths)
    assert found.span.tolist() == [[[0, 2], [2, 3], [3, 5]]]
    half = torch.tensor([[1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 0, 1]]).double() / 2
    assert torch.equal(found.vectors[0], half)


def test_the_graph_by_hand() -> None:
    """The same segments; the first and the last point away from the others."""
    cut = torch.zeros(1, 2, 5, dtype=torch.bool)
    cut[0, 0, 2] = cut[0, 1, 3] = True
    lengths = torch.tensor([5])
    segments = segments_of(cut, lengths, torch.tensor([2]))
    vectors = torch.tensor([[[-1, 0], [1, 0], [1, 0], [0, 1]]]).double()
    near = math.exp(-1)  # centres 2.5 apart, both levels cut 5 frames into 2.5 each
    weight = torch.tensor([[1, near, 0, 0], [near, 1, 0.2, 0], [0, 0.2, 1, near], [0, 0, near, 1]]).double()
    root = weight.sum(1).sqrt()
    graph = affinity(vectors, segments, lengths)
    torch.testing.assert_close(graph[0], weight / root[:, None] / root)
    kernel = 0.3 * torch.linalg.inv(torch.eye(4).double() - 0.7 * graph[0])
    torch.testing.assert_close(smooth_by_graph(vectors, graph, beta=0.7)[0], kernel @ vectors[0])
    level = smooth_by_level(vectors, segments, beta=0.7)[0]
    torch.testing.assert_close(level[2], 0.3 * vectors[0, 2] + 0.7 * vectors[0, 2:].mean(0))
    assert torch.equal(smooth_by_level(vectors, segments, beta=0.0), vectors)
    assert torch.equal(smooth_by_graph(vectors, graph, beta=0.0), vectors)


@pytest.mark.parametrize("smoothing", ["graph", "levels"])
def test_padding_and_company_change_nothing(smoothing: Any) -> None:
    config = MomentConfig(smoothing=smoothing)
    frames, lengths = unit_batch([1, 2, 15, 40, 75])
    frames = F.pad(frames, (0, 0, 0, 9))
    together = find_moments(frames, lengths, config)
    for v, length in enumerate(lengths.tolist()):
        alone = find_moments(frames[v : v + 1, : max(3, length)], lengths[v : v + 1], config)
        valid = together.valid[v]
        torch.testing.assert_close(together.vectors[v][valid], alone.vectors[0])
        assert torch.equal(together.span[v][valid], alone.span[0])
        assert alone.span[0, 0, 0] == 0
        assert alone.span[0, -1, 1] == length
        assert torch.equal(alone.span[0, 1:, 0], alone.span[0, :-1, 1])


def test_means_of_levels_come_near_to_the_graph_where_features_are_alike() -> None:
    """As an encoder's are; where they are not, the two are different methods."""
    frames, lengths = unit_batch([60, 90])
    alike = F.normalize(frames + 2 * F.normalize(torch.ones(frames.shape[2]), dim=0).double(), dim=2)
    alike = alike * (torch.arange(frames.shape[1]) < lengths[:, None])[..., None]
    exact, quick = (find_moments(alike, lengths, MomentConfig(smoothing=how)) for how in ("graph", "levels"))
    assert torch.equal(exact.span, quick.span)
    nearness = F.cosine_similarity(exact.vectors, quick.vectors, dim=2)[exact.valid]
    assert float(nearness.min()) > 0.999
    assert float((exact.vectors.norm(dim=2) - quick.vectors.norm(dim=2))[exact.valid].abs().max()) < 0.1


def test_a_budget_keeps_the_strongest_cuts() -> None:
    strength = torch.tensor(
        [[[0, 0, 3, 0, 1, 0], [0, 0, 0, 2, 5, 0]], [[0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]]]
    ).double()
    kept = strongest(strength, 2)
    assert kept[0].tolist() == [[0, 0, 3, 0, 1, 0], [0, 0, 0, 0, 5, 0]]
    assert torch.equal(kept[1], strength[1])
    frames, lengths = unit_batch([75, 60])
    for most in (1, 4, 7):
        found = find_moments(frames, lengths, MomentConfig(max_moments=most))
        assert found.valid.sum(1).tolist() == [most, most]


def test_lifted_vectors_rank_by_inner_product() -> None:
    z, q = torch.randn(50, 7), torch.randn(9, 7)
    z = z / z.norm(dim=1, keepdim=True) * torch.rand(50, 1) * LONGEST
    made = F.cosine_similarity(F.pad(q, (0, 1))[:, None], lift(z), dim=2)
    torch.testing.assert_close(made * LONGEST, F.normalize(q, dim=1) @ z.T)
    torch.testing.assert_close(lift(z * 9).norm(dim=1), torch.ones(50))
    assert lift(torch.zeros(1, 7)).tolist() == [[0] * 7 + [1]]


def test_moments_stand_in_the_place_of_frames_with_their_seconds() -> None:
    videos = [video_features(scenes(n, seed=n), rate=2.0) for n in (44, 5, 70)]
    made = prepare_moments(videos, MomentConfig())
    assert made.frame_valid.sum(1)[1] == 1
    assert made.frame_spans[1, 0].tolist() == [0.0, 2.5]
    torch.testing.assert_close(made.frames.norm(dim=2), made.frame_valid.float())
    for v, video in enumerate(videos):
        spans = made.frame_spans[v][made.frame_valid[v]]
        assert spans[0, 0] == 0
        assert float(spans[-1, 1]) == pytest.approx(video.duration_s)
        assert torch.equal(spans[1:, 0], spans[:-1, 1])
        alone = prepare_moments([video], MomentConfig())
        torch.testing.assert_close(made.frames[v][made.frame_valid[v]], alone.frames[0])
        assert torch.equal(spans, alone.frame_spans[0])
    whole = F.normalize(F.normalize(videos[1].features, dim=1).mean(0), dim=0)
    torch.testing.assert_close(made.frames[1, 0, :-1] * LONGEST, whole)


def test_lots_of_videos_come_back_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    videos = [video_features(scenes(n, seed=n)) for n in (44, 5, 70, 44, 16, 31)]
    whole = prepare_moments(videos, MomentConfig())
    monkeypatch.setattr("prvr.methods.tfprvr.network._FRAMES", 90)
    parts = prepare_moments(videos, MomentConfig())
    for name, value in vars(whole).items():
        torch.testing.assert_close(vars(parts)[name], value)


def test_an_index_can_serve_it() -> None:
    """The bank has the scores of the model itself, a span for each vector, and the width that the recipe says."""
    videos = [video_features(scenes(n, seed=n)) for n in (44, 5, 70)]
    recipe = load_recipe("prvr.methods.tfprvr.runs:moments")
    features = FeatureSpec(name="made up", revision="0", video_width=12, text_width=12)
    trained = untrained(recipe, features)
    sentence = torch.randn(6, 12)
    queries = QueryBatch(words=sentence[:, None], valid=torch.ones(6, 1, dtype=torch.bool), sentence=sentence)
    model: RetrievalModel = trained.model
    query = model.encode_queries(queries)
    assert query.shape == (6, trained.width)
    scores = cosine_scores(query, model.encode_videos(trained.prepared.make(videos))).fused(model.clip_weight)
    for v, bank in enumerate(trained.banks(videos)):
        assert bank.num_frames == len(bank.tokens) == len(bank.spans)
        torch.testing.assert_close((F.normalize(query, dim=1) @ bank.tokens.T).amax(1), scores[:, v])
    assert list(TFPRVR().parameters()) == []
    assert not isinstance(model, QueryAtVideo)


def test_what_it_refuses() -> None:
    def features(x: Tensor) -> list[VideoFeatures]:
        return [video_features(scenes(8)), video_features(x)]

    with pytest.raises(FeatureError, match="no features"):
        prepare_moments([], MomentConfig())
    with pytest.raises(FeatureError, match="no frames"):
        prepare_moments(features(torch.zeros(0, 12)), MomentConfig())
    with pytest.raises(FeatureError, match="not finite"):
        prepare_moments(features(torch.full((4, 12), torch.nan)), MomentConfig())
    with pytest.raises(FeatureError, match="all zero"):
        prepare_moments(features(torch.zeros(4, 12)), MomentConfig())
    for setting in ({"beta": 1.0}, {"beta": -0.1}, {"threshold": -1.0}, {"max_moments": 0}, {"wavelet": "db5"}):
        with pytest.raises(ConfigError, match=next(iter(setting))):
            replace(MomentConfig(), **setting)
    recipe = load_recipe("prvr.methods.tfprvr.runs:approximate")
    with pytest.raises(ConfigError, match="no common space"):
        recipe.fit(FeatureSpec(name="pack", revision="0", video_width=2816, text_width=512))
    with pytest.raises(ConfigError, match="smoothing"):
        recipe.with_settings(["prepare.smoothing=nothing"])
    assert load_recipe("prvr.methods.tfprvr.runs:budget").settings.prepare.max_moments == 160
