"""CurvSpec (ACM MM 2026): two branches of attention in flat space and on hyperboloids of learned curvature.

Retrieval is that of GMMFormer v2: a query is one vector, and the best clip and the best frame count, 0.7 : 0.3, by
cosine. Regions of a video and points on the hyperboloid are for training alone.

The code that was released lacks its optimiser and the running mean of its weights; both are inferred from the code that
it was derived from (`runs.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.core.method import Method
from prvr.core.types import Batch, Made, TokenSpans, VideoTokens
from prvr.methods.curvspec.hyperboloid import held
from prvr.methods.curvspec.mixture import CurvedMixture, LorentzAttention
from prvr.methods.curvspec.regions import Regions, Starts, means_of_clips
from prvr.methods.msc.network import MixtureConfig, TwoMixtures
from prvr.parts.attention_layers import reset_parameters
from prvr.parts.blocks import InputProjection
from prvr.parts.pooling import AttentionPooling
from prvr.parts.spans import equal_spans
from prvr.parts.towers import TwiceRead
from prvr.parts.uniform import UniformConfig, prepare_uniform
from prvr.parts.videos import ClipVideos, check_places

WEIGHED = ("nce_clip", "nce_frame", "diversity", "hyperbolic", "gap", "cover", "exclusive")
"""Terms whose weights can be learned."""


@dataclass(frozen=True, kw_only=True)
class CurvSpecConfig(MixtureConfig):
    """The network's sizes and parts; the defaults are what was released."""

    widths: tuple[float | None, ...] = (None, 2.0, 4.0, 8.0)  # two blocks each, one flat and one curved
    tangent_width: int = 127  # of flat space beside a hyperboloid; with the time it is divided among the heads
    curvature: float = 1.0  # k of every curved block as it begins: the larger the flatter
    curvature_bounds: tuple[float, float] = (0.1, 10.0)
    regions: int = 4  # of a video; training alone, as is what follows
    region_heads: int = 4
    region_starts: Starts = "spread"  # clips that the regions' means begin at; drawn: as for ActivityNet
    learned_weights: bool = False  # of the loss, whose settings are then where they begin; as for ActivityNet
    # samples of dropout a query: one to be ranked and, as released, one for all other losses
    query_draws: Literal[1, 2] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.tangent_width + 1) % self.heads:
            raise ConfigError(
                f"model.tangent_width={self.tangent_width}: with the time it is {self.tangent_width + 1}, which "
                f"model.heads={self.heads} does not divide into equal heads"
            )
        if self.hidden % self.region_heads:
            raise ConfigError(f"model.region_heads={self.region_heads}: does not divide model.hidden={self.hidden}")
        least, most = self.curvature_bounds
        if not 0 < least <= self.curvature <= most:
            raise ConfigError(
                f"model.curvature={self.curvature}: must be within model.curvature_bounds={least},{most}, above 0"
            )
        if self.region_starts not in get_args(Starts):
            raise ConfigError(f"model.region_starts={self.region_starts}: choose one of {', '.join(get_args(Starts))}")


class CurvQueries(NamedTuple):
    """What the network makes of Q queries."""

    query: Tensor  # (Q, D) what ranks, not normalised
    again: Tensor  # (Q, D) another sample of dropout, or the same: what all other losses read
    tangent: Tensor  # (Q, d) of the point that it becomes


class CurvVideos(NamedTuple):
    """What the network makes of V videos."""

    tokens: VideoTokens
    tangent: Tensor  # (V, d) of the point that a video becomes
    regions: Tensor  # (V, K, d) of those that its regions become
    curvature: Tensor  # (V, 2, K) k of the curved blocks, of clips and of frames; the same in each row
    weights: Tensor | None  # (V, 7) by how much each weight of the loss has moved; the same in each row


