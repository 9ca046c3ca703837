"""The encoder `things`."""

from __future__ import annotations

from pathlib import Path

from prvr.core.types import Encoder


def installed() -> Path | None:
    """Where its packages lie; None unless all of them are there."""
    return None


def load_things_encoder(*, device: str = "cpu") -> Encoder:
    """Written next."""
    raise NotImplementedError
