"""The bytes of a subtitle file as text, whatever encoding they are in."""

from __future__ import annotations

import re
from pathlib import Path

import chardet
from chardet.enums import EncodingEra

LARGEST = 20_000_000  # bytes; a longer file is no subtitles
GUESSES = 5  # of the detector that are looked at
MIXED = re.compile(r"[A-Za-z][\u0370-\u0e7f]|[\u0370-\u0e7f][A-Za-z]")  # no word is half Latin and half Greek
MOST_BROKEN = 0.1  # of what is not ASCII: more than that, and it is another encoding


def read_text(file: Path, notes: list[str], *, name: str) -> str:
    """A file as text; where that cannot be had, nothing and a note that begins with `name`."""
    try:
        if file.stat().st_size > LARGEST:
            notes.append(f"{name}: is larger than {LARGEST // 1_000_000} MB; it is left out")
            return ""
        content = file.read_bytes()
    except OSError as error:
        notes.append(f"{name}: cannot be read ({error.strerror}); it is left out")
        return ""
    found = decoded(content)
    if found is None:
        notes.append(f"{name}: is no text that can be read; save it again as UTF-8, or leave it out")
        return ""
    text, broken = found
    if broken:
        notes.append(f"{name}: {broken} characters are no UTF-8 and read as \N{REPLACEMENT CHARACTER}")
    return text


def decoded(content: bytes) -> tuple[str, int] | None:
    """Text, and how many characters of it are lost; None for what is no text.

    UTF-8 says of itself that it is, UTF-16 by its mark or its zeros. Of the others the detector is asked for those that
    the web is written in, by the lines that are not ASCII: the rare ones beyond them are guessed wrongly more often
    than they are right, and numbers and times tell nothing.
    """
    telling = content
    if b"\0" not in content and b"\x1b" not in content:
        try:
            return content.decode("utf-8-sig"), 0
        except UnicodeDecodeError:
            text = content.decode("utf-8-sig", "replace")
            broken = text.count("\N{REPLACEMENT CHARACTER}")
            if broken <= MOST_BROKEN * sum(letter > "\x7f" for letter in text):
                return text, broken
        telling = b"\n".join(line for line in content.splitlines() if not line.isascii())
    found = chardet.detect_all(telling, encoding_era=EncodingEra.MODERN_WEB)
    guesses = [one["encoding"] for one in found[:GUESSES] if one["encoding"]]
    if not guesses:
        return None
    encoding = min(guesses, key=lambda guess: len(MIXED.findall(telling.decode(guess, "replace"))))
    text = content.decode(encoding, "replace").removeprefix("\ufeff")
    return (text, text.count("\N{REPLACEMENT CHARACTER}")) if "\0" not in text else None
