"""Subtitles in the encodings that people have them in; what cannot be read is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from prvr.core.facts import Cue
from prvr.search.spoken import read_file

SAID = [
    ("cp1252", ["…meanwhile the ferry left", "don’t touch the piano", "five € for the ticket"]),
    ("cp1252", ["Café für Señor"]),
    ("latin-1", ["C'est déjà fini, où étais-tu cet été ?"]),
    ("cp1250", ["Žluťoučký kůň, dobrý den"]),
    ("cp1251", ["Привет мир"]),
    ("koi8-r", ["Привет, как дела?", "Сегодня хорошая погода"]),
    ("cp1253", ["Καλημέρα κόσμε"]),
    ("cp1254", ["Günaydın dünya, nasılsın şimdi"]),
    ("cp1255", ["שלום עולם"]),
    ("cp1256", ["مرحبا بالعالم"]),
    ("shift_jis", ["こんにちは世界"]),
    ("euc-jp", ["こんにちは世界"]),
    ("gb18030", ["你好世界"]),
    ("big5", ["你好世界"]),
    ("cp949", ["안녕하세요 세계"]),
    ("utf-8-sig", ["naïve"]),
    ("utf-16", ["hello world"]),
    ("utf-16-le", ["hello world"]),
    ("utf-16-be", ["hello world"]),
    ("utf-16-le", ["こんにちは世界"]),
]


@pytest.mark.parametrize(("coding", "said"), SAID)
def test_encodings_are_told_apart(tmp_path: Path, coding: str, said: list[str]) -> None:
    text = "".join(
        f"{n}\n00:00:{3 * n:02},000 --> 00:00:{3 * n + 2:02},000\n{line}\n\n" for n, line in enumerate(said, 1)
    )
    (tmp_path / "film.srt").write_bytes(text.encode(coding))
    notes: list[str] = []
    assert read_file(tmp_path / "film.srt", notes) == [
        Cue(3.0 * n, 3.0 * n + 2, said[n - 1]) for n in range(1, len(said) + 1)
    ]
    assert not notes


def test_a_damaged_letter_in_utf8_costs_that_letter(tmp_path: Path) -> None:
    good = "".join(f"{n}\n00:00:{n:02},0 --> 00:00:{n:02},9\nnaïve été à la plage\n\n" for n in range(1, 9))
    (tmp_path / "film.srt").write_bytes(good.encode() + b"9\n00:00:09,0 --> 00:00:09,9\nna" + b"\xefve\n")
    notes: list[str] = []
    cues = read_file(tmp_path / "film.srt", notes)
    assert [cues[0].text, cues[-1].text] == ["naïve été à la plage", "na\ufffdve"]
    assert notes == [f"{tmp_path / 'film.srt'}: 1 characters are no UTF-8 and read as \ufffd"]


def test_what_is_no_text_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "film.srt"
    file.write_bytes(bytes(range(256)) * 10)
    notes: list[str] = []
    assert read_file(file, notes) == []
    assert notes == [f"{file}: is no text that can be read; save it again as UTF-8, or leave it out"]
    monkeypatch.setattr("prvr.subtitles.text.LARGEST", 100)
    notes = []
    assert read_file(file, notes) == read_file(tmp_path / "gone.srt", notes) == []
    assert "is larger than" in notes[0]
    assert "gone.srt: cannot be read (No such file or directory)" in notes[1]
