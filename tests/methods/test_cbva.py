from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Literal, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.methods.msc.cbva import Pool, average_segments, cbva, frame_to_segment, own_segment, segment_to_frame
from prvr.methods.msc.prepare import MSCVideos
from tests.methods.make import video_batch

F64 = torch.float64


Similarity = Literal["dot", "cosine"]
Moves = Literal["one", "both"]
READINGS = list(itertools.product(get_args(Similarity), get_args(Pool), get_args(Moves)))


def slow_cbva(
    frames: Tensor, clips: Tensor, videos: MSCVideos, v: int, similarity: Similarity, pool: Pool, moves: Moves
) -> Tensor:
    """One video, one frame and one segment at a time, with plain exponentials."""

    def alike(frame: Tensor, segment: Tensor) -> Tensor:
        return (F.cosine_similarity(frame, segment, dim=0) if similarity == "cosine" else frame @ segment).exp()

    def pooled(values: Tensor) -> Tensor:
        return values.sum() if pool == "sum" else values.mean()

    segment, size, slot = videos.segment[v], videos.clip_size[v].to(frames.dtype), videos.slot[v]
    number = int(segment[size > 0].max()) + 1
    segments = []
    for s in range(number):
        members = segment == s
        segments.append((clips[v][members] * size[members, None]).sum(0) / size[members].sum())
    own, rest, back = segment[slot], [], []
    length = int(videos.frame_valid[v].sum())
    nothing = frames.new_zeros(())
    for i in range(length):
        sims = torch.stack([alike(frames[v, i], one if moves == "both" else one.detach()) for one in segments])
        others = sims[torch.arange(number) != own[i]]
        rest.append(-(sims[own[i]] / (sims[own[i]] + pooled(others))).log() if number > 1 else nothing)
    for s in range(number):
        moved = frames[v, :length] if moves == "both" else frames[v, :length].detach()
        sims = torch.stack([alike(one, segments[s]) for one in moved])
        mine = own[:length] == s
        good = pooled(sims[mine])
        back.append(-(good / (good + pooled(sims[~mine]))).log() if number > 1 else nothing)
    return torch.stack(rest).mean() + torch.stack(back).mean()


def aligned(videos: MSCVideos, width: int = 6) -> tuple[Tensor, Tensor]:
    frames = torch.randn(*videos.slot.shape, width, dtype=F64, requires_grad=True)
    clips = torch.randn(*videos.segment.shape, width, dtype=F64, requires_grad=True)
    return frames, clips


def fast(
    frames: Tensor,
    clips: Tensor,
    videos: MSCVideos,
    similarity: Similarity = "dot",
    pool: Pool = "mean",
    moves: Moves = "one",
) -> Tensor:
    return cbva(
        frames,
        clips,
        slot=videos.slot,
        segment=videos.segment,
        clip_size=videos.clip_size,
        frame_valid=videos.frame_valid,
        similarity=similarity,
        pool=pool,
        moves=moves,
    )


def several_levels() -> MSCVideos:
    videos = video_batch(4)
    segment = torch.tensor([[0, 1, 2, 3, 4], [0, 0, 1, 2, 2], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]])
    return replace(videos, segment=segment)


def test_by_hand() -> None:
    ln = math.log
    frames = torch.tensor([[[ln(2)], [ln(3)], [ln(5)]]])  # exp(frame · segment) is 2, 3, 5 for the segment 1, 1 for 0
    segments = torch.tensor([[[1.0], [0.0]]])
    own = own_segment(torch.tensor([[0, 0, 1]]), torch.tensor([[0, 1]]))
    there, valid = torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 3, dtype=torch.bool)
    to_segment = frame_to_segment(frames, segments, own, valid, there)
    torch.testing.assert_close(to_segment, torch.tensor([[ln(3 / 2), ln(4 / 3), ln(6)]]))
    to_frame = segment_to_frame(frames, segments, own, valid, there)
    torch.testing.assert_close(to_frame, torch.tensor([[ln(7.5 / 2.5), ln(2)]]))
    summed = segment_to_frame(frames, segments, own, valid, there, pool="sum")
    torch.testing.assert_close(summed, torch.tensor([[ln(10 / 5), ln(3)]]))
    clips = torch.tensor([[[1.0], [4.0], [9.0]]])
    averaged, present = average_segments(clips, torch.tensor([[0, 0, 1]]), torch.tensor([[2.0, 1.0, 5.0]]))
    assert averaged.flatten().tolist() == [2, 9, 0]
    assert present.tolist() == [[True, True, False]]


