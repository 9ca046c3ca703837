"""What every engine behind the index answers to: five verbs, one header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from prvr.core.types import Bank, Candidate, EncoderSpec

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class IndexHeader:
    """What the vectors of an index have in common; a query made otherwise would score nonsense."""

    encoder: EncoderSpec
    model: str  # `zero-shot`, or the fingerprint of the trained model that lies in the index
    width: int  # D of the vectors
    clip_weight: float  # share of the clip branch in the score, 0..1
    version: int = VERSION


class Index(Protocol):
    """Five verbs. Text becomes a vector before it arrives here."""

    @property
    def header(self) -> IndexHeader:
        """What the vectors have in common."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """Every video's `version`, as it was given to `add`."""
        ...

    def add(self, video_id: str, bank: Bank, *, version: str = "") -> None:
        """One video; replaces what was there under this id. `version` says what the vectors were made from."""
        ...

    def remove(self, video_id: str) -> None:
        """Forget one video; nothing happens if it is not there."""
        ...

    def search(self, query: Tensor, *, k: int) -> list[Candidate]:
        """query (D,) -> the k best videos, best first, with their token scores."""
        ...

    def save(self, folder: Path) -> None:
        """Write to disk, whole or not at all."""
        ...

    def __len__(self) -> int:
        """Number of videos."""
        ...
