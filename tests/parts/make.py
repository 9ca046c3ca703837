"""Made-up videos for tests."""

from __future__ import annotations

import torch
from torch import Tensor

from prvr.core.types import VideoFeatures


def video_features(features: Tensor, *, rate: float = 1.0) -> VideoFeatures:
    """One frame each 1/rate seconds, from 0."""
    return VideoFeatures(features, torch.arange(len(features)) / rate, len(features) / rate)
