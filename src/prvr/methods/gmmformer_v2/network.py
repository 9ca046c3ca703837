"""GMMFormer v2: eight attention blocks of different reach, mixed anew at every place, over frames and over clips.

The network is MSC's without what MSC added (token sizes, the alignment head): MSC was built on it. Clips are plain
averages of equal length, and clips and frames weigh 0.7 : 0.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prvr.core.method import Method
from prvr.core.types import Batch, Made, TokenSpans, VideoTokens
from prvr.methods.msc.network import MixtureConfig, MixtureTowers
from prvr.parts.attention_layers import reset_parameters
from prvr.parts.spans import equal_spans
from prvr.parts.towers import TwiceRead
from prvr.parts.uniform import UniformConfig, prepare_uniform
from prvr.parts.videos import ClipVideos


@dataclass(frozen=True, kw_only=True)
class GMMFormerV2Config(MixtureConfig):
    """The network's sizes and parts; the defaults are what was released."""

    # samples of dropout a query: one to be ranked and, as released, one to be diverse and matched
    query_draws: Literal[1, 2] = 2


class GMMFormerV2(MixtureTowers):
    """The two towers; fits `RetrievalModel`.

    In the released code zero vectors behind a short video take part in the ranking, so that no frame score is below 0;
    here padding is not there.
    """

    config: GMMFormerV2Config

    def __init__(self, config: GMMFormerV2Config) -> None:
        super().__init__(config)
        reset_parameters(self, wide=("weight_token",))

    def encode_videos(self, videos: ClipVideos) -> VideoTokens:
        """-> tokens of both branches, zero where there is padding. Raises ConfigError for more than `config` says."""
        return self.mix_videos(videos)

    def token_spans(self, videos: ClipVideos) -> TokenSpans:
        """Seconds of those tokens."""
        return TokenSpans(frames=videos.frame_spans, clips=equal_spans(videos, videos.clips.shape[1]))

    def embed(self, batch: Batch[ClipVideos]) -> Made[TwiceRead, VideoTokens]:
        """Queries, read twice while training, and videos."""
        tokens = self.encode_videos(batch.videos)
        again = self.training and self.config.query_draws > 1
        return Made(TwiceRead.of(self.encode_queries, batch.queries, again=again), tokens)


METHOD = Method(
    title="GMMFormer v2",
    network=GMMFormerV2Config,
    build=GMMFormerV2,
    cut=UniformConfig,
    videos=ClipVideos,
    prepare=prepare_uniform,
)
