"""MS-SL (ACM MM 2022): proposals of every length, and frames read anew under the guidance of the best of them.

The frame branch needs the query at the video: which frames count follows from the proposal that the query likes best.
That choice has only as many outcomes as there are proposals, so what each would lead to is worked out once a video.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from prvr.core.method import Method
from prvr.core.types import Batch, BranchScores, Made, TokenSpans, VideoTokens
from prvr.parts.attention_layers import reset_parameters
from prvr.parts.proposals import guided_means, key_scores, window_spans, window_table, window_valid
from prvr.parts.spans import equal_spans
from prvr.parts.towers import BranchConfig, ClipTower
from prvr.parts.uniform import UniformConfig, prepare_uniform
from prvr.parts.videos import ClipVideos


@dataclass(frozen=True, kw_only=True)
class MSSLConfig(BranchConfig):
    """The network's sizes; the defaults are what was released. C clips make C (C + 1) / 2 proposals."""


class Guides(NamedTuple):
    """What MS-SL makes of V videos, before any query says which proposal guides it to the frames."""

    clips: Tensor  # (V, C, D)
    clip_valid: Tensor  # (V, C) bool
    looks_for: Tensor  # (V, C, D) what each clip looks for among the frames
    frames: Tensor  # (V, T, D) where it is looked for
    values: Tensor  # (V, T, D) what is seen there
    frame_valid: Tensor  # (V, T) bool


class MSSL(ClipTower):
    """Encodes both sides; `scores` compares them, since the frame branch is read under the query's guidance."""

    config: MSSLConfig

    def __init__(self, config: MSSLConfig) -> None:
        super().__init__(config)
        self.clip_weight = config.clip_weight
        self.guide_key = nn.Linear(config.hidden, config.hidden, bias=False)
        self.guide_value = nn.Linear(config.hidden, config.hidden, bias=False)
        reset_parameters(self)

    def encode_videos(self, videos: ClipVideos) -> VideoTokens:
        """-> P proposals as clips, the single clips first, and as frames what each guides to, (V, P, D) each."""
        seen = self.contextual(videos)
        proposals = window_table(seen.clips.shape[1], seen.clips) @ seen.clips
        keys, values = self.guide_key(seen.frames), self.guide_value(seen.frames)
        valid = window_valid(seen.clip_valid)
        guided = guided_means(proposals, keys, values, seen.frame_valid)
        return VideoTokens(frames=guided, frame_valid=valid, clips=proposals, clip_valid=valid)

    def scores(self, query: Tensor, tokens: VideoTokens) -> BranchScores:
        """query (Q, D), what `encode_videos` made -> (Q, V) each.

        The clip score is the cosine with the best proposal, the frame score that with what this very proposal guides
        to; no weight is read. The best of both maxima, as an index would take it, is another score.
        """
        num_clips = int((8 * tokens.clips.shape[1] + 1) ** 0.5) // 2
        clip, frame = key_scores(query, tokens.clips, tokens.frames, tokens.clip_valid, num_clips)
        return BranchScores(frame=frame, clip=clip)

    def token_spans(self, videos: ClipVideos) -> TokenSpans:
        """Seconds of the tokens that `encode_videos` makes; what a proposal guides to has the proposal's."""
        spans = window_spans(equal_spans(videos, videos.clips.shape[1]))
        return TokenSpans(frames=spans, clips=spans)

    def embed(self, batch: Batch[ClipVideos]) -> Made[Tensor, Guides]:
        """Queries (Q, D), and videos as far as they can be read without knowing the query."""
        seen = self.contextual(batch.videos)
        query = self.encode_queries(batch.queries)
        values = self.guide_value(seen.frames)
        looks_for = seen.clips @ self.guide_key.weight  # ⟨K f, g⟩ = ⟨f, Kᵀ g⟩, and clips are fewer than frames
        return Made(query, Guides(seen.clips, seen.clip_valid, looks_for, seen.frames, values, seen.frame_valid))


METHOD = Method(
    title="MS-SL", network=MSSLConfig, build=MSSL, cut=UniformConfig, videos=ClipVideos, prepare=prepare_uniform
)
