"""TF-PRVR (NeurIPS 2026) on whatever an image-text encoder sees: nothing is trained, and one setting serves all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from prvr.core.types import FeatureSpec, VideoBatch, VideoFeatures
from prvr.methods.needs import check_common_space
from prvr.methods.recipe import Recipe
from prvr.methods.tfprvr.network import TFPRVR, MomentConfig, prepare_moments

__all__ = ["MomentConfig", "TFPRVRSettings", "approximate", "budget", "moments"]


@dataclass(frozen=True, kw_only=True)
class TFPRVRSettings:
    """All there is to set; published for every benchmark and every encoder alike."""

    prepare: MomentConfig = field(default_factory=MomentConfig)


def moments() -> Recipe:
    """As released: db4, one standard deviation, β = 0.7, closed-form smoothing over the graph of segments."""
    return _recipe("moments", "TF-PRVR", TFPRVRSettings())


def approximate() -> Recipe:
    """The graph replaced by what it comes near to, the mean of each level: a cost that grows with the length alone."""
    return _recipe("approximate", "TF-PRVR, means of levels", TFPRVRSettings(prepare=MomentConfig(smoothing="levels")))


def budget() -> Recipe:
    """At most 160 moments of a video (paper, the comparison of signals under a budget)."""
    settings = TFPRVRSettings(prepare=replace(MomentConfig(), max_moments=160))
    return _recipe("budget", "TF-PRVR, 160 moments", settings)


def _recipe(function: str, title: str, settings: TFPRVRSettings) -> Recipe:
    return Recipe(
        target=f"prvr.methods.tfprvr.runs:{function}",
        title=title,
        settings=settings,
        fit=_fit,
        width=_width,
        prepare=_prepare,
        build=_build,
    )


def _fit(_: TFPRVRSettings, features: FeatureSpec) -> None:
    check_common_space(features)


def _width(_: TFPRVRSettings, features: FeatureSpec) -> int:
    return features.video_width + 1  # see `prvr.methods.tfprvr.network`


def _prepare(settings: TFPRVRSettings, videos: Sequence[VideoFeatures]) -> VideoBatch:
    return prepare_moments(videos, settings.prepare)


def _build(_: TFPRVRSettings) -> TFPRVR:
    return TFPRVR()
