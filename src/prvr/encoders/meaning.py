"""What sentences mean, compared with one another and not with pictures: a sentence model, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.errors import EncoderError
from prvr.core.places import expanded
from prvr.encoders.catalogue import THINGS
from prvr.encoders.checkpoint import hash_files
from prvr.encoders.families import is_sentences

BATCH = 64


class SentenceModel(NamedTuple):
    """Whatever makes vectors of sentences."""

    name: str  # as it was asked for
    revision: str  # of its weights
    read: Callable[[list[str]], Tensor]  # Q sentences -> (Q, D)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Q sentences -> (Q, D) float32 of unit length."""
        parts = [self.read(list(texts[at : at + BATCH])) for at in range(0, len(texts), BATCH)]
        return F.normalize(torch.cat(parts).float(), dim=1) if parts else torch.zeros(0, 0)


def load_sentence_model(name: str = THINGS, *, device: str = "cpu", fetching: bool = True) -> SentenceModel:
    """The one inside `things`, a folder of sentence-transformers, or the sentence side of any encoder, by its name.

    `fetching` is False where a folder said the name, as for `load_encoder`. Raises EncoderError saying what is in the
    way.
    """
    if name == THINGS:
        from prvr.encoders.things import SENTENCES, PlainSentences

        return SentenceModel(name, SENTENCES.sha256, PlainSentences(device).vectors)
    folder = expanded(name)
    if folder.is_dir() and is_sentences(folder):
        from prvr.encoders.sentences import check_code, opened_sentences

        check_code(folder)
        model = opened_sentences(folder, device, torch.float32)
        weights = sorted(path for kind in ("*.safetensors", "*.bin") for path in folder.rglob(kind))

        def read(texts: list[str]) -> Tensor:
            made: Tensor = model.encode(texts, convert_to_tensor=True, show_progress_bar=False)
            return torch.clone(made.float().cpu())

        return SentenceModel(name, hash_files(weights), read)
    from prvr.encoders.loading import load_encoder

    encoder = load_encoder(name, device=device, fetching=fetching)
    if not encoder.spec.revision:
        raise EncoderError(f"{name}: says nothing of its weights; give another sentence model")
    return SentenceModel(name, encoder.spec.revision, lambda texts: encoder.encode_texts(texts).sentence)
