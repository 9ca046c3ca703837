"""The bare encoder as a system: the best frame's cosine with the sentence, nothing trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prvr.core.types import FeatureSpec, VideoBatch, VideoFeatures
from prvr.methods.needs import check_common_space
from prvr.methods.recipe import Recipe
from prvr.methods.zero_shot.network import ZeroShot, prepare_raw
from prvr.parts.videos import cat_videos


@dataclass(frozen=True, kw_only=True)
class ZeroShotSettings:
    """There is nothing to set."""


def max_over_frames() -> Recipe:
    """score(q, v) = max over v's frames of cos(sentence, frame)."""
    return Recipe(
        target="prvr.methods.zero_shot.runs:max_over_frames",
        title="zero-shot",
        settings=ZeroShotSettings(),
        fit=_fit,
        width=_width,
        prepare=_prepare,
        build=_build,
    )


def _fit(_: ZeroShotSettings, features: FeatureSpec) -> None:
    check_common_space(features)


def _width(_: ZeroShotSettings, features: FeatureSpec) -> int:
    return features.video_width


def _prepare(_: ZeroShotSettings, videos: Sequence[VideoFeatures]) -> VideoBatch:
    return cat_videos([prepare_raw(video) for video in videos])


def _build(_: ZeroShotSettings) -> ZeroShot:
    return ZeroShot()
