"""Sentences as the frozen encoder sees them, made once and kept beside the video features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from prvr.core.config import fingerprint
from prvr.core.errors import FeatureError
from prvr.core.files import write_whole
from prvr.core.types import Encoder, EncoderSpec, TextFeatures
from prvr.core.weights import SUM, digest, tensor_bytes
from prvr.encoders.loading import load_encoder
from prvr.features.store import FeatureStore


def encoder_of(spec: EncoderSpec) -> Encoder:
    """The encoder that made some features, from where it was then; nothing is fetched."""
    return load_encoder(spec.source or spec.name, fetching=False)


def text_features(
    store: FeatureStore, texts: Sequence[str], load: Callable[[], Encoder], *, kept: Path | None = None
) -> TextFeatures:
    """Features of Q sentences by the encoder that made the store, from its cache (or the folder `kept`) where that has
    them.

    `load` brings the encoder and is called only when the cache does not have these sentences. Raises FeatureError when
    it brings another encoder than the store's, or when the disk is full.
    """
    path = (kept or store.folder / "texts") / f"{fingerprint(list(texts), length=24)}.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            known = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            if (file.metadata() or {}).get(SUM, "") in ("", digest(known)):
                return TextFeatures(**known)
    except (OSError, SafetensorError, TypeError):
        pass  # not there, or damaged: made again below
    encoder = load()
    if not encoder.spec.same_as(store.header.encoder):
        raise FeatureError(
            f"{store.folder}: holds features of encoder {store.header.encoder.fingerprint}, but "
            f"{encoder.spec.fingerprint} would read the queries; bring the same encoder, or extract again"
        )
    made = encoder.encode_texts(list(texts))
    try:
        path.parent.mkdir(exist_ok=True)
        tensors = {name: torch.clone(value) for name, value in made._asdict().items()}
        write_whole(path, tensor_bytes(tensors, {SUM: digest(tensors)}))
    except OSError as error:
        raise FeatureError(
            f"{path.parent}: cannot be written ({error.strerror}); free some space, then run the same command again"
        ) from error
    return made
