"""TRACE scoring: the formulas of its paper, written out for one query and one video, and reference arrays of our own
reading of them (trace_ref in tfprvr; there is no official code).
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.core.types import QueryAtVideo, VideoTokens
from prvr.methods.gmmformer.network import GMMFormer, GMMFormerConfig
from prvr.methods.recipe import load_recipe
from prvr.methods.trace.network import Traced
from prvr.methods.trace.scoring import TraceConfig, add_trace, equal_parts, routed_support, trace, trace_bonus
from prvr.methods.zero_shot.network import ZeroShot
from prvr.parts.scoring import cosine_scores
from prvr.parts.videos import FrameVideos
from tests.methods.family import CLIPS, FRAMES, TEXT, VIDEO, batch
from tests.methods.make import query_batch
from tests.parity.arrays import Arrays
from tests.parts.make import video_features

TAU, GAMMA, ETA = 0.07, 0.3, 0.2


def loop(q: Tensor, registers: Tensor, keys: Tensor, values: Tensor) -> tuple[float, int, float]:
    """Steps 1 to 4 for one query and one video, number by number."""
    a = [float(q @ r) for r in registers]
    scores = []
    for key in keys:
        b = [float(r @ key) for r in registers]
        support = TAU * math.log(sum(math.exp((x + y) / TAU) for x, y in zip(a, b, strict=True)))
        scores.append(float(q @ key) + GAMMA * support)
    pi = torch.softmax(torch.tensor(a, dtype=torch.float64) / TAU, 0)
    vector = torch.zeros_like(q)
    for share, register in zip(pi, registers, strict=True):
        weights = torch.softmax(torch.stack([register @ key for key in keys]) / TAU, 0)
        vector = vector + share * sum(w * value for w, value in zip(weights, values, strict=True))
    best = max(range(len(scores)), key=lambda i: scores[i])
    return scores[best], best, float(F.cosine_similarity(q, vector, dim=0))


def unit(*shape: int) -> Tensor:
    return F.normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


def test_one_register_by_hand() -> None:
    """With one register the support is a + b: here 0.6 + 0.8 and 0.6 + 0, so 0 + 0.3 · 1.4 against 1 + 0.3 · 0.6."""
    query, register = torch.tensor([[1.0, 0.0]]).double(), torch.tensor([[[0.6, 0.8]]]).double()
    keys = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]]).double()
    keys_b = torch.tensor([[0.8, 0.6]]).double()
    found = trace(query, register, keys, keys, torch.ones(1, 2, dtype=torch.bool))
    assert float(found.route) == pytest.approx(1 + 0.3 * (0.6 + 0.6))
    assert int(found.winner) == 1
    weights = torch.softmax(keys_b / TAU, 1)
    want = float(weights[0, 1] / weights.norm())
    assert float(found.soft) == pytest.approx(want)


def test_it_equals_the_loop_and_padding_changes_nothing() -> None:
    query, registers, keys, values = unit(5, 8), unit(3, 4, 8), unit(3, 9, 8), unit(3, 9, 8)
    valid = torch.arange(9) < torch.tensor([9, 4, 1])[:, None]
    found = trace(query, registers, keys, values, valid)
    for q in range(5):
        for v in range(3):
            length = int(valid[v].sum())
            want = loop(query[q], registers[v], keys[v, :length], values[v, :length])
            assert float(found.route[q, v]) == pytest.approx(want[0])
            assert int(found.winner[q, v]) == want[1]
            assert float(found.soft[q, v]) == pytest.approx(want[2])
    more_keys, more_values = (x.masked_fill(~valid[..., None], 7.0) for x in (keys, values))
    for got, want_all in zip(trace(query, registers, more_keys, more_values, valid), found, strict=True):
        torch.testing.assert_close(got, want_all)


def test_reference_arrays(golden: Path) -> None:
    file = Arrays(golden / "tfprvr" / "tfprvr.npz")
    for name in ("a", "b", "one"):
        given = file.below(f"trace_ref/{name}/")
        valid = torch.ones(1, len(given["frame_key"]), dtype=torch.bool)
        registers, keys, values = (given[part][None] for part in ("register", "frame_key", "frame_value"))
        found = trace(given["q"], registers, keys, values, valid)
        support = routed_support((given["a"] / TAU)[None], (given["b"] / TAU)[None])[0] * TAU
        soft = torch.einsum("qr,rt->qt", (given["a"] / TAU).softmax(1), (given["b"] / TAU).softmax(1))
        torch.testing.assert_close(given["q"] @ given["frame_key"].T, given["d"], atol=1e-9, rtol=0)
        torch.testing.assert_close(support, given["rho"], atol=1e-9, rtol=0)
        torch.testing.assert_close(soft, given["u"], atol=1e-9, rtol=0)
        torch.testing.assert_close(found.route[:, 0], given["s_route"], atol=1e-9, rtol=0)
        torch.testing.assert_close(found.soft[:, 0], given["s_soft"], atol=1e-9, rtol=0)
        assert torch.equal(found.winner[:, 0], given["argmax"])
        total = found.route[:, 0] + ETA * found.soft[:, 0]
        torch.testing.assert_close(total, given["s_trace"], atol=1e-9, rtol=0)
        torch.testing.assert_close(given["base"] + 0.03 * total, given["final"], atol=1e-9, rtol=0)


def test_support_is_near_to_the_best_register() -> None:
    """max <= ln Σ exp <= max + ln R, also in float32 where every exponent is large."""
    a, b = 14.28 * (2 * torch.rand(2, 5, 8) - 1), 14.28 * (2 * torch.rand(2, 8, 6) - 1)
    best = (a[:, :, :, None] + b[:, None]).amax(2)
    found = routed_support(a, b)
    assert bool((found >= best - 1e-4).all())
    assert bool((found <= best + math.log(8) + 1e-4).all())
    torch.testing.assert_close(found, (a[:, :, :, None] + b[:, None]).logsumexp(2))


def test_parts_by_hand() -> None:
    tokens = torch.arange(7.0).view(1, 7, 1).expand(2, 7, 1)
    valid = torch.arange(7) < torch.tensor([7, 2])[:, None]
    assert equal_parts(tokens, valid, 3).squeeze(2).tolist() == [[0.5, 2.5, 5.0], [0.0, 0.0, 1.0]]
    assert equal_parts(tokens, valid, 4)[1].flatten().tolist() == [0.0, 0.0, 1.0, 1.0]


def tokens_of(videos: int, frames: int, clips: int, width: int) -> VideoTokens:
    lengths = torch.randint(1, frames + 1, (videos, 1))
    return VideoTokens(
        frames=torch.randn(videos, frames, width) * 3,
        frame_valid=torch.arange(frames) < lengths,
        clips=torch.randn(videos, clips, width),
        clip_valid=torch.ones(videos, clips, dtype=torch.bool),
    )


def test_any_models_scores_gain_the_bonus_once() -> None:
    video, query = tokens_of(6, 10, 4, 8), torch.randn(11, 8) * 2
    base = cosine_scores(query, video)
    config = TraceConfig(registers=3)
    more = add_trace(base, query, video, config)
    bonus = trace_bonus(query, video, config)
    for weight in (0.0, 0.4, 1.0):
        torch.testing.assert_close(more.fused(weight) - base.fused(weight), bonus, atol=1e-6, rtol=0)
    torch.testing.assert_close(trace_bonus(query, video, config, products=7), bonus)
    assert torch.equal(add_trace(base, query, video, TraceConfig(weight=0.0)).frame, base.frame)
    picked = torch.tensor([4, 0, 2])  # a re-rank looks at some of the videos, in any order
    some = VideoTokens(*(x[picked] for x in video))
    torch.testing.assert_close(trace_bonus(query, some, config), bonus[:, picked])
    q, v = 5, 3
    frames = F.normalize(video.frames[v][video.frame_valid[v]].double(), dim=1)
    parts = F.normalize(equal_parts(frames[None], torch.ones(1, len(frames), dtype=torch.bool), 3)[0], dim=1)
    route, _, soft = loop(F.normalize(query[q].double(), dim=0), parts, frames, frames)
    assert float(bonus[q, v]) == pytest.approx(0.03 * (route + 0.2 * soft), abs=1e-6)


def test_a_model_that_traces() -> None:
    """Tokens, queries and weight are the inner model's; scores gain the bonus."""
    recipe = load_recipe("prvr.methods.trace.runs:max_over_frames")
    model = recipe.build()
    assert isinstance(model, Traced)
    queries, videos = query_batch(5), recipe.prepared.make([video_features(torch.randn(n, 6)) for n in (9, 2)])
    assert isinstance(videos, FrameVideos)
    query, tokens = model.encode_queries(queries), model.encode_videos(videos)
    assert torch.equal(query, queries.sentence)
    assert torch.equal(tokens.frames, videos.frames)
    assert isinstance(model, QueryAtVideo)
    want = cosine_scores(query, tokens).frame + trace_bonus(query, tokens, recipe.settings.model)
    torch.testing.assert_close(model.scores(query, tokens).fused(model.clip_weight), want)


