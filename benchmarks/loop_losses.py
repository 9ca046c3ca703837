"""The losses of the comparison a video or a query at a time, where the released code goes so; what `benchmarks.loops`
is made of. Where a released loss has no loop (one row against all), it has none here either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

VERTICES = 16  # of the angles at a time: (16, Q, D) are held


def queries_of(video_of_query: Tensor, num_videos: int) -> list[Tensor]:
    """The rows of each video's queries."""
    return [(video_of_query == v).nonzero().squeeze(1) for v in range(num_videos)]


def nce(scores: Tensor, own: Tensor) -> Tensor:
    """InfoNCE both ways, videos one after the other: scores (Q, V), own (Q,)."""
    rows = torch.arange(len(own))
    by_query = scores.logsumexp(1) - scores[rows, own]
    by_video = [
        scores[:, v].logsumexp(0) - scores[mine, v].logsumexp(0)
        for v, mine in enumerate(queries_of(own, scores.shape[1]))
    ]
    return by_query.mean() + torch.stack(by_video).mean()


def triplet(scores: Tensor, own: Tensor, margin: float, pool: int) -> Tensor:
    """Hard triplets both ways, videos one after the other, queries by sorting: scores (Q, V), own (Q,)."""
    by_video = []
    for v, mine in enumerate(queries_of(own, scores.shape[1])):
        wrong = scores[:, v].detach().clone()
        wrong[mine] = -torch.inf
        negative = scores[int(wrong.argmax()), v]
        by_video.append((margin + negative - scores[mine, v].mean()).clamp(min=0))
    return torch.stack(by_video).mean() + row_triplet(scores, own, margin, pool).mean()


def row_triplet(scores: Tensor, own: Tensor, margin: float, pool: int) -> Tensor:
    """One of the `pool` best wrong columns of every row must stay below the right one: scores (R, C), own (R,)."""
    rows = torch.arange(len(own))
    shown = scores.detach().clone()
    shown[rows, own] = torch.inf
    order = shown.argsort(1, descending=True)
    rank = 1 + (torch.rand(len(own)) * min(pool, scores.shape[1] - 1)).long()
    return (margin + scores[rows, order[rows, rank]] - scores[rows, own]).clamp(min=0)


def pair_nce(scores: Tensor) -> Tensor:
    """MS-SL's frames: each diagonal entry against its row and its column: (Q, Q)."""
    return (torch.cat([scores, scores.T], 1).logsumexp(1) - scores.diagonal()).mean()


def pair_triplet(scores: Tensor, margin: float, pool: int) -> Tensor:
    """The same as triplets, rows and columns: (Q, Q)."""
    own = torch.arange(len(scores))
    return row_triplet(scores, own, margin, pool).mean() + row_triplet(scores.T, own, margin, pool).mean()


def soft_nce(scores: Tensor, targets: Tensor, own: Tensor, share: float, trust: float) -> Tensor:
    """DL-DKD++, videos one after the other; the first rows and columns keep hard labels. scores, targets (Q, V)."""
    (number, videos), right = scores.shape, F.one_hot(own, scores.shape[1]).to(scores)
    queries, columns = int(share * number), int(share * videos)
    labels = torch.cat([right[:queries], ((1 - trust) * targets.softmax(1) + trust * right)[queries:]])
    by_query = (labels * (scores.logsumexp(1, keepdim=True) - scores)).sum(1)
    by_video = []
    for v in range(videos):
        label = right[:, v] if v < columns else (1 - trust) * targets[:, v].softmax(0) + trust * right[:, v]
        by_video.append(scores[:, v].logsumexp(0) - ((label + 1e-12).log() + scores[:, v]).logsumexp(0))
    column = torch.stack(by_video)
    hard = by_query[:queries].mean() + column[:columns].mean()
    return share * hard + (1 - share) * (by_query[queries:].mean() + column[columns:].mean())


def distillation(student: Tensor, frames: Tensor, sentence: Tensor, own: Tensor, temperature: float) -> Tensor:
    """DL-DKD, queries one after the other: student (V, T, Q) cosines, teacher's frames (V, T, E) and sentences (Q, E).

    Every video is full.
    """
    rows, losses = student[own, :, torch.arange(len(own))].unbind(), []
    for q, v in enumerate(own.tolist()):
        theirs = (F.normalize(frames[v], dim=1) @ F.normalize(sentence[q], dim=0) / temperature).log_softmax(0)
        ours = (rows[q] / temperature).log_softmax(0)
        losses.append((theirs.exp() * (theirs - ours)).sum())
    return torch.stack(losses).sum()


