"""How the weight of a teacher fades from epoch to epoch (DL-DKD and DL-DKD++); epochs are counted from 0."""

from __future__ import annotations

import math


def exponential_fade(epoch: int) -> float:
    """0.95^epoch, which DL-DKD was published with."""
    return 0.95**epoch


def linear_fade(epoch: int) -> float:
    """One hundredth less each epoch, down to 0.05."""
    return max(1 - 0.01 * epoch, 0.05)


def sigmoid_fade(epoch: int) -> float:
    """Nearly 1 for some 30 epochs, half at 53, nearly 0 at 100."""
    return 800 / (800 + math.exp(100 * epoch / 800))


def soft_label_fade(epoch: int) -> tuple[float, float]:
    """DL-DKD++: the share of pairs with hard labels, and the share of the hard label in a soft one, at least a half."""
    share = 0.8 * sigmoid_fade(epoch)
    return max(share, 0.0), max(share, 0.5)