def test_moments_come_from_the_inner_models_spans() -> None:
    """GMMFormer has one frame token a video, which is the whole of it; the bare encoder has the frames."""
    given = batch()
    sizes = GMMFormerConfig(
        video_width=VIDEO, text_width=TEXT, hidden=16, heads=2, frames=FRAMES, clips=CLIPS, gaussian_length=FRAMES
    )
    inner = GMMFormer(sizes).eval()
    traced = Traced(inner, TraceConfig(registers=2))
    found, want = traced.token_spans(given.videos), inner.token_spans(given.videos)
    assert torch.equal(found.frames, want.frames)
    assert torch.equal(found.clips, want.clips)
    assert found.frames.shape[:2] == traced.encode_videos(given.videos).frames.shape[:2] == (4, 1)
    twice = Traced(traced, TraceConfig(registers=2))
    assert torch.equal(twice.token_spans(given.videos).frames, want.frames)
    bare = Traced(ZeroShot(), TraceConfig())
    assert torch.equal(bare.token_spans(given.videos).frames, given.videos.frame_spans)
    assert bare.token_spans(given.videos).clips.shape == (*bare.encode_videos(given.videos).clips.shape[:2], 2)


def test_settings_are_judged_at_birth() -> None:
    with pytest.raises(ConfigError, match="temperature"):
        TraceConfig(temperature=0.01)
    with pytest.raises(ConfigError, match="registers"):
        TraceConfig(registers=0)