class CurvSpec(TwoMixtures):
    """The two towers; fits `RetrievalModel`.

    In the released code zero vectors behind a short video take part in the ranking, so that no frame score is below 0;
    here padding is not there when videos are ranked, and whether it is while learning is a setting of the loss.
    """

    config: CurvSpecConfig
    frame_mixture: CurvedMixture
    clip_mixture: CurvedMixture

    def __init__(self, config: CurvSpecConfig) -> None:
        super().__init__(config, partial(_mixture, config))
        c = config
        # from here on for training alone
        self.clip_pooling = AttentionPooling(c.hidden)
        self.query_tangent = InputProjection(c.hidden, c.tangent_width, 0.1)
        self.video_tangent = InputProjection(c.hidden, c.tangent_width, 0.1)
        self.query_scale, self.video_scale = nn.Parameter(torch.empty(())), nn.Parameter(torch.empty(()))
        self.regions = Regions(c.hidden, c.tangent_width, c.region_heads)
        self.loss_weights = nn.ParameterList(torch.zeros(()) for _ in WEIGHED if c.learned_weights)
        self._reset()

    def encode_videos(self, videos: ClipVideos) -> VideoTokens:
        """-> tokens of both branches, zero where there is padding. Raises ConfigError for more than `config` says.

        The content of a video is the mean over all places that the network has for frames, as released: those behind
        its last frame are encoded too, and are the same for every video.
        """
        num_frames = videos.frames.shape[1]
        check_places(videos, self.config.frames, self.config.clips)
        missing = self.config.frames - num_frames
        valid = F.pad(videos.frame_valid, (0, missing))
        frames = F.pad(videos.frames.masked_fill(~videos.frame_valid[..., None], 0.0), (0, 0, 0, missing))
        frames = self.frame_mixture(self.frame_positions(self.frame_input(frames)), valid, torch.ones_like(valid))
        clip_valid = videos.clip_size > 0
        clips = self.clip_mixture(self.clip_positions(self.clip_input(videos.clips)), clip_valid, clip_valid)
        return VideoTokens(frames[:, :num_frames], videos.frame_valid, clips, clip_valid)

    def token_spans(self, videos: ClipVideos) -> TokenSpans:
        """Seconds of those tokens."""
        return TokenSpans(frames=videos.frame_spans, clips=equal_spans(videos, videos.clips.shape[1]))

    def embed(self, batch: Batch[ClipVideos], means: Tensor | None = None) -> Made[CurvQueries, CurvVideos]:
        """Queries, read twice while training, and videos; `means` (V, K, D) stand in for those of their clips."""
        tokens = self.encode_videos(batch.videos)
        again = self.training and self.config.query_draws > 1
        read = TwiceRead.of(self.encode_queries, batch.queries, again=again)
        if means is None:
            clips = tokens.clips.detach().float()
            means = means_of_clips(clips, tokens.clip_valid, self.config.regions, starts=self.config.region_starts)
            means = means.to(tokens.clips.dtype)
        pooled = self.clip_pooling(tokens.clips, tokens.clip_valid)[:, None]
        by_query, by_video = (held(scale, -torch.inf, 0.0).exp() for scale in (self.query_scale, self.video_scale))
        everywhere = len(tokens.clips)
        moved = torch.stack(list(self.loss_weights)).expand(everywhere, -1) if len(self.loss_weights) else None
        return Made(
            CurvQueries(*read, by_query * self.query_tangent(read.again[:, None])[:, 0]),
            CurvVideos(
                tokens,
                tangent=by_video * self.video_tangent(pooled)[:, 0],
                regions=by_video * self.regions(means, tokens),
                curvature=self.curvatures().expand(everywhere, -1, -1),
                weights=moved,
            ),
        )

    def curvatures(self) -> Tensor:
        """k of the curved blocks -> (2, K), of clips and of frames."""
        return torch.stack([self.clip_mixture.curvatures(), self.frame_mixture.curvatures()])

    @torch.no_grad()
    def remember(self, _: Made[CurvQueries, CurvVideos]) -> None:
        """Numbers that have left their bounds are put back, as released: a step of the optimiser starts within them."""
        for mixture in (self.clip_mixture, self.frame_mixture):
            for k in mixture.k:
                k.clamp_(*self.config.curvature_bounds)
        for scale in self._scales():
            scale.clamp_(max=0.0)

    def _scales(self) -> list[nn.Parameter]:
        blocks = [module.scale for module in self.modules() if isinstance(module, LorentzAttention)]
        return [*blocks, self.query_scale, self.video_scale]

    @torch.no_grad()
    def _reset(self) -> None:
        reset_parameters(self)
        for attention in (self.regions.frame_attention, self.regions.clip_attention):
            nn.init.xavier_uniform_(attention.in_proj_weight)
        width = self.config.tangent_width
        for module in self.modules():
            if isinstance(module, LorentzAttention):
                module.scale.fill_(-0.5 * math.log(width))
                module.softness.fill_((width + 1) ** 0.5)
                for part in (module.query, module.key, module.value):
                    part.reach.fill_(2.3)
        for mixture in (self.clip_mixture, self.frame_mixture):
            for k in mixture.k:
                k.fill_(self.config.curvature)
        for scale in (self.query_scale, self.video_scale):
            scale.fill_(-0.5 * math.log(self.config.hidden))
        for weight in self.loss_weights:
            weight.zero_()


def _mixture(config: CurvSpecConfig, length: int) -> CurvedMixture:
    return CurvedMixture(
        config.hidden,
        config.tangent_width,
        config.heads,
        length,
        widths=config.widths,
        bounds=config.curvature_bounds,
        sft_factor=config.sft_factor,
        dropout=config.dropout,
        checkpoint=config.checkpoint,
    )


METHOD = Method(
    title="CurvSpec",
    network=CurvSpecConfig,
    build=CurvSpec,
    cut=UniformConfig,
    videos=ClipVideos,
    prepare=prepare_uniform,
)
