"""Clips of equal length, proposals of every length, and the seconds of both."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from prvr.core.errors import ConfigError, FeatureError
from prvr.core.vectors import unit_rows
from prvr.parts import proposals
from prvr.parts.proposals import (
    guided_means,
    proposal_scores,
    window_bounds,
    window_spans,
    window_table,
    window_valid,
)
from prvr.parts.sampling import average_positions
from prvr.parts.spans import equal_spans, whole_spans
from prvr.parts.uniform import UniformConfig, prepare_frames, prepare_uniform
from prvr.parts.videos import FrameVideos
from tests.parts.make import video_features

CONFIG = UniformConfig(frames=8, clips=4)


def test_a_short_video_is_padded_and_a_long_one_averaged() -> None:
    short, long = torch.randn(3, 5), torch.randn(20, 5)
    videos = prepare_uniform([video_features(x) for x in (short, long)], CONFIG)
    assert videos.frame_valid.sum(1).tolist() == [3, 8]
    torch.testing.assert_close(videos.frames[0, :3], unit_rows(short))
    assert not videos.frames[0, 3:].any()
    torch.testing.assert_close(videos.frames[1], unit_rows(average_positions(long, 8)))
    torch.testing.assert_close(videos.clips[0], unit_rows(short)[[0, 1, 2, 2]])
    torch.testing.assert_close(videos.clips[1], unit_rows(average_positions(long, 4)))
    torch.testing.assert_close(videos.clip_size.sum(1), torch.tensor([3.0, 8.0]))
    assert videos.frame_spans[0, :4].tolist() == [[0, 1], [1, 2], [2, 3], [0, 0]]


def test_frames_alone() -> None:
    given = [video_features(torch.randn(n, 5)) for n in (3, 20)]
    videos, whole = prepare_frames(given, CONFIG), prepare_uniform(given, CONFIG)
    assert type(videos) is FrameVideos
    for name, value in vars(videos).items():
        assert torch.equal(value, getattr(whole, name))


def test_nothing_to_prepare() -> None:
    for prepare in (prepare_uniform, prepare_frames):
        with pytest.raises(FeatureError, match="no frames"):
            prepare([video_features(torch.randn(3, 5)), video_features(torch.zeros(0, 5))], CONFIG)
    with pytest.raises(ConfigError, match="prepare.clips=0"):
        UniformConfig(clips=0)


def test_spans_of_equal_stretches() -> None:
    videos = prepare_uniform([video_features(torch.randn(n, 5)) for n in (3, 8)], CONFIG)
    assert whole_spans(videos)[:, 0].tolist() == [[0, 3], [0, 8]]
    spans = equal_spans(videos, 4)
    assert spans.tolist() == [[[0, 1], [0, 2], [1, 3], [2, 3]], [[0, 2], [2, 4], [4, 6], [6, 8]]]
    assert window_spans(spans)[0, [0, 4, 5, 9]].tolist() == [[0, 1], [0, 2], [0, 3], [0, 3]]


def test_windows_by_hand() -> None:
    assert window_bounds(3).tolist() == [[0, 0], [1, 1], [2, 2], [0, 1], [1, 2], [0, 2]]
    assert window_table(2, torch.zeros(1)).tolist() == [[1, 0], [0, 1], [0.5, 0.5]]
    assert window_valid(torch.tensor([[True, True, False]])).tolist() == [[True, True, False, True, False, False]]


def test_scores_of_proposals_equal_those_of_made_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    query, clips = torch.randn(7, 6).double().requires_grad_(), torch.randn(3, 5, 6).double().requires_grad_()
    valid = torch.arange(5) < torch.tensor([5, 3, 1])[:, None]
    made = window_table(5, clips) @ clips
    there = window_valid(valid)
    dots = torch.einsum("qd,vpd->qvp", query, made).masked_fill(~there, -torch.inf)
    cosines = torch.einsum("qd,vpd->qvp", F.normalize(query, dim=-1), F.normalize(made, dim=-1))
    best = cosines.masked_fill(~there, -torch.inf).max(2)
    for at_a_time in (1, 1 << 24):
        monkeypatch.setattr(proposals, "_AT_A_TIME", at_a_time)
        found = proposal_scores(query, clips, valid)
        torch.testing.assert_close(found.cosine, best.values)
        torch.testing.assert_close(found.dot, dots.amax(2))
        assert torch.equal(found.winner, best.indices)
    for got, want in ((found.cosine, best.values), (found.dot, dots.amax(2))):
        weight = torch.randn_like(want)
        ours, theirs = (torch.autograd.grad((x * weight).sum(), (query, clips), retain_graph=True) for x in (got, want))
        torch.testing.assert_close(ours, theirs)


def test_guided_means_by_hand() -> None:
    keys, values = torch.eye(3)[None], torch.tensor([[[1.0, 0], [0, 1], [9, 9]]])
    guide = torch.tensor([[[0.0, 2, 5], [0, 0, 0]]])
    valid = torch.tensor([[True, True, False]])
    share = torch.tensor([0.0, 2.0]).softmax(0)
    torch.testing.assert_close(
        guided_means(guide, keys, values, valid), torch.stack([share, torch.full((2,), 0.5)])[None]
    )
