"""A video to its transcript: its sound is read apart, heard window by window, and kept after each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from prvr.speech.listen import HeardWindow, Listener, windows
from prvr.speech.store import SpokenWord, Transcript, TranscriptStore, Utterance, WantedFilm
from prvr.video.apart import lent
from prvr.video.sound import SPEECH_RATE, SilentFilm, speech


class HowToHear(NamedTuple):
    """What was asked for; None: as it comes."""

    language: str | None = None
    track: str | None = None
    over: bool = False  # in the place of subtitles


def known(film: WantedFilm, store: TranscriptStore, how: HowToHear) -> Transcript | None:
    """What was heard in just this file, by this model and as it is asked for now; perhaps not to its end."""
    found = store.read(film.video_id)
    if found is None or not found.made_from(film.size, film.mtime_ns):
        return None
    other = (how.language or found.asked_language, how.track or found.asked_track)
    return found if other == (found.asked_language, found.asked_track) else None


def hear(
    film: WantedFilm,
    listener: Listener,
    store: TranscriptStore,
    how: HowToHear,
    on_second: Callable[[float], None] | None = None,
) -> Transcript:
    """One video to its transcript, which is kept after every window; what an earlier call heard is not heard again.

    `on_second` is told how far it is. Raises SilentFilm for a track that is not there (a film without any sound has an
    empty transcript), VideoError for what cannot be read, FeatureError as `TranscriptStore.write`.
    """
    made = known(film, store, how) or Transcript(
        video_id=film.video_id,
        size=film.size,
        mtime_ns=film.mtime_ns,
        revision=listener.revision,
        asked_language=how.language,
        asked_track=how.track,
    )
    made = replace(made, over=made.over or how.over)
    try:
        with lent() as reader:
            blocks = reader.each(speech, film.path, how.track)
            for window in windows((one for one in blocks if one is not None), from_s=made.until_s):
                heard = listener.hear(window.samples, made.language or how.language)
                made = _grown(made, heard, window.start_s, len(window.samples) / SPEECH_RATE, film.duration_s)
                store.write(made)
                if on_second:
                    on_second(made.until_s)
    except SilentFilm:
        if how.track is not None:
            raise
        made = replace(made, silent=True)
    made = replace(made, whole=True)
    store.write(made)
    return made


def _grown(made: Transcript, heard: HeardWindow, start_s: float, length_s: float, duration_s: float) -> Transcript:
    """A transcript with one window more; what is said when the pictures are over is no part of the film."""
    utterances = (_moved(one, start_s, duration_s) for one in heard.utterances)
    return replace(
        made,
        language=made.language or heard.language,
        language_p=made.language_p or heard.language_p,
        until_s=start_s + length_s,
        unsure=made.unsure + heard.unsure,
        utterances=(*made.utterances, *(one for one in utterances if one.words)),
    )


def _moved(one: Utterance, by_s: float, most_s: float) -> Utterance:
    words = tuple(
        SpokenWord(round(w.start_s + by_s, 3), round(min(w.end_s + by_s, most_s), 3), w.text, w.p)
        for w in one.words
        if w.start_s + by_s < most_s
    )
    return Utterance(words[0].start_s, words[-1].end_s, one.text, words) if words else one._replace(words=())
