"""TRACE scoring on the bare encoder: the best frame, helped by what the whole video is about. Nothing is trained."""

from __future__ import annotations

from prvr.core.method import RankSettings
from prvr.methods.recipe import Recipe, untrained
from prvr.methods.trace.network import METHOD
from prvr.methods.trace.scoring import TraceConfig
from prvr.methods.zero_shot.network import Nothing


def max_over_frames() -> Recipe:
    """score(q, v) = max over v's frames of cos(sentence, frame) + λ (route + η · soft)."""
    return untrained(max_over_frames, METHOD, RankSettings(model=TraceConfig(), prepare=Nothing()))
