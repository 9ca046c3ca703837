"""A model against a library: both towers run once, and every query is compared with every token, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from prvr.core.ranking import PRODUCTS, highest_cosines
from prvr.core.types import BranchScores, QueryAtVideo, QueryBatch, RetrievalModel, Videos, VideoTokens


@torch.no_grad()
def encode_queries(model: RetrievalModel, queries: Iterable[QueryBatch], *, device: str = "cpu") -> Tensor:
    """Batches of queries -> (Q, D) on `device`, in order."""
    return torch.cat([model.encode_queries(batch.to(device)) for batch in queries])


@torch.no_grad()
def encode_videos(model: RetrievalModel, videos: Iterable[Videos], *, device: str = "cpu") -> Iterator[VideoTokens]:
    """Batches of videos -> their tokens on `device`, a batch at a time, so that a library need not fit in memory."""
    for batch in videos:
        yield model.encode_videos(batch.to(device))


@torch.no_grad()
def guided_scores(
    model: QueryAtVideo, queries: Tensor, tokens: VideoTokens, *, products: int = PRODUCTS
) -> BranchScores:
    """By the model's own rule: queries (Q, D), V videos -> (Q, V) of each branch.

    So many queries at a time that they make at most `products` pairs with a token, or one.
    """
    at_a_time = max(1, products // max(1, tokens.frame_valid.numel() + tokens.clip_valid.numel()))
    found = [model.scores(some, tokens) for some in torch.split(queries, at_a_time)]
    return BranchScores(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def score_tokens(
    queries: Tensor,
    videos: Iterable[VideoTokens],
    *,
    model: RetrievalModel | QueryAtVideo | None = None,
    products: int = PRODUCTS,
) -> BranchScores:
    """queries (Q, D) against the tokens of V videos in batches -> (Q, V) of each branch, on the CPU.

    By the best token's cosine, or by the rule of a `model` that needs the query at the video. No more is held than one
    batch of tokens, the scores of one branch twice and those of the other once.
    """
    frame, clip = [queries.new_empty(len(queries), 0).cpu()], [queries.new_empty(len(queries), 0).cpu()]
    for tokens in videos:
        if isinstance(model, QueryAtVideo):
            found = guided_scores(model, queries, tokens, products=products)
        else:
            found = BranchScores(
                frame=highest_cosines(queries, tokens.frames, tokens.frame_valid, products=products),
                clip=highest_cosines(queries, tokens.clips, tokens.clip_valid, products=products),
            )
        frame.append(found.frame.cpu())
        clip.append(found.clip.cpu())
    return BranchScores(frame=_joined(frame), clip=_joined(clip))


def score_library(
    model: RetrievalModel,
    videos: Iterable[Videos],
    queries: Iterable[QueryBatch],
    *,
    device: str = "cpu",
    products: int = PRODUCTS,
) -> BranchScores:
    """V videos and Q queries in batches -> (Q, V) of each branch, on the CPU. The model should be in eval mode."""
    return score_tokens(
        encode_queries(model, queries, device=device),
        encode_videos(model, videos, device=device),
        model=model,
        products=products,
    )


def _joined(parts: list[Tensor]) -> Tensor:
    """Side by side; the list is emptied, since the parts of two branches and their wholes are four times a branch."""
    whole = torch.cat(parts, 1)
    parts.clear()
    return whole
