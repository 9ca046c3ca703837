"""Reference arrays: how they are read, and how near is near enough.

Tolerances are those that the arrays' descriptions suggest: rtol 1e-4 and atol 2e-5 in float32, 1e-6 in float64, whole
numbers exactly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor


class Arrays:
    """One file: arrays by name as tensors, in the precision they were stored in. Skips where there is no file."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            pytest.skip(f"{path} is not here: reference arrays are not shipped")
        with np.load(path) as arrays:
            self.arrays = {name: arrays[name] for name in arrays.files}

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.arrays[name])).view(self.arrays[name].shape)

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def number(self, name: str) -> float:
        """An array of one number."""
        return float(self.arrays[name])

    def below(self, prefix: str) -> dict[str, Tensor]:
        """All whose names begin so, without the beginning."""
        return {name.removeprefix(prefix): self[name] for name in self.arrays if name.startswith(prefix)}

    def matching(self, pattern: str) -> list[re.Match[str]]:
        """All names that a pattern fits from end to end: sizes and settings are part of many."""
        return [found for name in self.arrays if (found := re.fullmatch(pattern, name))]

    def fused(self) -> tuple[str, float]:
        """The name of the fused scores, and the share of the clip branch that it tells."""
        (found,) = self.matching(r"out/fused_score_([\d.]+)clip_([\d.]+)frame")
        return found[0], float(found[1])

    def settings(self) -> dict[str, Any]:
        """What the arrays were made with, where the file says."""
        found: dict[str, Any] = json.loads(str(self.arrays["__meta__"]))["config"]
        return found

    def meaning(self, name: str) -> str:
        """What the file says that an array is."""
        return str(json.loads(str(self.arrays["__meta__"]))["arrays"][name]["meaning"])


def close(got: Tensor, want: Tensor, *, atol: float | None = None) -> None:
    """Equal but for rounding; in float64 both must be, in float32 otherwise."""
    wide = want.dtype == torch.float64 and got.dtype == torch.float64
    rtol, default = (1e-6, 1e-9) if wide else (1e-4, 2e-5)
    torch.testing.assert_close(got.to(want.dtype), want, rtol=rtol, atol=default if atol is None else atol)