@pytest.mark.parametrize(("similarity", "pool", "moves"), READINGS)
def test_equals_the_loop_values_and_gradients(similarity: Similarity, pool: Pool, moves: Moves) -> None:
    videos = several_levels()
    frames, clips = aligned(videos)
    got = fast(frames, clips, videos, similarity, pool, moves)
    want = torch.stack([slow_cbva(frames, clips, videos, v, similarity, pool, moves) for v in range(4)])
    torch.testing.assert_close(got, want)
    weight = torch.randn(4, dtype=F64)
    for one, other in zip(
        *(torch.autograd.grad((x * weight).sum(), (frames, clips)) for x in (got, want)), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_each_direction_moves_one_side() -> None:
    videos = several_levels()
    frames, clips = aligned(videos)
    segments, present = average_segments(clips, videos.segment, videos.clip_size)
    own = own_segment(videos.slot, videos.segment)
    towards = frame_to_segment(frames, segments.detach(), own, videos.frame_valid, present)
    back = segment_to_frame(frames.detach(), segments, own, videos.frame_valid, present)
    whole = torch.autograd.grad(fast(frames, clips, videos).sum(), (frames, clips))
    torch.testing.assert_close(torch.autograd.grad(towards.mean(1).sum(), frames)[0], whole[0])
    shares = (back.sum(1) / present.sum(1)).sum()
    torch.testing.assert_close(torch.autograd.grad(shares, clips)[0], whole[1])


@pytest.mark.parametrize(("similarity", "pool", "moves"), READINGS)
def test_padding_and_company_change_nothing(similarity: Similarity, pool: Pool, moves: Moves) -> None:
    videos = several_levels()
    frames, clips = aligned(videos)
    more = {
        "slot": F.pad(videos.slot, (0, 3)),
        "frame_valid": F.pad(videos.frame_valid, (0, 3)),
        "segment": F.pad(videos.segment, (0, 2)),
        "clip_size": F.pad(videos.clip_size, (0, 2)),
    }
    bigger = replace(videos, **more)
    how = (similarity, pool, moves)
    got = fast(F.pad(frames, (0, 0, 0, 3), value=4.0), F.pad(clips, (0, 0, 0, 2), value=4.0), bigger, *how)
    want = fast(frames, clips, videos, *how)
    torch.testing.assert_close(got, want)
    for one, other in zip(*(torch.autograd.grad(x.sum(), (frames, clips)) for x in (got, want)), strict=True):
        torch.testing.assert_close(one, other)
    alone = videos.take(torch.tensor([1]))
    torch.testing.assert_close(fast(frames[1:2], clips[1:2], alone, *how), want[1:2])


def test_far_apart_tokens_stay_finite() -> None:
    videos = several_levels()
    frames, clips = (torch.randn(*x.shape) * 40 for x in aligned(videos))
    frames.requires_grad_()
    clips.requires_grad_()
    loss = fast(frames, clips, videos)
    assert loss.isfinite().all()
    assert float(loss.detach().max()) > 104  # where exp underflows
    for grad in torch.autograd.grad(loss.sum(), (frames, clips)):
        assert grad.isfinite().all()


@pytest.mark.parametrize(("similarity", "pool", "moves"), READINGS)
def test_a_video_of_one_segment_costs_nothing(similarity: Similarity, pool: Pool, moves: Moves) -> None:
    videos = several_levels()
    frames, clips = aligned(videos)
    loss = fast(frames, clips, videos, similarity, pool, moves)[3]
    assert float(loss.detach()) == 0
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(loss, (frames, clips)))
