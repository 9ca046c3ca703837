from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from prvr.core.types import Bank, Candidate
from prvr.evaluation.curves import MOST, BranchTokens, end_to_end, moment_scores, token_cosines, windows_of
from prvr.evaluation.windows import pad
from prvr.methods.msc.prepare import MSCVideos
from tests.core.slow import moments, relevance
from tests.methods.make import network


def random_videos(number: int, frames: int, clips: int) -> tuple[MSCVideos, Tensor]:
    """Videos of different lengths, some padded, some with positions that show the same frame -> and seconds."""
    duration = torch.rand(number) * 50 + 10
    shown = torch.randint(frames // 3, frames + 1, (number, 1))
    frame = (torch.arange(frames) * shown // frames).clamp(max=shown - 1)
    spans = torch.stack([frame / shown, (frame + 1) / shown], 2) * duration[:, None, None]
    valid = torch.rand(number, frames) < 0.9
    valid[:, 0] = True
    slot = (torch.arange(frames) * clips // frames).repeat(number, 1)
    size = torch.zeros(number, clips).scatter_add(1, slot, valid.float())
    return batch(valid, size, slot, spans), duration


def batch(valid: Tensor, size: Tensor, slot: Tensor, spans: Tensor) -> MSCVideos:
    empty = torch.zeros(len(valid), 1, 1)
    return MSCVideos(
        frames=empty, frame_valid=valid, clips=empty, clip_size=size, slot=slot, segment=slot, frame_spans=spans
    )


def clip_spans(videos: MSCVideos) -> Tensor:
    """What each clip of merged frames covers -> (V, C, 2) seconds."""
    return network().token_spans(videos).clips


@pytest.mark.parametrize("clip_weight", [0.4, 0.0, 1.0])
def test_windows_are_the_moments_of_search_whatever_the_padding(clip_weight: float) -> None:
    """One query after the other as search does it."""
    videos, duration = random_videos(17, 12, 5)
    frame = BranchTokens(torch.randn(17, 12), videos.frame_spans, videos.frame_valid)
    clip = BranchTokens(torch.randn(17, 5), clip_spans(videos), videos.clip_size > 0)
    found = windows_of(end_to_end(frame, clip), duration, clip_weight=clip_weight)
    for v in range(17):
        parts = [[x[v][branch.valid[v]] for x in branch[:2]] for branch in (frame, clip)]
        scores, spans = (torch.cat(both) for both in zip(*parts, strict=True))
        shown = Candidate("v", 0.0, scores, Bank(scores[:, None], spans, len(parts[0][0])))
        curve = relevance(shown, clip_weight=clip_weight, duration_s=float(duration[v]))
        want = moments(curve, most=MOST)
        assert [tuple(span) for span in found.spans[v][found.valid[v]].tolist()] == list(want)
        assert found.scores[v, 0] == float(curve.values.max())


def test_a_clip_covers_its_valid_frames() -> None:
    spans = torch.tensor([[[0.0, 1], [1, 2], [2, 3], [3, 4]]])
    valid = torch.tensor([[True, True, False, True]])
    found = clip_spans(batch(valid, torch.tensor([[2.0, 1.0]]), torch.tensor([[0, 0, 1, 1]]), spans))
    assert found.tolist() == [[[0, 2], [3, 4]]]


def test_cosines_with_the_own_video_equal_the_loop() -> None:
    queries, tokens, video = torch.randn(70, 4), torch.randn(5, 3, 4), torch.randint(0, 5, (70,))
    found = token_cosines(queries, tokens, video)
    slow = [torch.cosine_similarity(query[None], tokens[v]) for query, v in zip(queries, video.tolist(), strict=True)]
    torch.testing.assert_close(found, torch.stack(slow))
    assert token_cosines(queries[:0], tokens, video[:0]).shape == (0, 3)


def test_moments_are_counted_as_the_evaluator_counts() -> None:
    """Query 0 overlaps by 0.6, query 1 not; query 2 has no annotated window and is left out."""
    truth = pad([np.array([[0.0, 10]]), np.array([[30.0, 40]]), np.empty((0, 2))])
    predicted = pad([np.array([[0.0, 6, 0.9]]), np.array([[0.0, 6, 0.9], [30, 40, 0.1]]), np.array([[0.0, 6, 0.9]])])
    found = moment_scores(predicted, truth, torch.tensor([20.0, 40.0, 10.0]))
    assert found is not None
    assert (found.num_queries, found.r1_50, found.r1_70) == (2, 50, 0)
    assert found.mean_precision == pytest.approx((100 * 3 / 10 + 50) / 2)  # found at 0.5, 0.55, 0.6; at rank 2 at all
    assert found.mean_overlap == pytest.approx(30)
    assert found.whole_video == pytest.approx((50 + 25) / 2)
    assert moment_scores(predicted, pad([np.empty((0, 2))] * 3), torch.ones(3)) is None
