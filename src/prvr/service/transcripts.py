"""What is said in one video, for whoever shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from prvr.core.facts import Cue
from prvr.search.spoken import Spoken
from prvr.subtitles.cues import vtt
from prvr.subtitles.lines import shown_lines, srt


class SpokenLines(NamedTuple):
    """Line by line, in order of time."""

    cues: list[Cue]
    source: Literal["heard", "subtitles", "none"]
    language: str  # as a model told it, by its code; empty where it is not known


def said_in(spoken: Spoken, video_id: str, file: Path | None) -> SpokenLines:
    """The subtitles of a video, or what was heard where it has none; of a file that is gone, what was heard."""
    cues, heard = spoken.shown_cues(video_id, file or Path(video_id)), spoken.transcript(video_id)
    if not cues:
        return SpokenLines([], "none", "")
    if heard is not None and cues == heard.cues():
        return SpokenLines(cues, "heard", heard.language)
    return SpokenLines(cues, "subtitles", "")


def as_file(said: SpokenLines, form: Literal["srt", "vtt"]) -> str:
    """The text of a file of subtitles, its lines as long as broadcasters have them."""
    return (srt if form == "srt" else vtt)(shown_lines(said.cues))
