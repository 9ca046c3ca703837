"""A small real encoder whose answers can be worked out by hand, and stores made with it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from prvr.core.types import EncoderSpec, TextFeatures, VideoFeatures
from prvr.features.store import FeatureStore, StoreHeader

COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}


class ColourEncoder:
    """An image is its mean colour, a word is the colour it names, a sentence is the mean of its words."""

    def __init__(self, name: str = "colour", revision: str = "1" * 12) -> None:
        self.name, self.revision = name, revision

    @property
    def spec(self) -> EncoderSpec:
        return EncoderSpec(
            name=self.name,
            revision=self.revision,
            width=3,
            image_size=(8, 8),
            mean=(0, 0, 0),
            std=(1, 1, 1),
            crop=False,
            token_limit=16,
        )

    def prepare(self, frames: Tensor) -> Tensor:
        return torch.nn.functional.interpolate(frames.float() / 255, size=(8, 8), mode="area")

    def encode_images(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))

    def encode_texts(self, texts: list[str]) -> TextFeatures:
        words = torch.zeros(len(texts), max(map(len, map(str.split, texts))), 3)
        valid = torch.zeros(words.shape[:2], dtype=torch.bool)
        for q, text in enumerate(texts):
            for w, word in enumerate(text.split()):
                words[q, w] = torch.tensor(COLOURS.get(word, (0.0, 0.0, 0.0)))
                valid[q, w] = True
        return TextFeatures(words, valid, words.sum(1) / valid.sum(1, keepdim=True))

    def unknown_words(self, text: str) -> list[str]:
        return [word for word in text.split() if word not in COLOURS]


def header(*, name: str = "colour", revision: str = "1" * 12, rate: float = 1.0) -> StoreHeader:
    return StoreHeader(encoder=ColourEncoder(name, revision).spec, rate=rate)


def some_features(frames: int = 5) -> VideoFeatures:
    return VideoFeatures(torch.randn(frames, 3), torch.arange(frames, dtype=torch.float64), float(frames))


def store_with(folder: Path, videos: dict[str, VideoFeatures]) -> FeatureStore:
    store = FeatureStore.create(folder, header())
    for video_id, video in videos.items():
        store.write(video_id, video, source=folder / video_id, size=1, mtime_ns=1)
    return store
