"""Films in which somebody speaks, from the file to the answer, with a real model. Slow: see `make test-all`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from prvr.cli import main
from prvr.core.errors import ConfigError, EncoderError
from prvr.search.engine import SearchEngine
from prvr.search.listening import listen_to
from prvr.search.spoken import Spoken
from prvr.search.transcribing import WordsProgress
from prvr.service.work import JobStep, index_folder
from prvr.speech import hearing
from prvr.speech.hearing import HowToHear
from prvr.speech.listen import Listener
from prvr.speech.models import load_listener
from prvr.speech.store import Transcript, TranscriptStore
from tests.conftest import made_once
from tests.speech.make import RATE, Said, Sound, model_folder, music, need_voice, spoken, under, words_of, write_film

TALK = (
    "The old bridge across the river was closed this morning.",
    "Two children are building a castle in the sand.",
    "The price of coffee went up again last week.",
    "Our train leaves from platform seven at noon.",
)
PAUSES = (2.0, 4.5, 1.0, 8.0)
LATE_S = 3.0


@pytest.fixture(scope="module")
def listener() -> Listener:
    return load_listener(str(model_folder()), threads=1)


def talk() -> tuple[Sound, list[Said]]:
    return spoken(TALK, pauses=PAUSES, voices=("en-us", "en-gb"))


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory, listener: Listener) -> Path:
    """An index of a talk that begins late, of silence, of music, of no sound at all, and of a film with subtitles."""
    need_voice()

    def make(root: Path) -> None:
        (root / "videos").mkdir(parents=True)
        films = root / "videos"
        sound, _ = talk()
        write_film(films / "talk.mp4", sound, late_s=LATE_S)
        write_film(films / "silence.mkv", np.zeros(20 * RATE, np.int16))
        write_film(films / "music.mkv", music(20 * RATE, loud=6000).astype(np.int16))
        write_film(films / "mute.mp4", duration_s=5)
        write_film(films / "subtitled.mp4", sound[: 6 * RATE])
        (films / "subtitled.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nwritten by hand\n")
        command = ["index", str(films), "--encoder", "world", "--index", str(root), "--speech", str(model_folder())]
        assert main(command) == 0

    return made_once(tmp_path_factory, "heard", make)


@pytest.fixture
def own(heard: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(heard, tmp_path / "heard"))


def read(folder: Path, video_id: str) -> Transcript:
    store = TranscriptStore.open(folder)
    assert store is not None
    found = store.read(video_id)
    assert found is not None
    return found


def test_what_comes_later_is_heard_by_a_job_too(own: Path) -> None:
    sound, _ = spoken(["The library closes at eight in the evening."], pauses=(1.0,), voices=("en-us",))
    write_film(own / "videos" / "later.mp4", sound)
    told: list[JobStep] = []
    asked = ([own / "videos"], own, None, "cpu", False, ())
    assert index_folder(told.append, *asked)["heard"] == 1
    assert any(step.unit == "speech" for step in told)
    assert SearchEngine.open(own).search('said:"the library closes"')[0].video_id == "later.mp4"
    told.clear()
    assert index_folder(told.append, *asked)["heard"] == 0
    assert not any(step.unit == "speech" for step in told), "nothing to do, so no model was loaded"


def test_words_are_found_at_their_time(heard: Path) -> None:
    """At least 85 of 100 words, each within half a second of its sentence, in a film that begins late."""
    _, said = talk()
    found = [word for one in read(heard, "talk.mp4").utterances for word in one.words]
    right = total = 0
    for start_s, end_s, text in said:
        begin, end = start_s + LATE_S - 0.5, end_s + LATE_S + 0.5
        inside = words_of(" ".join(word.text for word in found if begin <= word.start_s and word.end_s <= end))
        wanted = words_of(text.replace("seven", "7"))
        total += len(wanted)
        right += sum(word in inside for word in wanted)
    assert right >= 0.85 * total
    assert all(type(value) is float for word in found for value in (word.start_s, word.end_s, word.p))
    assert all(0 < word.p <= 1 and word.start_s <= word.end_s for word in found)


def test_silence_and_music_give_no_words_and_are_said(heard: Path, own: Path, listener: Listener) -> None:
    for name in ("silence.mkv", "music.mkv", "mute.mp4"):
        assert read(heard, name).utterances == ()
        assert read(heard, name).whole
    assert read(heard, "mute.mp4").silent
    (own / "speech" / "speech.json").unlink()
    shutil.rmtree(own / "speech" / "videos")
    films = [own / "videos" / name for name in ("silence.mkv", "mute.mp4")]
    notes = listen_to(own, films, listener).notes
    assert [note.split(": ")[-1] for note in notes] == ["has no sound", "nothing is said in it"]


def test_subtitles_come_first_unless_it_is_said_otherwise(own: Path, listener: Listener) -> None:
    store = TranscriptStore.open(own)
    assert store is not None
    assert store.read("subtitled.mp4") is None
    spoken_of = Spoken(own / "features")
    film = own / "videos" / "subtitled.mp4"
    assert [cue.text for cue in spoken_of.cues("subtitled.mp4", film, [])] == ["written by hand"]
    assert listen_to(own, [film], listener).subtitled == ["subtitled.mp4"]
    assert listen_to(own, [film], listener, how=HowToHear(over=True)).heard == ["subtitled.mp4"]
    assert "river" in " ".join(cue.text for cue in spoken_of.cues("subtitled.mp4", film, []))
    quotes = {hit.video_id: hit.quote for hit in SearchEngine.open(own).search("closed this morning across the river")}
    assert "river" in quotes["subtitled.mp4"]
    assert listen_to(own, [film], listener, how=HowToHear(over=True)).kept == ["subtitled.mp4"]


def test_an_interrupted_listening_goes_on_and_gives_the_same(
    heard: Path, own: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "windows", short_windows)
    shutil.rmtree(own / "speech")
    film = own / "videos" / "talk.mp4"
    whole_store = TranscriptStore.create(own, TranscriptStore.open(heard).header)  # type: ignore[union-attr]
    listen_to(own, [film], listener)
    whole = whole_store.read("talk.mp4")
    assert whole is not None
    shutil.rmtree(own / "speech")

    def stop(now: WordsProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        listen_to(own, [film], listener, on_progress=stop)
    part = read(own, "talk.mp4")
    assert not part.whole
    assert 0 < part.until_s < whole.until_s
    assert len(part.utterances) < len(whole.utterances)
    told: list[float] = []
    listen_to(own, [film], listener, on_progress=lambda now: told.append(now.done_s))
    assert read(own, "talk.mp4") == whole
    assert told == sorted(told)


def short_windows(*args: object, **options: object) -> object:
    from prvr.speech.listen import windows

    return windows(*args, longest_s=15.0, **options)  # type: ignore[arg-type]


def test_what_cannot_be_is_one_line(own: Path, listener: Listener, capsys: pytest.CaptureFixture[str]) -> None:
    index, model = ["--index", str(own)], ["--speech", str(model_folder())]

    def line(*command: str, code: int = 1) -> str:
        assert main([*command]) == code
        return capsys.readouterr().err.strip().splitlines()[-1]

    assert "model knows 1 language (en)" in line("listen", *index, *model, "--language", "de")
    assert "no video of the index" in line("listen", str(own / "speech"), *index, *model)
    assert "no such file" in line("listen", str(own / "nowhere"), *index, *model)
    assert "sees and hears nothing" in line("listen", *index, "--speech", "world")
    assert "did you mean 'whisper-small'" in line("listen", *index, "--speech", "whisper-smal")
    assert "prvr models get whisper-tiny" in line("listen", *index, "--speech", "whisper-tiny")
    assert "hears speech and sees nothing" in line("index", str(own / "videos"), *index, "--encoder", "whisper-tiny")
    assert "--language: is about listening" in line("index", str(own / "videos"), *index, "--language", "en")
    (own / "broken").mkdir()
    for name in ("config.json", "model.bin", "tokenizer.json"):
        (own / "broken" / name).write_bytes(b"{}")
    assert "the model cannot be opened" in line("listen", *index, "--speech", str(own / "broken"))
    with pytest.raises(ConfigError, match="language"):
        listener.check_language("xx")
    with pytest.raises(EncoderError, match="no such model of speech"):
        load_listener("")


def test_one_bad_file_is_one_line_and_the_others_are_heard(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(own / "speech")
    talk_file, silence = own / "videos" / "talk.mp4", own / "videos" / "silence.mkv"
    silence.write_bytes(b"no film any more")
    (own / "videos" / "music.mkv").unlink()
    command = ["listen", "--index", str(own), "--speech", str(model_folder()), "--threads", "1", "--json"]
    assert main(command) == 3
    told = capsys.readouterr()
    made = json.loads(told.out)
    assert made["heard"] == ["mute.mp4", "talk.mp4"]
    assert made["subtitled"] == ["subtitled.mp4"]
    assert "is not a video" in made["failed"]["silence.mkv"]
    assert "is gone" in made["failed"]["music.mkv"]
    assert len(told.err.splitlines()) == 6
    assert main([*command, str(talk_file)]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == ["talk.mp4"]


def test_words_stand_in_music(listener: Listener) -> None:
    sound, said = talk()
    loud = under(sound, music(len(sound)))
    part = loud[: round(said[1].end_s * RATE) + RATE]
    step = RATE / 16_000
    at = (np.arange(int(len(part) / step)) * step).astype(int)
    found = listener.hear(part[at], None)
    assert found.language == "en"
    text = words_of(" ".join(one.text for one in found.utterances))
    assert {"river", "children", "castle", "sand"} <= set(text)
