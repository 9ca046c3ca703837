"""Films in which something is written, from the file to the answer, with the real networks. Slow: `make test-all`."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from prvr.cli import main
from prvr.core.errors import EncoderError, FeatureError
from prvr.search.engine import SearchEngine
from prvr.search.screens import read_screens
from prvr.search.transcribing import WordsProgress
from prvr.service.work import JobStep, index_folder
from prvr.speech.store import ON_SCREEN, SpeechHeader, Transcript, TranscriptStore, WantedFilm
from prvr.written import reading
from prvr.written.following import letters_of
from prvr.written.reader import ScreenReader
from prvr.written.reading import read_screen
from tests.conftest import made_once
from tests.written.make import OnScreen, captions, need_reader, write_film

CAPTIONS = ("The harbour opens at seven", "He goes home tonight", "She goes home tonight")
CREDITS = ("Directed by Anna Moreau", "Camera Yuki Tanaka", "Music Pedro Alvarez")
SMALL = (640, 360)


@pytest.fixture(scope="module")
def reader() -> ScreenReader:
    need_reader()
    return ScreenReader(threads=1)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of captions, of credits that roll, and of nothing written at all."""
    need_reader()

    def make(root: Path) -> None:
        films = root / "videos"
        films.mkdir(parents=True)
        write_film(films / "captions.mp4", list(captions(CAPTIONS)), duration_s=14, size=SMALL)
        rolling = [OnScreen(1 + 2 * n, 9 + 2 * n, text, "credits") for n, text in enumerate(CREDITS)]
        write_film(films / "credits.mp4", rolling, duration_s=15, size=SMALL)
        write_film(films / "nothing.mp4", duration_s=8, size=SMALL)
        assert main(["index", str(films), "--encoder", "world", "--index", str(root), "--text"]) == 0

    return made_once(tmp_path_factory, "read", make)


@pytest.fixture
def own(read: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(read, tmp_path / "read"))


def made(folder: Path, video_id: str) -> Transcript:
    store = TranscriptStore.open(folder, ON_SCREEN)
    assert store is not None
    found = store.read(video_id)
    assert found is not None
    return found


def test_captions_are_read_whole_at_their_times(read: Path) -> None:
    found = made(read, "captions.mp4").utterances
    assert [letters_of(one.text) for one in found] == list(map(letters_of, CAPTIONS))
    for one, drawn in zip(found, captions(CAPTIONS), strict=True):
        assert abs(one.start_s - drawn.start_s) <= 1
        assert abs(one.end_s - drawn.end_s) <= 1
        assert all(0.9 < word.p <= 1 for word in one.words)


def test_a_line_that_rolls_is_one_line(read: Path) -> None:
    found = made(read, "credits.mp4").utterances
    assert sorted(one.text for one in found) == sorted(CREDITS)
    assert all(6 <= one.end_s - one.start_s <= 9 for one in found)


def test_nothing_written_gives_no_words(read: Path) -> None:
    assert made(read, "nothing.mp4").utterances == ()
    assert made(read, "nothing.mp4").whole


def test_a_hit_says_written_and_quotes_it(read: Path) -> None:
    engine = SearchEngine.open(read)
    best = engine.search('written:"harbour opens"')[0]
    assert (best.video_id, best.channel) == ("captions.mp4", "written")
    assert best.quote == CAPTIONS[0]
    start, end = best.moments[0]
    assert abs(start - 1) <= 1
    assert abs(end - 4) <= 1
    assert engine.search('said:"harbour opens"') == [], "nobody says it"
    assert engine.search("camera Yuki Tanaka")[0].video_id == "credits.mp4"


def test_it_is_found_by_its_meaning_where_the_sentence_model_is_here(read: Path) -> None:
    if not (read / "speech" / "meaning.json").exists():
        pytest.skip("the sentence model of `things` is not here")
    hit = SearchEngine.open(read).search('written:"the port begins its day in the morning"')[0]
    assert (hit.video_id, hit.channel) == ("captions.mp4", "written")


def test_what_comes_later_is_read_by_a_job_too(own: Path) -> None:
    write_film(own / "videos" / "later.mp4", list(captions(["Closed on Mondays"])), duration_s=5, size=SMALL)
    told: list[JobStep] = []
    asked = ([own / "videos"], own, None, "cpu", False, ())
    assert index_folder(told.append, *asked)["read"] == 1
    assert SearchEngine.open(own).search('written:"closed on Mondays"')[0].video_id == "later.mp4"
    assert {round(step.total or 0) for step in told if step.unit == "text"} == {5}
    told.clear()
    assert index_folder(told.append, *asked)["read"] == 0
    assert not any(step.unit == "text" for step in told), "nothing to do"
    assert main(["index", str(own / "videos"), "--encoder", "world", "--index", str(own)]) == 0
    write_film(own / "videos" / "last.mp4", list(captions(["Open on Sundays"])), duration_s=5, size=SMALL)
    assert index_folder(told.append, *asked)["read"] == 0, "it was indexed without the screen last"


