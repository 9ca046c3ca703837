"""Hits as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from prvr.core.types import Hit


def hit_table(hits: Sequence[Hit]) -> str:
    """Rank, score, best moment, file; further moments behind."""
    if not hits:
        return "The index holds no video yet."
    rows = [" #  score   moment               video"]
    for rank, hit in enumerate(hits, 1):
        span = f"{clock(hit.start)} - {clock(hit.end)}"
        more = f"  (+{len(hit.moments) - 1} more)" if len(hit.moments) > 1 else ""
        rows.append(f"{rank:2}  {hit.score:6.3f}  {span:<19}  {hit.path or hit.video_id}{more}")
    return "\n".join(rows)


def clock(seconds: float) -> str:
    """Seconds as a person reads them: 75.25 -> 1:15.2."""
    tenths = int(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02}" if hours else f"{minutes}") + f":{rest // 10:02}.{rest % 10}"
