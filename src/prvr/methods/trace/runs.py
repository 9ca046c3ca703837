"""TRACE scoring on the bare encoder: the best frame, helped by what the whole video is about. Nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from prvr.core.types import FeatureSpec, VideoBatch, VideoFeatures
from prvr.methods.recipe import Recipe
from prvr.methods.trace.network import Traced
from prvr.methods.trace.scoring import TraceConfig
from prvr.methods.zero_shot.network import ZeroShot
from prvr.methods.zero_shot.runs import ZeroShotSettings
from prvr.methods.zero_shot.runs import max_over_frames as bare

__all__ = ["TraceConfig", "TraceSettings", "max_over_frames"]


@dataclass(frozen=True, kw_only=True)
class TraceSettings:
    """All there is to set."""

    trace: TraceConfig = field(default_factory=TraceConfig)
    prepare: ZeroShotSettings = field(default_factory=ZeroShotSettings)


def max_over_frames() -> Recipe:
    """score(q, v) = max over v's frames of cos(sentence, frame) + λ (route + η · soft)."""
    return Recipe(
        target="prvr.methods.trace.runs:max_over_frames",
        title="zero-shot + TRACE",
        settings=TraceSettings(),
        fit=_fit,
        width=_width,
        prepare=_prepare,
        build=_build,
    )


def _fit(settings: TraceSettings, features: FeatureSpec) -> None:
    bare().fit(settings.prepare, features)


def _width(settings: TraceSettings, features: FeatureSpec) -> int:
    return bare().width(settings.prepare, features)


def _prepare(settings: TraceSettings, videos: Sequence[VideoFeatures]) -> VideoBatch:
    return bare().prepare(settings.prepare, videos)


def _build(settings: TraceSettings) -> Traced:
    return Traced(ZeroShot(), settings.trace)
