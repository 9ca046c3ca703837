"""Numbers as people read them."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """Seconds as a person reads them: 75.25 -> 1:15.2."""
    tenths = int(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02}" if hours else f"{minutes}") + f":{rest // 10:02}.{rest % 10}"
