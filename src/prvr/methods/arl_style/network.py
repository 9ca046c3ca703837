"""ARL-style (after ARL, arXiv 2506.07471): two networks that tell each other which unlabelled pairs may fit after all.

No code was released, and parts of this are our own reconstruction: the blocks, every threshold and the losses' formulas
(`ambiguity.py` and `loss.py` beside this). What is the paper's: a single stream of frames, the best frame as the score,
ambiguity by similarity and by uncertainty over the whole training set, refreshed every epoch, and two networks.

Both networks are one module and learn from one sum of losses: no gradient crosses from one to the other and the
optimiser clips every tensor by itself, so that one optimiser does what two would. The first stands in the place of the
frame branch and the second in that of the clip branch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.core.method import Method
from prvr.core.types import Batch, FeatureSpec, Made, QueryBatch, TokenSpans, VideoTokens
from prvr.parts.attention_layers import reset_parameters
from prvr.parts.towers import FrameTower, WordsConfig, check_share
from prvr.parts.uniform import UniformConfig, prepare_frames
from prvr.parts.videos import FrameVideos, check_length


@dataclass(frozen=True, kw_only=True)
class ARLStyleConfig(WordsConfig):
    """The sizes of each of the two networks."""

    clip_weight: float = 0.0  # share of the second network in the score; 0: the first ranks alone, 0.5: the mean

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("clip_weight", self.clip_weight)


class Pair(NamedTuple):
    """Something that either network says."""

    first: Tensor
    second: Tensor


class ARLQueries(NamedTuple):
    """Queries as both networks read them."""

    query: Pair  # (Q, D) each, not normalised
    uncertainty: Pair  # (Q,) each, mean cosine with all frames of the training set; without gradient


class ARLVideos(NamedTuple):
    """Videos as both networks read them."""

    frames: Pair  # (V, T, D) each, zero where there is padding
    valid: Tensor  # (V, T) bool
    uncertainty: Pair  # (V, T) each, mean cosine with all queries of the training set; without gradient


class ARLStyle(nn.Module):
    """The two networks, and what they remember of the training set; fits `RetrievalModel`.

    The mean cosine of a vector with all others is its product with their mean, so that uncertainty over the whole
    training set needs one vector of queries and one of frames a network. They are summed up while an epoch passes and
    count from the next one on: `train()`, which the loop calls at the start of every epoch, is what turns the page.
    """

    def __init__(self, config: ARLStyleConfig) -> None:
        super().__init__()
        self.config, self.clip_weight = config, config.clip_weight
        self.first, self.second = FrameTower(config), FrameTower(config)
        self.means: Tensor
        self.register_buffer("means", torch.zeros(2, 2, config.hidden))  # (query | frame, network, D), of last epoch
        self.sums: Tensor
        self.register_buffer("sums", torch.zeros(2, 2, config.hidden))  # of this epoch so far
        self.counts: Tensor
        self.register_buffer("counts", torch.zeros(2))  # queries and frames in the sums
        reset_parameters(self)

    def train(self, mode: bool = True) -> Self:
        """As ever; what was seen since the last call with True becomes what uncertainty is measured by."""
        if mode and bool((self.counts > 0).all()):
            self.means.copy_(self.sums / self.counts[:, None, None])
            self.sums.zero_()
            self.counts.zero_()
        return super().train(mode)

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """-> (Q, D) of the first network; (Q, 2 D), each of length 1, where the second has a share in the score."""
        if not self.clip_weight:
            return self.first.encode_queries(queries)
        both = (network.encode_queries(queries) for network in (self.first, self.second))
        return torch.cat([F.normalize(query, dim=-1) for query in both], dim=-1)

    def encode_videos(self, videos: FrameVideos) -> VideoTokens:
        """-> frames of the first network and no clips; both, (V, T, 2 D) each with zeros in the other's place, where
        the second has a share: a cosine is then that of the network divided by √2, for every token and query.
        """
        valid = videos.frame_valid
        frames = self._frames(self.first, videos)
        if not self.clip_weight:
            return VideoTokens(frames, valid, frames[:, :0], valid[:, :0])
        clips, width = self._frames(self.second, videos), self.config.hidden
        return VideoTokens(F.pad(frames, (0, width)), valid, F.pad(clips, (width, 0)), valid)

    def token_spans(self, videos: FrameVideos) -> TokenSpans:
        """Seconds of the tokens that `encode_videos` makes."""
        return TokenSpans(videos.frame_spans, videos.frame_spans if self.clip_weight else videos.frame_spans[:, :0])

    def embed(self, batch: Batch[FrameVideos]) -> Made[ARLQueries, ARLVideos]:
        """Videos with all their queries, each read by both networks, and how uncertain each side is."""
        networks = (self.first, self.second)
        frames = Pair(*(self._frames(network, batch.videos) for network in networks))
        query = Pair(*(network.encode_queries(batch.queries) for network in networks))
        return Made(
            ARLQueries(query, self._uncertainty(query, self.means[1])),
            ARLVideos(frames, batch.videos.frame_valid, self._uncertainty(frames, self.means[0])),
        )

    @torch.no_grad()
    def remember(self, made: Made[ARLQueries, ARLVideos]) -> None:
        """Add a batch to what uncertainty is measured by from the next epoch on."""
        query, (frames, valid, _) = made.queries.query, made.videos
        queries = torch.stack([F.normalize(one, dim=-1).sum(0) for one in query])
        shown = torch.stack([(F.normalize(one, dim=-1) * valid[..., None]).sum((0, 1)) for one in frames])
        self.sums += torch.stack([queries, shown])
        self.counts += torch.stack([valid.new_tensor(len(query.first), dtype=torch.int64), valid.sum()])

    def _frames(self, network: FrameTower, videos: FrameVideos) -> Tensor:
        """(V, T, D), zero where there is padding. Raises ConfigError for more frames than the config says."""
        check_length(videos.frames, self.config.frames, "frames")
        return network.read_frames(videos.frames, videos.frame_valid) * videos.frame_valid[..., None]

    @torch.no_grad()
    def _uncertainty(self, vectors: Pair, means: Tensor) -> Pair:
        """vectors (..., D) of each network, means (2, D) -> (...) of each."""
        return Pair(*(F.normalize(one, dim=-1) @ mean.to(one) for one, mean in zip(vectors, means, strict=True)))


def _width(config: ARLStyleConfig, _: FeatureSpec) -> int:
    """D of both networks side by side, where the second has a share in the score."""
    return config.hidden * (2 if config.clip_weight else 1)


METHOD = Method(
    title="ARL-style (our reconstruction)",
    network=ARLStyleConfig,
    build=ARLStyle,
    cut=UniformConfig,
    videos=FrameVideos,
    prepare=prepare_frames,
    width=_width,
)
