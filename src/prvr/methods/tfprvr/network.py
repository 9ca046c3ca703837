"""TF-PRVR (NeurIPS 2026): a video becomes the moments that its own path through the encoder's space suggests.

Nothing is trained. Frames are cut where the path turns, at several scales; segments that are alike, near or overlapping
smooth each other; between two neighbouring cuts lies a moment. A video scores by its best moment's inner product with
the sentence, so it is a fixed bank of vectors, each with its span.

Everything else here ranks by cosine. Moments are therefore kept with one number more, which brings all of them to the
same length and which no query looks at: the cosine of (q, 0) with (z, √(c² - |z|²)) is q · z / c.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from prvr.core.errors import ConfigError, FeatureError
from prvr.core.method import Method
from prvr.core.types import FeatureSpec, QueryBatch, VideoFeatures
from prvr.methods.tfprvr.moment_graph import (
    PathMoments,
    affinity,
    moments_of,
    segment_vectors,
    segments_of,
    smooth_by_graph,
    smooth_by_level,
)
from prvr.methods.tfprvr.trajectory import cut_strength, levels_of, turning
from prvr.methods.tfprvr.wavelets import FAMILIES, Wavelet
from prvr.methods.zero_shot.network import Nothing, ZeroShot
from prvr.parts.needs import check_common_space
from prvr.parts.sampling import frame_spans
from prvr.parts.videos import FrameVideos, cat_videos, check_frames

LONGEST = 1.25  # c; moments of released settings are at most about 1 long, longer ones than this are shortened to it
_SHORTEST = 1e-12  # frames shorter than this point nowhere
_FRAMES = 4096  # of videos worked on together, padding included


@dataclass(frozen=True, kw_only=True)
class MomentConfig:
    """How a video becomes moments; the defaults are what was released, the same for every benchmark and encoder."""

    wavelet: Wavelet = "db4"
    threshold: float = 1.0  # standard deviations above the mean that a peak must exceed to be a cut
    beta: float = 0.7  # share of a moment that comes from the segments around it, 0 = none
    smoothing: Literal["graph", "levels"] = "graph"  # levels: plain means, which cost O(N) where the graph costs O(N³)
    max_moments: int | None = None  # of a video; more lose their weakest cuts. None: all

    def __post_init__(self) -> None:
        if self.wavelet not in FAMILIES:
            raise ConfigError(f"prepare.wavelet={self.wavelet!r}: choose one of {', '.join(FAMILIES)}")
        if not 0 <= self.beta < 1:
            raise ConfigError(f"prepare.beta={self.beta}: must be from 0 to below 1")
        if self.threshold < 0:
            raise ConfigError(f"prepare.threshold={self.threshold}: must not be negative")
        if self.max_moments is not None and self.max_moments < 1:
            raise ConfigError(f"prepare.max_moments={self.max_moments}: a video has at least one moment")


class TFPRVR(ZeroShot):
    """The bare encoder over moments instead of frames, for videos that `prepare_moments` made."""

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """The encoder's sentence embedding, of unit length, and a zero -> (Q, E + 1)."""
        return F.pad(F.normalize(queries.sentence, dim=-1), (0, 1))


def prepare_moments(videos: Sequence[VideoFeatures], config: MomentConfig) -> FrameVideos:
    """Frozen features of V videos -> their moments, each in the place of a frame and with its span in seconds.

    frames (V, M, E + 1), of unit length as the module says. Raises FeatureError for a video without frames, for
    numbers that are not finite and for frames that are zero.
    """
    for video in videos:
        _check(video)
    lengths = torch.tensor([len(video.features) for video in videos])
    order = lengths.argsort(stable=True)  # alike lengths are padded to each other
    parts = [_prepared([videos[v] for v in rows], config) for rows in _parts(order.tolist(), lengths.tolist())]
    return cat_videos(parts).take(order.argsort())


def find_moments(frames: Tensor, lengths: Tensor, config: MomentConfig) -> PathMoments:
    """Frames of V videos -> the vectors that they are searched by.

    frames (V, T, D) float64 of unit length, T at least 3, zero behind lengths (V,).
    """
    signal = turning(frames, lengths)
    strength = cut_strength(signal, lengths, wavelet=config.wavelet, threshold=config.threshold)
    if config.max_moments is not None:
        strength = strongest(strength, config.max_moments - 1)
    segments = segments_of(strength > 0, lengths, levels_of(lengths, config.wavelet))
    vectors = segment_vectors(frames, segments)
    if config.smoothing == "levels":
        smoothed = smooth_by_level(vectors, segments, beta=config.beta)
    else:
        smoothed = smooth_by_graph(vectors, affinity(vectors, segments, lengths), beta=config.beta)
    return moments_of(smoothed, segments, lengths)


def strongest(strength: Tensor, most: int) -> Tensor:
    """The cuts at the `most` frames of each video where some level responds most strongly; the others become 0.

    strength (V, L, T) -> (V, L, T).
    """
    rank = strength.amax(1).argsort(dim=1, descending=True, stable=True).argsort(1)  # (V, T)
    return strength.masked_fill((rank >= most)[:, None], 0.0)


def lift(vectors: Tensor) -> Tensor:
    """Vectors (..., D) at most `LONGEST` long -> (..., D + 1) of unit length with the same order of inner products."""
    inner = vectors / LONGEST
    inner = inner / inner.norm(dim=-1, keepdim=True).clamp(min=1.0)
    rest = (1 - inner.square().sum(-1, keepdim=True)).clamp(min=0.0).sqrt()
    return torch.cat([inner, rest], dim=-1)


def _prepared(videos: Sequence[VideoFeatures], config: MomentConfig) -> FrameVideos:
    """Videos of about the same length -> their moments."""
    lengths = torch.tensor([len(video.features) for video in videos])
    frames = pad_sequence([F.normalize(video.features.double(), dim=1) for video in videos], batch_first=True)
    frames = F.pad(frames, (0, 0, 0, max(3 - frames.shape[1], 0)))
    spans = pad_sequence([frame_spans(video.times, video.duration_s) for video in videos], batch_first=True)
    found = find_moments(frames, lengths, config)
    start = spans[..., 0].gather(1, found.span[..., 0].where(found.valid, 0))
    end = spans[..., 1].gather(1, (found.span[..., 1] - 1).where(found.valid, 0))
    return FrameVideos(
        frames=lift(found.vectors).float().masked_fill(~found.valid[..., None], 0.0),
        frame_valid=found.valid,
        frame_spans=torch.stack([start, end], 2).masked_fill(~found.valid[..., None], 0.0),
    )


def _parts(order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Videos in order of their length -> lots of them that are small enough to be worked on together."""
    rows: list[int] = []
    for v in order:
        if rows and (len(rows) + 1) * lengths[v] > _FRAMES:
            yield rows
            rows = []
        rows.append(v)
    if rows:
        yield rows


def _check(video: VideoFeatures) -> None:
    check_frames(video)
    features = video.features
    if not torch.isfinite(features).all():
        raise FeatureError("features hold numbers that are not finite; delete the feature store and extract again")
    if bool((features.double().norm(dim=1) < _SHORTEST).any()):
        raise FeatureError("a video has frames whose features are all zero, which point nowhere; extract it again")


def _width(_: Nothing, features: FeatureSpec) -> int:
    """D of the vectors, which have one number more than the features: see the top of this file."""
    return features.video_width + 1


METHOD = Method(
    title="TF-PRVR",
    network=Nothing,
    build=TFPRVR,
    cut=MomentConfig,
    videos=FrameVideos,
    prepare=prepare_moments,
    width=_width,
    fit=check_common_space,
)
