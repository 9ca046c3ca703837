"""Sentences to vectors: any sentence encoder, or hashed words where there is none."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import normalize

from prvr.core.types import Encoder, TextFeatures

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_STEM, _FORM = 0.8, 0.6  # shares of a word's vector: 0.8² + 0.6² = 1
_CONTEXT = 0.5  # how much of the sentence a word's row carries
_GLUE = (
    "a about after again all also an and another are around as at away back be been before behind being but by can "
    "down each for from had has have he her him his i in into is it its just more next not of off on one onto or "
    "other out over she so some that the their them then there these they this through to too two up very was we "
    "were what when where which while who will with you your"
)
_COMMON = (
    "boy camera child dog friend front get girl go guy hand kid lady look make man men people person persons put say "
    "see show sit someone something stand start take talk talking tell turn video walk walking woman women"
)
_WEIGHTS = dict.fromkeys(_COMMON.split(), 0.5) | dict.fromkeys(_GLUE.split(), 0.15)  # of any other word: 1


@dataclass(frozen=True, kw_only=True)
class TextEncoder:
    """A frozen sentence encoder: its name, its width and texts -> TextFeatures."""

    name: str
    width: int  # E
    encode: Callable[[list[str]], TextFeatures]

    @classmethod
    def of(cls, encoder: Encoder) -> Self:
        """The text side of an image-text backbone."""
        return cls(name=encoder.spec.fingerprint, width=encoder.spec.width, encode=encoder.encode_texts)

    def rows(self, texts: Sequence[str]) -> list[Tensor]:
        """Q sentences -> (l, E) each: its words, and the sentence as the last row, where models look for the teacher.

        An encoder whose last word is the sentence already (CLIP's [EOS]) keeps it as it is.
        """
        found = self.encode(list(texts))
        rows = []
        for words, valid, sentence in zip(*found, strict=True):
            kept = words[valid]
            is_last = len(kept) > 0 and torch.allclose(kept[-1], sentence, rtol=1e-3, atol=1e-5)
            rows.append(kept if is_last else torch.cat([kept, sentence[None]]))
        return rows


def hashed_words(width: int) -> TextEncoder:
    """A bag of words that needs nothing: every word hashes to a fixed random unit vector, forms of a word to near ones.

    A sentence is the mean of its words, weighted by how telling they are, at unit length; a word's row carries some of
    its sentence. The weights are fixed (glue 0.15, common words 0.5, all others 1) rather than counted in the given
    annotations, so that a sentence is the same vector whatever else is in the file.
    """

    def encode(texts: list[str]) -> TextFeatures:
        made = [_bag(tuple(words_of(text)), width) for text in texts]
        longest = max((len(words) for words, _ in made), default=0)
        words = torch.zeros(len(made), longest, width)
        valid = torch.zeros(len(made), longest, dtype=torch.bool)
        for q, (rows, _) in enumerate(made):
            words[q, : len(rows)] = rows
            valid[q, : len(rows)] = True
        sentences = [sentence for _, sentence in made]
        return TextFeatures(words, valid, torch.stack(sentences) if sentences else torch.zeros(0, width))

    return TextEncoder(name=f"hashed words ({width})", width=width, encode=encode)


def words_of(text: str) -> list[str]:
    """The words of a sentence, in small letters."""
    return _WORD.findall(text.lower())


def show(text: str, legibility: float, *, key: str) -> str:
    """The words of a sentence that its frames show: the share `legibility` of them, at least one; which ones follows
    from `key`. All of them are the sentence as it was written, none of them is empty.
    """
    words = words_of(text)
    shown = sorted(range(len(words)), key=lambda w: hashlib.sha256(f"{key} {w}".encode()).digest())
    count = max(1, round(legibility * len(words))) if legibility else 0
    kept = sorted(shown[:count])
    return text if count >= len(words) else " ".join(words[w] for w in kept)


def _bag(words: tuple[str, ...], width: int) -> tuple[Tensor, Tensor]:
    """-> rows (l, E) and the sentence (E,); a sentence without words is zero."""
    if not words:
        return torch.zeros(0, width), torch.zeros(width)
    vectors = torch.stack([_vector(word, width) for word in words])
    weights = torch.tensor([_WEIGHTS.get(word, 1.0) for word in words])
    sentence = normalize((weights[:, None] * vectors).sum(0), dim=0)
    return normalize(vectors + _CONTEXT * sentence, dim=1), sentence


@lru_cache(maxsize=65536)
def _vector(word: str, width: int) -> Tensor:
    """(E,) of unit length."""
    return normalize(_STEM * _random(f"stem {_stem(word)}", width) + _FORM * _random(f"form {word}", width), dim=0)


def _stem(word: str) -> str:
    """A word without its most frequent endings; crude, and the same for `cook`, `cooks`, `cooked` and `cooking`."""
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return word.removesuffix("e")


def _random(key: str, width: int) -> Tensor:
    return normalize(torch.randn(width, generator=generator(key)), dim=0)


def generator(key: str) -> torch.Generator:
    """Random numbers that follow from a text alone."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little") >> 1
    return torch.Generator().manual_seed(seed)
