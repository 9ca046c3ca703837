"""The bare encoder as a system: the best frame's cosine with the sentence, nothing trained."""

from __future__ import annotations

from prvr.core.method import RankSettings
from prvr.methods.recipe import Recipe, untrained
from prvr.methods.zero_shot.network import METHOD, Nothing


def max_over_frames() -> Recipe:
    """score(q, v) = max over v's frames of cos(sentence, frame)."""
    return untrained(max_over_frames, METHOD, RankSettings(model=Nothing(), prepare=Nothing()))
