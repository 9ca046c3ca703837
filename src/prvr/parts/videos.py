"""Videos that were prepared apart, put together; rows of unit length."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from prvr.core.errors import FeatureError
from prvr.core.types import VideoBatch


def cat_videos(videos: Sequence[VideoBatch]) -> VideoBatch:
    """Batches one after the other, shorter ones padded: frames not valid, clips of size 0.

    Raises FeatureError where their widths differ.
    """
    widths = sorted({video.frames.shape[2] for video in videos})
    if len(widths) != 1:
        raise FeatureError(
            f"videos of {' and '.join(map(str, widths)) or 'no'} features cannot be put together; "
            "extract all of them with one encoder"
        )
    names = VideoBatch.__dataclass_fields__
    return VideoBatch(**{name: _stack([getattr(video, name) for video in videos]) for name in names})


def unit_rows(x: Tensor) -> Tensor:
    """x (..., E) with each row divided by its length + 1e-5, as published."""
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / (length + 1e-5)


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    """(v, N, ...) each -> (V, N of the longest, ...), zeros or False behind the shorter."""
    longest = max(tensor.shape[1] for tensor in tensors)
    if all(tensor.shape[1] == longest for tensor in tensors):
        return torch.cat(list(tensors))
    padded = [torch.cat([t, t.new_zeros(len(t), longest - t.shape[1], *t.shape[2:])], dim=1) for t in tensors]
    return torch.cat(padded)
