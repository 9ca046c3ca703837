from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.types import VideoBatch
from prvr.objectives.cbva import average_segments, cbva, frame_to_segment, own_segment, segment_to_frame
from tests.models.make import video_batch

F64 = torch.float64


def slow_cbva(frames: Tensor, clips: Tensor, videos: VideoBatch, v: int) -> Tensor:
    """One video, one frame and one segment at a time, with plain exponentials."""
    segment, size, slot = videos.segment[v], videos.clip_size[v].to(frames.dtype), videos.slot[v]
    number = int(segment[size > 0].max()) + 1
    segments = []
    for s in range(number):
        members = segment == s
        segments.append((clips[v][members] * size[members, None]).sum(0) / size[members].sum())
    own, rest, back = segment[slot], [], []
    length = int(videos.frame_valid[v].sum())
    for i in range(length):
        sims = torch.stack([(frames[v, i] @ one.detach()).exp() for one in segments])
        others = sims[torch.arange(number) != own[i]]
        rest.append(-(sims[own[i]] / (sims[own[i]] + others.mean())).log() if number > 1 else frames.new_zeros(()))
    for s in range(number):
        sims = (frames[v, :length].detach() @ segments[s]).exp()
        mine = own[:length] == s
        good = sims[mine].mean()
        back.append(-(good / (good + sims[~mine].mean())).log() if number > 1 else frames.new_zeros(()))
    return torch.stack(rest).mean() + torch.stack(back).mean()


def aligned(videos: VideoBatch, width: int = 6) -> tuple[Tensor, Tensor]:
    frames = torch.randn(*videos.slot.shape, width, dtype=F64, requires_grad=True)
    clips = torch.randn(*videos.segment.shape, width, dtype=F64, requires_grad=True)
    return frames, clips


def fast(frames: Tensor, clips: Tensor, videos: VideoBatch) -> Tensor:
    return cbva(
        frames,
        clips,
        slot=videos.slot,
        segment=videos.segment,
        clip_size=videos.clip_size,
        frame_valid=videos.frame_valid,
    )


def several_levels() -> VideoBatch:
    videos = video_batch(4)
    segment = torch.tensor([[0, 1, 2, 3, 4], [0, 0, 1, 2, 2], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]])
    return VideoBatch(**vars(videos) | {"segment": segment})


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
    clips = torch.tensor([[[1.0], [4.0], [9.0]]])
    averaged, present = average_segments(clips, torch.tensor([[0, 0, 1]]), torch.tensor([[2.0, 1.0, 5.0]]))
    assert averaged.flatten().tolist() == [2, 9, 0]
    assert present.tolist() == [[True, True, False]]


def test_equals_the_loop_values_and_gradients() -> None:
    videos = several_levels()
    frames, clips = aligned(videos)
    got, want = fast(frames, clips, videos), torch.stack([slow_cbva(frames, clips, videos, v) for v in range(4)])
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


def test_padding_and_company_change_nothing() -> None:
    videos = several_levels()
    frames, clips = aligned(videos)
    more = {
        "slot": F.pad(videos.slot, (0, 3)),
        "frame_valid": F.pad(videos.frame_valid, (0, 3)),
        "segment": F.pad(videos.segment, (0, 2)),
        "clip_size": F.pad(videos.clip_size, (0, 2)),
    }
    bigger = VideoBatch(**vars(videos) | more)
    got = fast(F.pad(frames, (0, 0, 0, 3), value=4.0), F.pad(clips, (0, 0, 0, 2), value=4.0), bigger)
    want = fast(frames, clips, videos)
    torch.testing.assert_close(got, want)
    for one, other in zip(*(torch.autograd.grad(x.sum(), (frames, clips)) for x in (got, want)), strict=True):
        torch.testing.assert_close(one, other)
    alone = VideoBatch(**{name: value[1:2] for name, value in vars(videos).items()})
    torch.testing.assert_close(fast(frames[1:2], clips[1:2], alone), want[1:2])


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


def test_a_video_of_one_segment_costs_nothing() -> None:
    videos = several_levels()
    frames, clips = aligned(videos)
    loss = fast(frames, clips, videos)[3]
    assert float(loss.detach()) == 0
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(loss, (frames, clips)))
