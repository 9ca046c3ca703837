"""Query against video: the best token counts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.types import BranchScores, VideoTokens


def best_token(query: Tensor, tokens: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Each query's highest dot product with a token of each video, and which token that is (the first of equals).

    query (Q, D), tokens (V, N, D), valid (V, N) -> score (Q, V), winner (Q, V) int64. A video without any valid token
    scores -inf. Where no gradient and no winner is needed, `core.ranking.highest_products` is sooner done.
    """
    if not tokens.shape[1]:  # a branch without tokens
        return query.new_full((len(query), len(tokens)), -torch.inf), valid.new_zeros(len(query), len(tokens)).long()
    sims = query @ tokens.flatten(0, 1).T  # (Q, VN)
    sims = sims.view(len(query), *valid.shape).masked_fill(~valid, -torch.inf)
    score, winner = sims.max(dim=-1)
    return score, winner


def best_cosine(query: Tensor, tokens: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The same with cosines, whatever the lengths of the vectors."""
    return best_token(F.normalize(query, dim=-1), F.normalize(tokens, dim=-1), valid)


def cosine_scores(query: Tensor, video: VideoTokens) -> BranchScores:
    """query (Q, D) -> cosine with the best frame and with the best clip of each video, (Q, V) each."""
    return BranchScores(
        frame=best_cosine(query, video.frames, video.frame_valid)[0],
        clip=best_cosine(query, video.clips, video.clip_valid)[0],
    )


def dot_scores(query: Tensor, video: VideoTokens) -> BranchScores:
    """query (Q, D) -> dot product with the best frame and with the best clip of each video, (Q, V) each."""
    return BranchScores(
        frame=best_token(query, video.frames, video.frame_valid)[0],
        clip=best_token(query, video.clips, video.clip_valid)[0],
    )


def own_cosines(query: Tensor, tokens: Tensor, video_of_query: Tensor) -> Tensor:
    """Each query with every token of its own video: query (Q, D), tokens (V, N, D), video_of_query (Q,) -> (Q, N)."""
    unit = F.normalize(tokens, dim=-1)[video_of_query]
    return torch.einsum("qd,qnd->qn", F.normalize(query, dim=-1), unit)
