"""A frame encoder and a clip encoder as one: `--encoder A --clip-encoder B`."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.errors import EncoderError
from prvr.core.readers import ClipEncoder
from prvr.core.types import Encoder, EncoderSpec, TextFeatures

AND = " + "  # between two names


def paired(frames: str, windows: str | None) -> str:
    """What an encoder of frames is called with one of windows beside it, if any, and with no other."""
    return f"{frames.partition(AND)[0]}{AND}{windows}" if windows else frames


class EncoderPair:
    """Fits `PairedEncoder`. Vectors are as wide as both: frames fill the first columns, windows the last.

    A sentence is the unit vectors of both side by side, so that the cosine with a frame, or with a window, is that of
    its own encoder, over the root of two.
    """

    def __init__(self, frames: Encoder, windows: Encoder) -> None:
        """Raises EncoderError unless one reads frames and the other windows."""
        if frames.spec.clips:
            raise EncoderError(f"{frames.spec.name}: reads windows of frames; give it as --clip-encoder")
        if not isinstance(windows, ClipEncoder) or windows.spec.clips is None:
            raise EncoderError(
                f"{windows.spec.name}: reads single frames; give it as --encoder, without --clip-encoder"
            )
        self.frames, self.windows = frames, windows
        a, b = frames.spec, windows.spec
        self._spec = replace(
            a,
            name=f"{a.name}{AND}{b.name}",
            revision=hashlib.sha256(f"{a.revision}{AND}{b.revision}".encode()).hexdigest(),
            width=a.width + b.width,
            token_limit=max(a.token_limit, b.token_limit),
            domain=a.domain if a.domain != "general" else b.domain,
            source=f"{a.source or a.name}{AND}{b.source or b.name}",
            clips=b.clips,
        )

    @property
    def spec(self) -> EncoderSpec:
        """Pictures as the frame encoder wants them; `clips` is the other's."""
        return self._spec

    def prepare(self, frames: Tensor) -> Tensor:
        """As the frame encoder."""
        return self.frames.prepare(frames)

    def encode_images(self, images: Tensor) -> Tensor:
        """images (B, 3, H, W) -> (B, E), zero in the columns of windows."""
        return F.pad(self.frames.encode_images(images), (0, self.windows.spec.width))

    def encode_texts(self, texts: list[str]) -> TextFeatures:
        """Q sentences: the words of the frame encoder, the last row of each and the sentence of both."""
        one, other = self.frames.encode_texts(texts), self.windows.encode_texts(texts)
        sentence = torch.cat([F.normalize(one.sentence, dim=1), F.normalize(other.sentence, dim=1)], dim=1)
        words = F.pad(one.words, (0, other.sentence.shape[1]))
        if len(texts):
            words[torch.arange(len(texts)), one.valid.sum(dim=1) - 1] = sentence
        return TextFeatures(words, one.valid, sentence)

    def unknown_words(self, text: str) -> list[str]:
        """The words that mean nothing to either."""
        other = set(self.windows.unknown_words(text))
        return [word for word in self.frames.unknown_words(text) if word in other]
