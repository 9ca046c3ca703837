"""Everything that is reported of a model on one split, in one pass over its videos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from prvr.core.types import Query, QueryBatch, RetrievalModel, VideoBatch, VideoTokens
from prvr.data.dataset import RetrievalSet, take
from prvr.data.world import true_similarity
from prvr.evaluation.collapse import (
    Similarity,
    cosine_matrix,
    join_sums,
    query_sums,
    released_video_similarity,
    similarity,
    spearman,
    token_sums,
)
from prvr.evaluation.metrics import Recalls, ranks
from prvr.evaluation.report import Report, versions
from prvr.evaluation.scoring import encode_queries, encode_videos, score_library, score_tokens

VIDEOS = 64  # encoded at a time
QUERIES = 256


def recalls(model: RetrievalModel, items: RetrievalSet, *, device: str) -> Mapping[str, float]:
    """What validation looks at: R@K, SumR and MedR of the fused score, in percent."""
    scores = score_library(model, videos_of(items), queries_of(items), device=device)
    return Recalls.of(ranks(scores.fused(model.clip_weight), items.video_of_query)).to_dict()


def measure(
    model: RetrievalModel,
    items: RetrievalSet,
    *,
    split: str,
    device: str,
    selected_on: str | None = None,
    seed: int | None = None,
) -> Report:
    """Recalls of the fused score and of each branch, and the collapse numbers (paper, Tables 8 and 9).

    The rank correlation with the truth is there where the queries' true meaning is known. A bare encoder has one
    branch, so branches are reported only where clips have a weight.
    """
    queries = encode_queries(model, queries_of(items), device=device)  # (Q, D)
    tokens = list(encode_videos(model, videos_of(items), device=device))
    scores = score_tokens(queries, tokens)
    cosines = cosine_matrix(queries)
    two_branches = model.clip_weight > 0

    def recall(one: Tensor) -> Recalls:
        return Recalls.of(ranks(one, items.video_of_query))

    return Report(
        split=split,
        num_videos=len(items),
        num_queries=len(items.items),
        fused=recall(scores.fused(model.clip_weight)),
        frame=recall(scores.frame) if two_branches else None,
        clip=recall(scores.clip) if two_branches else None,
        text=similarity(query_sums(queries, items.video_of_query, len(items))),
        text_encoder=similarity(query_sums(items.queries.sentence, items.video_of_query, len(items))),
        video=similarity(join_sums([token_sums(part.frames, part.frame_valid) for part in tokens])),
        video_released=_released(tokens),
        correlation_truth=spearman(cosines, true_similarity(items.items)) if meanings_known(items.items) else None,
        correlation_encoder=spearman(cosines, cosine_matrix(items.queries.sentence)),
        selected_on=selected_on,
        seed=seed,
        device=device,
        versions=versions(),
    )


def meanings_known(items: tuple[Query, ...]) -> bool:
    """Whether every query says what it truly means."""
    return all(item.attributes for item in items)


def videos_of(items: RetrievalSet) -> Iterator[VideoBatch]:
    """The videos of a split, some at a time."""
    for rows in torch.split(torch.arange(len(items)), VIDEOS):
        yield take(items.videos, rows)


def queries_of(items: RetrievalSet) -> Iterator[QueryBatch]:
    """The queries of a split, some at a time, in order."""
    for rows in torch.split(torch.arange(len(items.items)), QUERIES):
        yield items.queries.batch(rows)


def _released(tokens: list[VideoTokens]) -> Similarity | None:
    if not all(bool(part.frame_valid.all()) for part in tokens):
        return None
    return released_video_similarity(torch.cat([part.frames for part in tokens]))
