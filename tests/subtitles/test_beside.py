"""Which files are the subtitles of which video, by their names, and how often a folder is looked at for that."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import pytest

from prvr.subtitles.beside import Beside

Form: TypeAlias = Literal["NFC", "NFD"]


def plant(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(root: Path, video: str) -> list[str]:
    return [path.relative_to(root).as_posix() for path in Beside().of(root / video)]


@pytest.mark.parametrize(
    "name",
    """film.srt film.VTT film.en.srt film.eng.srt film.en.hi.srt film.zh-Hans.vtt film.forced.srt film.default.srt
    film.en.default.srt film.default.en.srt film.en.forced.sdh.srt film.English.srt film.pt_BR.srt film.pt-BR.srt
    film.es-419.ass film.en.1.srt film.en.sdh.srt film.cc.srt film.mp4.srt film.mp4.en.srt film.2_English.srt
    film_en.srt film.Français.srt FILM.srt film.de.ssa Subs/film.srt subs/film.en.srt Subtitles/film.English.srt
    Subs/2_English.srt Subs/film/2_English.srt""".split(),  # noqa: SIM905
)
def test_names_that_players_read(tmp_path: Path, name: str) -> None:
    plant(tmp_path, "film.mp4", name)
    assert names(tmp_path, "film.mp4") == [name]


def test_names_with_spaces(tmp_path: Path) -> None:
    plant(
        tmp_path, "A film.mp4", "A film (English).srt", "A film - forced.srt", "A film two.srt", "A film.Director.srt"
    )
    assert names(tmp_path, "A film.mp4") == ["A film (English).srt", "A film - forced.srt"]


def test_what_belongs_to_others(tmp_path: Path) -> None:
    plant(tmp_path, "film.mp4", "film2.mp4", "film.de.mkv", "film.de.srt", "film2.srt", "film.part2.srt", "afilm.srt",
          "film.txt", "film.en.nfo", "film.2.srt", "film.en.srt", "Subs/film2.en.srt", "Subs/other.srt")  # fmt: skip
    (tmp_path / "film.fr.srt").mkdir()
    assert names(tmp_path, "film.mp4") == ["film.en.srt"]
    assert names(tmp_path, "film.de.mkv") == ["film.de.srt"]
    assert names(tmp_path, "film2.mp4") == ["film2.srt", "Subs/film2.en.srt"]
    assert names(tmp_path, "other.mp4") == ["Subs/other.srt"]
    assert names(tmp_path, "nowhere/film.mp4") == []


def test_the_plainest_name_comes_first(tmp_path: Path) -> None:
    plant(tmp_path, "a.mp4", "a.de.forced.srt", "a.en.srt", "a.srt", "Subs/a.srt")
    assert names(tmp_path, "a.mp4") == ["a.srt", "a.en.srt", "a.de.forced.srt", "Subs/a.srt"]


@pytest.mark.parametrize(("video", "subtitles"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_however_they_are_written(tmp_path: Path, video: Form, subtitles: Form) -> None:
    film = unicodedata.normalize(video, "Café") + ".mp4"
    said = unicodedata.normalize(subtitles, "Café") + ".en.srt"
    plant(tmp_path, film, said)
    assert names(tmp_path, film) == [said]


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    plant(tmp_path, "caf\udce9.mp4", "caf\udce9.en.srt")
    assert [path.name for path in Beside().of(tmp_path / "caf\udce9.mp4")] == ["caf\udce9.en.srt"]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often each folder is listed."""
    counted: Counter[str] = Counter()
    listing = os.scandir

    def scandir(path: Path) -> object:
        counted[Path(path).name] += 1
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    yield counted
    monkeypatch.undo()


def test_a_folder_is_looked_at_once_whatever_its_size(tmp_path: Path, looks: Counter[str]) -> None:
    for number in range(50):
        plant(tmp_path, f"in/clip{number}.mp4", f"in/clip{number}.en.srt", f"in/Subs/clip{number}.srt")
    for folder in (tmp_path / "in", tmp_path / "in" / "Subs"):
        os.utime(folder, (1, 1))
    found = Beside()
    assert all(len(found.of(tmp_path / "in" / f"clip{number}.mp4")) == 2 for number in range(50))
    assert looks == {"in": 1, "Subs": 1}
    plant(tmp_path, "in/Subs/clip7.de.srt")
    os.utime(tmp_path / "in" / "Subs", (2, 2))
    assert len(found.of(tmp_path / "in" / "clip7.mp4")) == 3
    assert looks == {"in": 1, "Subs": 2}
