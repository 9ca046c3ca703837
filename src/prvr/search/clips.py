"""The moments of some hits, one by one, as they are to be saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prvr.core.errors import ConfigError, VideoError
from prvr.core.text import text_of
from prvr.core.types import Hit


class Clip(NamedTuple):
    """One moment that is exported."""

    rank: int  # of its video, 1 = best
    moment: int  # of that video, 1 = best
    start_s: float
    end_s: float
    hit: Hit

    @property
    def name(self) -> str:
        """The file, for people."""
        return text_of(self.hit.path.name) if self.hit.path else self.hit.video_id

    @property
    def place(self) -> Path:
        """The file. Raises VideoError when it is not known or gone."""
        if self.hit.path is None or not self.hit.path.exists():
            raise VideoError(f"{self.hit.video}: is not there any more; index the folder where it is now")
        return self.hit.path

    def plain(self) -> dict[str, Any]:
        """The columns of a table."""
        hit = self.hit
        return {
            "rank": self.rank,
            "moment": self.moment,
            "video": hit.video_id,
            "path": text_of(hit.path) if hit.path else "",
            "start_s": self.start_s,
            "end_s": self.end_s,
            "duration_s": hit.duration_s,
            "score": hit.score,
            "confidence": hit.confidence,
            "p_topic": hit.p_topic,
            "p_instance": hit.p_instance,
            "channel": hit.channel,
            "quote": hit.quote,
        }


def clips_of(
    hits: Sequence[Hit], *, before_s: float = 0.0, after_s: float = 0.0, best_only: bool = False
) -> list[Clip]:
    """The moments of some hits, best video and best moment first, widened and clamped to their videos.

    Raises ConfigError when narrowing leaves nothing of one.
    """
    clips = []
    for rank, hit in enumerate(hits, 1):
        for number, (start, end) in enumerate(hit.moments[:1] if best_only else hit.moments, 1):
            first, last = max(0.0, start - before_s), min(hit.duration_s, end + after_s)
            if not first < last:
                raise ConfigError(
                    f"{hit.video}: nothing is left of the moment {start:.2f}-{end:.2f} s when it is "
                    f"narrowed by {-before_s:g} and {-after_s:g} s; narrow it less"
                )
            clips.append(Clip(rank, number, round(first, 6), round(last, 6), hit))
    return clips
