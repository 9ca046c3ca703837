"""Moments inside the right video, found by the rule of search (`core.ranking`), for many queries at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from prvr.core.ranking import TokenScores, moments, relevance
from prvr.evaluation.windows import THRESHOLDS, Windows, any_of, average_precision, best_overlap, padded

MOST = 10
"""Moments read from a curve, as many as the evaluator of QVHighlights looks at."""


class BranchTokens(NamedTuple):
    """One branch of Q queries' own videos, on the CPU."""

    scores: Tensor  # (Q, N) cosine with the query
    spans: Tensor  # (Q, N, 2) seconds
    valid: Tensor  # (Q, N) bool


@dataclass(frozen=True, kw_only=True)
class MomentReport:
    """How well the moments of the right videos are found, in percent, as the QVHighlights evaluator counts."""

    num_queries: int  # with annotated windows and known times
    r1_50: float  # the best moment overlaps an annotated window by a half or more
    r1_70: float
    mean_precision: float  # mAP over the overlaps 0.5, 0.55 … 0.95
    mean_overlap: float  # of the best moment with the annotated window that it fits best
    whole_video: float  # the same, if the whole video were the answer


def token_cosines(queries: Tensor, tokens: Tensor, video: Tensor, *, chunk: int = 64) -> Tensor:
    """Each query with its own video: queries (Q, D), tokens (V, N, D), video (Q,) its row -> (Q, N) on the CPU."""
    queries, unit = (functional.normalize(x, dim=-1, eps=1e-12) for x in (queries, tokens))
    pieces = zip(torch.split(queries, chunk), torch.split(video.to(tokens.device), chunk), strict=True)
    found = [torch.bmm(unit[rows], query[..., None]).squeeze(2) for query, rows in pieces]
    return torch.cat(found).cpu() if found else torch.empty(0, tokens.shape[1])


def end_to_end(frames: BranchTokens, clips: BranchTokens) -> TokenScores:
    """Both branches of Q queries' own videos, without the padding."""
    scores, spans, valid = (torch.cat(parts, 1) for parts in zip(frames, clips, strict=True))
    sizes = torch.stack([frames.valid.sum(1), clips.valid.sum(1)], 1)
    return TokenScores(scores[valid].numpy(), spans[valid].float().numpy(), sizes.numpy())


def windows_of(tokens: TokenScores, duration_s: Tensor, *, clip_weight: float) -> Windows:
    """What search finds in Q videos, duration_s (Q,), up to `MOST` moments of each; a score is the highest value."""
    found = moments(relevance(tokens, clip_weight=clip_weight, durations_s=duration_s.numpy()), most=MOST)
    return padded(np.column_stack([found.spans, found.peaks]), found.sizes)


def moment_scores(predicted: Windows, truth: Windows, duration_s: Tensor) -> MomentReport | None:
    """Moments of Q right videos, best first, against what is annotated; duration_s (Q,). None of no query."""
    known = any_of(truth.valid) & any_of(predicted.valid)
    if not known.any():
        return None
    predicted, truth = predicted.take(known), truth.take(known)
    best = best_overlap(predicted.spans[:, 0], truth)
    whole = np.stack([np.zeros(len(best)), duration_s.double().numpy()[known]], 1)
    return MomentReport(
        num_queries=len(best),
        r1_50=100 * float((best >= THRESHOLDS[0]).mean()),
        r1_70=100 * float((best >= THRESHOLDS[4]).mean()),
        mean_precision=100 * float(average_precision(predicted, truth, empty_hits=False).mean()),
        mean_overlap=100 * float(best.mean()),
        whole_video=100 * float(best_overlap(whole, truth).mean()),
    )
