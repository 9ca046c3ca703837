"""BGM-Net (TOMM 2024): MS-SL's network, taught so that the queries of a video are about different moments of it.

Clips are read between the frames instead of averaged. While training, queries and moments are matched one to one, which
is the loss's business (`prvr.methods.mssl.anchoring`); retrieval is that of MS-SL and needs the query at the video.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from prvr.core.method import Method
from prvr.core.types import VideoFeatures
from prvr.core.vectors import unit_rows
from prvr.methods.mssl.network import MSSL, MSSLConfig
from prvr.parts.sampling import interpolate_positions
from prvr.parts.uniform import UniformConfig, prepare_frames, with_clips
from prvr.parts.videos import ClipVideos


def prepare_interpolated(videos: Sequence[VideoFeatures], config: UniformConfig) -> ClipVideos:
    """Frozen features of V videos -> frames as for MS-SL, and C clips, each three readings between frames.

    A clip that no frame reaches, of which a video of fewer than half as many frames has some, is zero and takes part
    like any other. Raises FeatureError for a video without frames.
    """
    framed = prepare_frames(videos, config)
    clips = [unit_rows(interpolate_positions(video.features.float(), config.clips)) for video in videos]
    return with_clips(framed, torch.stack(clips))


def build(config: MSSLConfig) -> MSSL:
    """MS-SL's network; made here, since a method goes by the name of the module that builds its network."""
    return MSSL(config)


METHOD = Method(
    title="BGM-Net", network=MSSLConfig, build=build, cut=UniformConfig, videos=ClipVideos, prepare=prepare_interpolated
)