def test_an_interrupted_reading_goes_on_and_gives_the_same(
    own: Path, reader: ScreenReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WINDOW_S", 4.0)
    shutil.rmtree(own / "text")
    film = own / "videos" / "captions.mp4"
    read_screens(own, [film], reader)
    whole = made(own, "captions.mp4")
    assert [letters_of(one.text) for one in whole.utterances] == list(map(letters_of, CAPTIONS)), "at a seam, too"
    shutil.rmtree(own / "text")

    def stop(now: WordsProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_screens(own, [film], reader, on_progress=stop)
    part = made(own, "captions.mp4")
    assert not part.whole
    assert 0 < part.until_s < whole.until_s
    assert SearchEngine.open(own).search('written:"harbour"')
    told: list[float] = []
    read_screens(own, [film], reader, on_progress=lambda now: told.append(now.done_s))
    assert made(own, "captions.mp4") == whole
    assert told == sorted(told)


def test_what_cannot_be_is_one_line(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def line(*command: str, code: int = 1) -> str:
        assert main([*command, "--index", str(own)]) == code
        return capsys.readouterr().err.strip().splitlines()[-1]

    assert "no video of the index" in line("read", str(own / "text"))
    assert "rate: 0.0" in line("read", "--rate", "0")
    assert "--threads -1" in line("read", "--threads", "-1")
    assert "--sentences: is about" in line("index", str(own / "videos"), "--sentences", "things")
    (own / "videos" / "captions.mp4").write_bytes(b"no film any more")
    (own / "videos" / "credits.mp4").unlink()
    shutil.rmtree(own / "text")
    assert main(["read", "--index", str(own), "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["read"] == ["nothing.mp4"]
    assert "is not a video" in told["failed"]["captions.mp4"]
    assert "is gone" in told["failed"]["credits.mp4"]


def test_a_film_that_is_gone_keeps_what_was_read(own: Path) -> None:
    (own / "videos" / "captions.mp4").unlink()
    assert main(["read", "--index", str(own)]) == 0
    assert SearchEngine.open(own).search('written:"harbour"')[0].video_id == "captions.mp4"


def test_another_version_is_refused_by_name_and_read_anew_when_asked(own: Path, reader: ScreenReader) -> None:
    film = own / "videos" / "nothing.mp4"
    header = SpeechHeader(model="pp-ocrv9", revision="9" * 64)
    TranscriptStore.create(own, header, ON_SCREEN, replace=True)
    with pytest.raises(FeatureError, match=r"pp-ocrv9@9999.* not pp-ocrv6-small@.*`prvr read --replace`"):
        read_screens(own, [film], reader)
    assert read_screens(own, [film], reader, replace=True).kept == ["nothing.mp4"], "what this one has read is there"


def test_another_rate_reads_again(own: Path, reader: ScreenReader) -> None:
    film = own / "videos" / "nothing.mp4"
    assert read_screens(own, [film], reader).kept == ["nothing.mp4"]
    assert read_screens(own, [film], reader, rate=2.0).read == ["nothing.mp4"]


def test_without_the_package_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking() -> Path:
        raise EncoderError("reading text on the screen needs the packages rapidocr and onnxruntime")

    monkeypatch.setattr("prvr.written.reader.models_folder", lacking)
    write_film(tmp_path / "a.mp4", duration_s=2, size=(64, 64))
    command = ["index", str(tmp_path / "a.mp4"), "--encoder", "world", "--index", str(tmp_path / "index"), "--text"]
    assert main(command) == 1
    assert "needs the packages rapidocr" in capsys.readouterr().err
    assert not (tmp_path / "index").exists()


def test_letters_that_the_model_does_not_know_are_told(own: Path, reader: ScreenReader) -> None:
    """Rubbish is left out by its own doubts, and a line says that there was much of it."""
    store = TranscriptStore.open(own, ON_SCREEN)
    assert store is not None
    film = own / "videos" / "nothing.mp4"
    found = film.stat()
    wanted = WantedFilm("nothing.mp4", film, found.st_size, found.st_mtime_ns, 8.0)
    doubted = replace(read_screen(wanted, reader, store, 1.0), unsure=3)
    from prvr.search.screens import _notes

    assert "3 of 3 lines left out" in _notes(wanted, doubted)[0]
    assert "Latin, Greek, Chinese and Japanese" in _notes(wanted, doubted)[0]
