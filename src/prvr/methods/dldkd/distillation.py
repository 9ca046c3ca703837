"""What a frozen image-text encoder sees is handed on: of a video's frames, and of the videos of a batch (DL-DKD).

How much it counts fades from epoch to epoch; epochs are counted from 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from prvr.parts.nce import own_pairs

_TINY = 1e-12  # added to soft labels before their logarithm, as released


def frame_distillation(student: Tensor, teacher: Tensor, valid: Tensor, *, temperature: float) -> Tensor:
    """How far the student's softmax over the frames of a query's own video is from the teacher's (KL divergence).

    student, teacher (Q, T) cosines, valid (Q, T). Returns (Q,), not averaged. The teacher gets no gradient.
    """
    ours, theirs = (
        (x / temperature).masked_fill(~valid, -torch.inf).log_softmax(1) for x in (student, teacher.detach())
    )
    return (theirs.exp() * (theirs - ours).masked_fill(~valid, 0.0)).sum(1)


def hard_labelled(video_of_query: Tensor, num_videos: int, share: float) -> tuple[Tensor, Tensor]:
    """Which queries and which videos of a batch keep hard labels: the first `share` of each (DL-DKD++).

    They are in order of the videos' number of queries, the most first, as the released batches are; among equals the
    order of the batch decides. video_of_query (Q,) -> (Q,) and (V,) bool.
    """
    counts = torch.bincount(video_of_query, minlength=num_videos)
    place = counts.argsort(descending=True, stable=True).argsort()  # (V,) of each video
    row = place[video_of_query].argsort(stable=True).argsort()  # (Q,) of each query
    return row < int(share * len(video_of_query)), place < int(share * num_videos)


def soft_query_nce(scores: Tensor, targets: Tensor, video_of_query: Tensor, hard: Tensor, *, trust: float) -> Tensor:
    """Cross-entropy of each query over the videos, with labels partly from elsewhere.

    A label is `trust` · the hard one + (1 - trust) · softmax of the targets, or wholly the hard one. scores, targets
    (Q, V), video_of_query (Q,), hard (Q,) bool. Returns (Q,), not averaged; the targets get a gradient.
    """
    own = own_pairs(video_of_query, scores.shape[1])
    labels = _labels(targets, own, hard, trust)
    return (labels * (scores.logsumexp(1, keepdim=True) - scores)).sum(1)


def soft_video_nce(scores: Tensor, targets: Tensor, video_of_query: Tensor, hard: Tensor, *, trust: float) -> Tensor:
    """InfoNCE of each video over the queries, each of which counts as a hit by its label.

    As `soft_query_nce`, seen from the columns, but the labels stand inside the logarithm: hard (V,). Returns (V,).
    """
    own = own_pairs(video_of_query, scores.shape[1])
    labels = _labels(targets.T, own.T, hard, trust)
    return scores.logsumexp(0) - ((labels + _TINY).log() + scores.T).logsumexp(1)


def soft_nce(scores: Tensor, targets: Tensor, video_of_query: Tensor, *, share: float, trust: float) -> Tensor:
    """`share` · the mean of those with hard labels + (1 - share) · the mean of those with soft ones, both ways.

    A part in which there is no query or no video counts 0. scores, targets (Q, V) -> a scalar.
    """
    queries, videos = hard_labelled(video_of_query, scores.shape[1], share)
    by_query = soft_query_nce(scores, targets, video_of_query, queries, trust=trust)
    by_video = soft_video_nce(scores, targets, video_of_query, videos, trust=trust)
    parts = []
    for weight, of_query, of_video in ((share, queries, videos), (1 - share, ~queries, ~videos)):
        there = of_query.any() & of_video.any()
        parts.append(weight * there * (_mean(by_query, of_query) + _mean(by_video, of_video)))
    return torch.stack(parts).sum()


def _labels(targets: Tensor, own: Tensor, hard: Tensor, trust: float) -> Tensor:
    """targets, own (R, C), hard (R,) -> (R, C)."""
    soft = (1 - trust) * targets.softmax(1) + trust * own
    return torch.where(hard[:, None], own.to(soft.dtype), soft)


def _mean(x: Tensor, among: Tensor) -> Tensor:
    return (x * among).sum() / among.sum().clamp(min=1)


def exponential_fade(epoch: int) -> float:
    """0.95^epoch, which DL-DKD was published with."""
    return 0.95**epoch


def linear_fade(epoch: int) -> float:
    """One hundredth less each epoch, down to 0.05."""
    return max(1 - 0.01 * epoch, 0.05)


def sigmoid_fade(epoch: int) -> float:
    """Nearly 1 for some 30 epochs, half at 53, nearly 0 at 100."""
    return 800 / (800 + math.exp(100 * epoch / 800))


def soft_label_fade(epoch: int) -> tuple[float, float]:
    """DL-DKD++: the share of pairs with hard labels, and the share of the hard label in a soft one, at least a half."""
    share = 0.8 * sigmoid_fade(epoch)
    return max(share, 0.0), max(share, 0.5)
