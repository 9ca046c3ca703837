"""TRACE scoring (arXiv 2609.08999) on top of the bare encoder, in its training-free form: see `scoring.py` beside this.

Its score is no function of one query and one token, so no index of vectors can serve it: it re-ranks what one found.
"""

from __future__ import annotations

from torch import Tensor, nn

from prvr.core.method import Method
from prvr.core.types import BranchScores, QueryBatch, RetrievalModel, TokenSpans, Videos, VideoTokens
from prvr.methods.trace.scoring import TraceConfig, add_trace
from prvr.methods.zero_shot.network import Nothing, ZeroShot, encoder_width, prepare_raw
from prvr.parts.needs import check_common_space
from prvr.parts.scoring import cosine_scores
from prvr.parts.videos import FrameVideos


class Traced(nn.Module):
    """A model whose scores gain what TRACE adds. Its tokens are the inner model's; fits `RetrievalModel`.

    The inner model must itself rank by the cosine of one query vector with one token.
    """

    def __init__(self, model: RetrievalModel, config: TraceConfig) -> None:
        super().__init__()
        self.model = model
        self.config, self.clip_weight = config, model.clip_weight

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """-> (Q, D), the inner model's."""
        return self.model.encode_queries(queries)

    def encode_videos(self, videos: Videos) -> VideoTokens:
        """-> the inner model's tokens."""
        return self.model.encode_videos(videos)

    def token_spans(self, videos: Videos) -> TokenSpans:
        """Seconds of the tokens, the inner model's: moments are read from them."""
        return self.model.token_spans(videos)

    def scores(self, query: Tensor, tokens: VideoTokens) -> BranchScores:
        """query (Q, D) against V videos -> (Q, V) of each branch, both with the same addition."""
        return add_trace(cosine_scores(query, tokens), query, tokens, self.config)


def traced_encoder(config: TraceConfig) -> Traced:
    """The bare encoder, helped by what the whole video is about."""
    return Traced(ZeroShot(), config)


METHOD = Method(
    title="zero-shot + TRACE",
    network=TraceConfig,
    build=traced_encoder,
    cut=Nothing,
    videos=FrameVideos,
    prepare=prepare_raw,
    width=encoder_width,
    fit=check_common_space,
)
