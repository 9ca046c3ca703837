"""BGM-Net (TOMM 2024): MS-SL's network, taught so that the queries of a video are about different moments of it.

Clips are read between the frames instead of averaged. While training, queries and moments are matched one to one,
which is the objective's business (`prvr.methods.mssl.anchoring`); retrieval is that of MS-SL and needs the query at the video.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from prvr.core.types import VideoBatch, VideoFeatures
from prvr.methods.mssl import network as mssl
from prvr.methods.mssl.network import MSSL, MSSLConfig, official_names
from prvr.parts.sampling import interpolate_positions
from prvr.parts.uniform import UniformConfig, prepare_uniform
from prvr.parts.videos import unit_rows

__all__ = ["BGMNet", "BGMNetConfig", "from_official", "official_names", "prepare_interpolated"]


@dataclass(frozen=True, kw_only=True)
class BGMNetConfig(MSSLConfig):
    """MS-SL's sizes; the number of clips differs from benchmark to benchmark."""


class BGMNet(MSSL):
    """Encodes both sides as MS-SL does; its two towers meet only in the objective, so it trains in any precision."""

    config: BGMNetConfig

    def __init__(self, config: BGMNetConfig) -> None:
        super().__init__(config)


def prepare_interpolated(video: VideoFeatures, config: UniformConfig) -> VideoBatch:
    """One video's frozen features -> a batch of one: frames as for MS-SL, each clip three readings between frames.

    A clip that no frame reaches, of which a video of fewer than half as many frames has some, is zero and takes part
    like any other. Raises FeatureError for a video without frames.
    """
    made = prepare_uniform(video, config)
    return replace(made, clips=unit_rows(interpolate_positions(video.features.float(), config.clips))[None])


def from_official(state: Mapping[str, Tensor], *, where: str = "this state dict") -> dict[str, Tensor]:
    """The authors' weights under our names and in our shapes. Raises CheckpointError when they are not BGM-Net's."""
    return OFFICIAL.read(state, where=where)


OFFICIAL = replace(mssl.OFFICIAL, system="BGM-Net", signs={"use_matcher": True})
