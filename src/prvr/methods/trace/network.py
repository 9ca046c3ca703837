"""TRACE scoring (arXiv 2609.08999) on top of any model, in its training-free form: see `prvr.methods.trace.scoring`.

Its score is no function of one query and one token, so no index of vectors can serve it: it re-ranks what one found.
"""

from __future__ import annotations

from typing import ClassVar, cast

from torch import Tensor, nn

from prvr.core.types import BranchScores, QueryBatch, RetrievalModel, VideoBatch, VideoTokens
from prvr.methods.trace.scoring import TraceConfig, add_trace
from prvr.parts.scoring import cosine_scores
from prvr.parts.spans import TokenSpans, spans_of


class Traced(nn.Module):
    """A model whose scores gain what TRACE adds. Its tokens are the inner model's; fits `RetrievalModel`.

    The inner model must itself rank by the cosine of one query vector with one token.
    """

    needs_query: ClassVar[bool] = True

    def __init__(self, model: RetrievalModel, config: TraceConfig) -> None:
        super().__init__()
        self.model = cast(nn.Module, model)
        self.config = config

    @property
    def inner(self) -> RetrievalModel:
        """The model that makes the tokens."""
        return cast(RetrievalModel, self.model)

    @property
    def clip_weight(self) -> float:
        """Share of the inner model's clip branch."""
        return self.inner.clip_weight

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """-> (Q, D), the inner model's."""
        return self.inner.encode_queries(queries)

    def encode_videos(self, videos: VideoBatch) -> VideoTokens:
        """-> the inner model's tokens."""
        return self.inner.encode_videos(videos)

    def token_spans(self, videos: VideoBatch) -> TokenSpans:
        """Seconds of the tokens, the inner model's: moments are read from them."""
        return spans_of(self.inner, videos)

    def scores(self, query: Tensor, tokens: VideoTokens) -> BranchScores:
        """query (Q, D) against V videos -> (Q, V) of each branch, both with the same addition."""
        return add_trace(cosine_scores(query, tokens), query, tokens, self.config)
