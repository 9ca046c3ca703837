"""Transcripts on the disk: whole, of one model, and as lines that can be read."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from prvr.core.errors import FeatureError
from prvr.speech.hearing import HowToHear, known
from prvr.speech.store import SpeechHeader, SpokenWord, Transcript, TranscriptStore, Utterance, WantedFilm

HEADER = SpeechHeader(model="tiny", revision="a" * 64)


def utterance(at_s: float, text: str, *, each_s: float = 0.3) -> Utterance:
    words = tuple(
        SpokenWord(round(at_s + each_s * n, 3), round(at_s + each_s * (n + 1), 3), f" {word}", 0.9)
        for n, word in enumerate(text.split())
    )
    return Utterance(words[0].start_s, words[-1].end_s, text, words)


def transcript(*utterances: Utterance) -> Transcript:
    return Transcript(video_id="a.mp4", size=9, mtime_ns=7, revision=HEADER.revision, utterances=utterances)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    store = TranscriptStore.create(tmp_path, HEADER)
    made = replace(transcript(utterance(1.5, "Grüße aus 東京.")), language="de", until_s=300.0, unsure=2)
    store.write(made)
    again = TranscriptStore.open(tmp_path)
    assert again is not None
    assert again.read("a.mp4") == made
    assert again.read("b.mp4") is None
    assert [path.name for path in store.path_of("a.mp4").parent.iterdir()] == [store.path_of("a.mp4").name]
    store.path_of("a.mp4").write_text(store.path_of("a.mp4").read_text()[:60])
    assert again.read("a.mp4") is None, "half of a record is none, and is heard again"


def test_two_models_are_not_mixed(tmp_path: Path) -> None:
    TranscriptStore.create(tmp_path, HEADER).write(transcript(utterance(0, "one")))
    other = SpeechHeader(model="small", revision="b" * 64)
    with pytest.raises(FeatureError, match=r"tiny@aaaa.*not small@bbbb.*`--speech tiny`.*--replace"):
        TranscriptStore.create(tmp_path, other)
    renamed = SpeechHeader(model="/else/where", revision=HEADER.revision)
    assert TranscriptStore.create(tmp_path, renamed).read("a.mp4"), "a model is known by its weights"
    assert TranscriptStore.create(tmp_path, other, replace=True).read("a.mp4") is None
    (tmp_path / "speech" / "speech.json").write_text("{")
    with pytest.raises(FeatureError, match="speech.json.*delete that file"):
        TranscriptStore.open(tmp_path)


def test_only_what_was_asked_for_is_heard_again(tmp_path: Path) -> None:
    store = TranscriptStore.create(tmp_path, HEADER)
    store.write(replace(transcript(), asked_language="de", whole=True))
    film = WantedFilm("a.mp4", Path("a.mp4"), 9, 7, 4.0)
    assert known(film, store, HowToHear())
    assert known(film, store, HowToHear(language="de"))
    assert known(film, store, HowToHear(language="en")) is None
    assert known(film, store, HowToHear(track="2")) is None
    assert known(film._replace(mtime_ns=8), store, HowToHear()) is None, "the file was changed"


def test_lines_are_short_and_end_with_sentences_and_pauses() -> None:
    made = transcript(
        utterance(0.0, "It rains. We stay at home."),
        utterance(10.0, "and here is one very long sentence that goes on for quite a while without any end at all so"),
        utterance(30.0, "after a pause", each_s=1.0),
    )
    lines = made.cues()
    assert [line.text for line in lines[:2]] == ["It rains.", "We stay at home."]
    assert all(len(line.text) <= 84 and line.end_s - line.start_s <= 7.0 for line in lines)
    assert lines[-1].text == "after a pause"
    assert " ".join(line.text for line in lines) == " ".join(one.text for one in made.utterances)
    assert all(a.end_s <= b.start_s for a, b in pairwise(lines))
