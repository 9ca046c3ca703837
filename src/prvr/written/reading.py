"""A video to what is written in it: sampled where it is opened apart, followed in windows, and kept after each.

A window is a minute of the film and knows nothing of the one before, so that who goes on there reads what one who
never stopped would have read; what is on the screen where two meet is joined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prvr.core.facts import WRITTEN
from prvr.speech.store import Transcript, TranscriptStore, Utterance, WantedFilm
from prvr.video.apart import ReaderProcess, Shared, alive, lent, room
from prvr.video.frames import RawFrames
from prvr.written.following import Follower, letters_of
from prvr.written.reader import Pixels, ScreenReader

WINDOW_S = 60.0


def sampled(path: Path, rate: float, from_s: float) -> Iterator[tuple[Shared, NDArray[np.float64]]]:
    """Batches of pictures (B, 3, h, w) and their seconds (B,), from about a second on. Raises VideoError."""
    for batch in RawFrames(path, rate=rate, room=room, on_picture=alive):
        if batch.times[-1] >= from_s:
            yield Shared(batch.frames.shape), batch.times


def known(film: WantedFilm, store: TranscriptStore, rate: float) -> Transcript | None:
    """What was read in just this file, by this model and at this rate; perhaps not to its end."""
    found = store.read(film.video_id)
    if found is None or not found.made_from(film.size, film.mtime_ns) or found.asked_rate != rate:
        return None
    return found


def read_screen(
    film: WantedFilm,
    reader: ScreenReader,
    store: TranscriptStore,
    rate: float,
    on_second: Callable[[float], None] | None = None,
) -> Transcript:
    """One video to what is written in it, which is kept after every window; what is read already is not read again.

    `rate`: pictures a second. `on_second` is told how far it is. Raises VideoError for what cannot be read,
    FeatureError as `TranscriptStore.write`.
    """
    made = known(film, store, rate) or Transcript(
        video_id=film.video_id,
        size=film.size,
        mtime_ns=film.mtime_ns,
        revision=reader.revision,
        asked_rate=rate,
        kind=WRITTEN,
    )
    if made.whole:
        return made
    follower, window, last_s = Follower(reader), round(made.until_s / WINDOW_S), made.until_s
    with lent() as process:
        for planes, at_s in _pictures(process, film.path, rate, made.until_s):
            if at_s // WINDOW_S > window:
                made = _grown(made, follower, at_s, at_s // WINDOW_S * WINDOW_S)
                store.write(made)
                if on_second:
                    on_second(made.until_s)
                follower, window = Follower(reader), int(at_s // WINDOW_S)
            follower.see(planes, at_s)
            last_s = at_s
    end_s = max(last_s, min(last_s + 1 / rate, film.duration_s))
    made = replace(_grown(made, follower, end_s, end_s), whole=True)
    store.write(made)
    return made


def _pictures(process: ReaderProcess, path: Path, rate: float, from_s: float) -> Iterator[tuple[Pixels, float]]:
    for part in process.each(sampled, path, rate, from_s):
        if part is not None:
            frames = process.shared(part[0])
            yield from ((planes, at_s) for planes, at_s in zip(frames, part[1].tolist(), strict=True) if at_s >= from_s)


def _grown(made: Transcript, follower: Follower, at_s: float, until_s: float) -> Transcript:
    """A transcript with what was followed up to a picture at `at_s`."""
    found, unsure = follower.end(at_s)
    return replace(made, until_s=until_s, unsure=made.unsure + unsure, utterances=joined(made.utterances, found))


def joined(before: Sequence[Utterance], after: Sequence[Utterance]) -> tuple[Utterance, ...]:
    """Two windows one after the other: what is on the screen where they meet is there once."""
    rows = list(before)
    for one in after:
        at = next((i for i, row in enumerate(rows) if row.end_s == one.start_s and _same(row, one)), None)
        if at is None:
            rows.append(one)
        else:
            words = tuple(word._replace(end_s=one.end_s) for word in rows[at].words)
            rows[at] = rows[at]._replace(end_s=one.end_s, words=words)
    return tuple(rows)


def _same(a: Utterance, b: Utterance) -> bool:
    return letters_of(a.text) == letters_of(b.text)