def diversity(query: Tensor, own: Tensor, num_videos: int, margin: float, scale: float, power: float | None) -> Tensor:
    """GMMFormer (power None) and v2, videos one after the other: query (Q, D), own (Q,)."""
    parts = []
    for mine in queries_of(own, num_videos):
        unit = F.normalize(query[mine], dim=1)
        cosine = (unit @ unit.T)[~torch.eye(len(mine), dtype=torch.bool)].view(len(mine), -1)
        if power is None:
            parts.append((1 + (scale * (cosine + margin)).exp().sum(1)).log().sum())
        else:
            parts.append(((1 + cosine) ** power * (1 + (scale * (cosine + margin)).exp()).log()).sum())
    return torch.stack(parts).sum() / len(query)


def assigned(cosine: Tensor) -> Tensor:
    """The column of each row, by SciPy: (R, C) -> (R,)."""
    return torch.from_numpy(np.asarray(linear_sum_assignment(-cosine.detach().numpy())[1]))


def matching(query: Tensor, clips: Tensor, own: Tensor) -> Tensor:
    """GMMFormer v2, videos one after the other: query (Q, D), clips (V, C, D)."""
    found = []
    for v, mine in enumerate(queries_of(own, len(clips))):
        if len(mine) > 1:
            cosine = F.normalize(query[mine], dim=1) @ F.normalize(clips[v], dim=1).T
            found.append(cosine[torch.arange(len(mine)), assigned(cosine)])
    return 1 - torch.cat(found).mean()


class Angles(torch.autograd.Function):
    """MSC's relation of angles, all triples, some vertices at a time; the gradient is made along with the value.

    The released form holds all triples at once, which at TVR's 640 queries takes some 9 GB.
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor) -> Tensor:
        """student (Q, D), teacher (Q, E) -> a scalar."""
        leaf, total = student.detach().requires_grad_(), 0.0
        with torch.enable_grad():
            for at in range(0, len(student), VERTICES):
                with torch.no_grad():
                    wanted = _cosines(teacher, at)
                loss = F.smooth_l1_loss(_cosines(leaf, at), wanted, reduction="sum") / len(student) ** 3
                torch.autograd.backward(loss)
                total += float(loss.detach())
        ctx.save_for_backward(leaf.grad)
        return student.new_tensor(total)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Of the student alone."""
        (gradient,) = ctx.saved_tensors
        return grads[0] * gradient, None


def _cosines(x: Tensor, at: int) -> Tensor:
    apart = F.normalize(x[None] - x[at : at + VERTICES, None], dim=2, eps=1e-12)  # (q, Q, D)
    return torch.bmm(apart, apart.mT)


def several(right: Tensor, row: Tensor, ambiguous: Tensor, clean: Tensor, margin: float, pool: int) -> Tensor:
    """ARL's two margins of one row: a clean one of the `pool` best, an ambiguous one of all; right (), row (N,)."""
    parts = [right * 0]
    for wrong, gap, most in ((clean, margin, pool), (ambiguous, margin / 2, len(row))):
        if len(wrong):
            order = wrong[row[wrong].detach().argsort(descending=True)]
            rank = int(torch.rand(1) * min(most, len(order)))
            parts.append((gap + row[order[rank]] - right).clamp(min=0))
    return torch.stack(parts).sum()


def best_of(tokens: Tensor, query: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All products of full videos: tokens (V, N, D), query (Q, D) -> cosines (V, N, Q), the best, its token, the best
    dot product, (Q, V) each.
    """
    cosine = F.normalize(tokens, dim=-1) @ F.normalize(query, dim=-1).T
    best, winner = cosine.max(1)
    return cosine, best.T, winner.T, (tokens @ query.T).amax(1).T


def summed(parts: Sequence[tuple[float, Tensor]]) -> Tensor:
    """Terms with their weights."""
    return torch.stack([weight * part for weight, part in parts]).sum()
