"""TF-PRVR (NeurIPS 2026) on whatever an image-text encoder sees: nothing is trained, and one setting serves all."""

from __future__ import annotations

from prvr.core.method import RankSettings
from prvr.methods.recipe import Recipe, untrained
from prvr.methods.tfprvr.network import METHOD, MomentConfig
from prvr.methods.zero_shot.network import Nothing


def moments() -> Recipe:
    """As released: db4, one standard deviation, β = 0.7, closed-form smoothing over the graph of segments."""
    return untrained(moments, METHOD, _settings(MomentConfig()))


def approximate() -> Recipe:
    """The graph replaced by what it comes near to, the mean of each level: a cost that grows with the length alone."""
    return untrained(approximate, METHOD, _settings(MomentConfig(smoothing="levels")), "TF-PRVR, means of levels")


def budget() -> Recipe:
    """At most 160 moments of a video (paper, the comparison of signals under a budget)."""
    return untrained(budget, METHOD, _settings(MomentConfig(max_moments=160)), "TF-PRVR, 160 moments")


def _settings(prepare: MomentConfig) -> RankSettings[Nothing, MomentConfig]:
    return RankSettings(model=Nothing(), prepare=prepare)
