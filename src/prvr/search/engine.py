"""A sentence in, ranked videos with moments out."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch

from prvr.core.errors import IndexFolderError, QueryError
from prvr.core.types import Candidate, Encoder, Hit, TextFeatures
from prvr.data.dataset import unit_queries
from prvr.encoders.loading import load_encoder
from prvr.features.store import FeatureStore
from prvr.index.base import Index
from prvr.index.exact import ExactIndex
from prvr.recipes.runs import Trained, open_run, zero_shot
from prvr.search.moments import moments, relevance

ZERO_SHOT = "zero-shot"


class SearchEngine:
    """An index with the encoder and the model that made it."""

    def __init__(self, index: Index, store: FeatureStore, encoder: Encoder, trained: Trained) -> None:
        self.index = index
        self.store = store
        self.encoder = encoder
        self.trained = trained

    @classmethod
    def open(cls, folder: Path, *, encoder: str | None = None, device: str = "auto") -> Self:
        """An index folder. `encoder` only says where the encoder lies now, if it was moved.

        Raises IndexFolderError when there is no index, or when the encoder or the model is not the one it was made
        with; EncoderError when the encoder cannot be had.
        """
        index = ExactIndex.open(folder)
        spec = index.header.encoder
        loaded = load_encoder(encoder or spec.source or spec.name, device=device)
        if not loaded.spec.same_as(spec):
            raise IndexFolderError(
                f"{folder}: was made with encoder {spec.fingerprint}, not {loaded.spec.fingerprint}, so that scores "
                f"would mean nothing; use `--encoder {spec.source or spec.name}`, or index into another folder"
            )
        trained = zero_shot(spec) if index.header.model == ZERO_SHOT else open_run(folder / "model")
        if index.header.model not in (ZERO_SHOT, trained.fingerprint):
            raise IndexFolderError(
                f"{folder}: was made with model {index.header.model}, but {folder / 'model'} holds "
                f"{trained.fingerprint}; index again with `prvr index PATH --index {folder} --model RUN`"
            )
        return cls(index, FeatureStore.open(folder / "features"), loaded, trained)

    def search(self, text: str, *, k: int = 5) -> list[Hit]:
        """One sentence -> the k best videos, best first. Raises QueryError for what is not a sentence."""
        return [self._hit(found) for found in self.index.search(self.embed(text), k=k)]

    def embed(self, text: str) -> torch.Tensor:
        """One sentence -> (D,)."""
        check_query(text, self.encoder)
        features: TextFeatures = self.encoder.encode_texts([text])
        with torch.inference_mode():
            return self.trained.model.encode_queries(unit_queries(features))[0]

    def _hit(self, found: Candidate) -> Hit:
        entry = self.store.entry(found.video_id)
        duration = entry.duration_s if entry else float(found.bank.spans.max())
        curve = relevance(found, clip_weight=self.index.header.clip_weight, duration_s=duration)
        return Hit(
            video_id=found.video_id,
            score=found.score,
            moments=moments(curve),
            duration_s=duration,
            path=Path(entry.source) if entry else None,
        )


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
