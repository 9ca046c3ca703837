"""What kind of query a text is: how long, and how much of it an encoder knows. Scores differ by both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from prvr.index.words import content, fold

SIZES = ((1, 2), (3, 5), (6, 12))
"""Fewest and most words of short, middle and long queries; those of more words than the last are long, too."""

MIDDLE = 1  # the size that pieces of longer sentences can stand for; shorter ones say too little


class Kind(NamedTuple):
    """What a sentence has to have in common with those that it is judged by."""

    size: int  # which of the SIZES
    knows: str  # ALL, SOME or NONE of its words that mean something, as the encoder sees them


ALL, SOME, NONE = "all", "some", "none"


def kind_of(text: str, unknown_words: Callable[[str], Sequence[str]]) -> Kind:
    """`unknown_words` tells the words of a text that mean nothing to the encoder."""
    meant = content(text)
    unknown = {part for word in unknown_words(text) for part in fold(word)} if meant else set()
    known = sum(word not in unknown for word in meant)
    return Kind(size_of(text), NONE if not known else ALL if known == len(meant) else SOME)


def size_of(text: str) -> int:
    """Which of the SIZES a text has."""
    return sum(len(fold(text)) > most for _, most in SIZES[:-1])


def cut(text: str, size: int) -> str:
    """A piece of a longer text that has this size and ends with a word that means something; empty without any."""
    words, (fewest, most) = text.split(), SIZES[size]
    pieces = [
        piece
        for count in range(fewest, most + 1)
        for at in range(len(words) - count + 1)
        if content(words[at + count - 1]) and size_of(piece := " ".join(words[at : at + count])) == size
    ]
    return pieces[int(Random(f"cut {text} {size}").random() * len(pieces))] if pieces else ""
