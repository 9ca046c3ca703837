"""What was looked at, and how it was found."""

from __future__ import annotations

from typing import NamedTuple


class Check(NamedTuple):
    """One thing that was looked at, on a machine or in a folder."""

    name: str
    ok: bool
    found: str
    fix: str = ""  # what to do where it is not well
