"""What is remembered of the words that a folder was indexed with, and what is said where they cannot be made.

That they are made is tested where the models are, in `test_spoken_films.py` and `test_written_films.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prvr.search.folders import NO_WORDS, WordsWanted, note_words, recall, set_watched
from prvr.search.wording import words_again
from prvr.service import work
from prvr.service.work import JobStep
from prvr.speech.store import SpeechHeader, TranscriptStore
from tests.video.make import steps, write_video

HEARD = WordsWanted(speech=True, language="de", track="2", text=True)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """An index of a folder with one film; the model that has listened to it is not there any more."""
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "one.mp4", steps(2, 5))
    read(tmp_path, [tmp_path / "videos"])
    TranscriptStore.create(tmp_path / "index", SpeechHeader(model="whisper-gone", revision="1234"))
    return tmp_path / "index"


def read(root: Path, paths: list[Path]) -> dict[str, object]:
    told: list[JobStep] = []
    return work.index_folder(told.append, paths, root / "index", "world", "cpu", False, ())


def test_a_folder_keeps_the_words_that_it_was_indexed_with(library: Path, tmp_path: Path) -> None:
    videos = (tmp_path / "videos").resolve()
    note_words(library, [videos, videos / "one.mp4"], HEARD)  # a file is no folder
    set_watched(library, videos, True)
    assert {path: one.words for path, one in recall(library).items()} == {videos: HEARD}
    read(tmp_path, [videos])
    assert recall(library)[videos].words == HEARD, "a job changes nothing of it"
    note_words(library, [videos], NO_WORDS)
    assert recall(library)[videos].watched
    assert "words" not in json.loads((library / "folders.json").read_text())[0], "as versions before wrote it"


def test_a_model_that_is_gone_costs_a_line_and_no_film(library: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    assert words_again(library, [videos]).notes == [], "where nothing was asked for"
    note_words(library, [videos], WordsWanted(speech=True))
    write_video(videos / "two.mp4", steps(2, 5), sound=True)
    done = read(tmp_path, [videos])
    assert (done["made"], done["heard"]) == (1, 0)
    (note,) = done["notes"]  # type: ignore[misc]
    assert "its words could not be made (whisper-gone: no such model of speech" in str(note)
