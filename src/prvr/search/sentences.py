"""Sentences to vectors, as an index is asked."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from prvr.core.errors import QueryError
from prvr.core.types import Encoder
from prvr.ranker.ranker import Ranker


def embed(encoder: Encoder, trained: Ranker, texts: Sequence[str]) -> Tensor:
    """Q sentences -> (Q, D). Raises QueryError for what is not a sentence."""
    for text in texts:
        check_query(text, encoder)
    return trained.embed(encoder.encode_texts(list(texts)))


def check_query(text: object, encoder: Encoder) -> None:
    """Raises QueryError for what cannot be searched: no text, no word, far more words than the encoder reads."""
    if not isinstance(text, str):
        raise QueryError(f"query: expected a sentence, found {type(text).__name__}; write what happens in the video")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise QueryError("query: is not readable text (broken characters); write it in UTF-8")
    words = text.split()
    if not any(letter.isalnum() for letter in text):
        raise QueryError(f"query: {text.strip()[:40]!r} holds no word; describe what happens, such as 'a dog jumps'")
    if len(words) > encoder.spec.token_limit:
        raise QueryError(
            f"query: has {len(words):,} words, but encoder {encoder.spec.name!r} reads {encoder.spec.token_limit}; "
            "describe one event in one sentence"
        )
