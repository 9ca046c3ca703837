"""What turns frames and sentences into vectors once the towers of a checkpoint are open, whatever runs them."""

from __future__ import annotations

import re
import string
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from prvr.core.types import EncoderSpec, TextFeatures
from prvr.encoders.families.base import Family
from prvr.encoders.images import ImageSettings

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # scripts without spaces
PIECE = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")


class Tokens(Protocol):
    """A tokenizer, whichever library reads it."""

    pad: int | None  # the token that fills up
    unknown: int | None  # the token for what has none of its own
    end: int | None  # the token that ends a sentence

    def ids(self, texts: list[str], *, most: int | None = None) -> list[list[int]]:
        """Sentences -> their tokens, at most so many with those around them; without `most` all, and none around."""
        ...


class TowerEncoder:
    """Two towers in one space as a frozen encoder.

    In every sentence the last valid row is the sentence, `words[i, valid[i]][-1] == sentence[i]`, whatever the family
    reads it from: [EOS], the first token, a place of padding, or the mean of the words, which is a row of its own then.
    """

    def __init__(
        self,
        tower: Family,
        tokens: Tokens,
        images: ImageSettings,
        spec: EncoderSpec,
        *,
        strip: bool = False,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        batch_size: int = 64,
    ) -> None:
        self.tower, self.tokens, self.images, self._spec = tower, tokens, images, spec
        self._limit = spec.token_limit - tower.adds_row
        self.strips = strip  # punctuation is left out
        self._lock = threading.Lock()  # a tokenizer is changed by its own truncation setting while it works
        self._device, self._dtype, self._batch_size = device, dtype, batch_size

    @property
    def spec(self) -> EncoderSpec:
        """What the features need to be reproduced; `revision` is the SHA-256 of the weights."""
        return self._spec

    @property
    def end(self) -> int | None:
        """The token that ends a sentence; None where this family has none."""
        return self.tokens.end if self.tower.has_end else None

    @property
    def filler(self) -> int:
        """The token that fills a batch up."""
        return next(one for one in (self.tokens.pad, self.tokens.end, 0) if one is not None)

    def prepare(self, frames: Tensor) -> Tensor:
        """frames (B, 3, h, w) uint8 of any size -> images (B, 3, H, W) float32 on the CPU, as the checkpoint wants."""
        return self.tower.prepare(frames.cpu(), self.images)

    def encode_images(self, images: Tensor) -> Tensor:
        """images (B, 3, H, W) as `prepare` gives them -> (B, E) float32 on the CPU, not normalised."""
        return self._encode(self.tower.images, images)

    def encode_clips(self, clips: Tensor) -> Tensor:
        """clips (B, L, 3, H, W), L images each, of a family that reads windows -> (B, E) float32 on the CPU."""
        return self._encode(self.tower.clips, clips)

    def _encode(self, read: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
        """Pictures, or windows of them, a few at a time -> (B, E)."""
        with torch.inference_mode():
            made = [
                read(part.to(self._device, self._dtype).contiguous()).float().cpu()
                for part in torch.split(pictures, max(1, self._batch_size // self.tower.length))
                if len(part)
            ]
        # outside, so that what comes out may take part in training
        return torch.cat(made)[:, : self._spec.width] if made else torch.zeros(0, self._spec.width)

    def encode_texts(self, texts: list[str]) -> TextFeatures:
        """Q sentences -> words (Q, W, E), valid (Q, W), sentence (Q, E); zero where not valid, W the longest of them.

        A sentence longer than the token limit loses its end, never its [EOS].
        """
        with torch.inference_mode():
            parts = [
                self._encode_ids(self._tokenise(texts[first : first + self._batch_size]))
                for first in range(0, len(texts), self._batch_size)
            ]
        longest = max((part.words.shape[1] for part in parts), default=1)
        words = torch.zeros(len(texts), longest, self._spec.width)
        valid = torch.zeros(len(texts), longest, dtype=torch.bool)
        sentence = torch.zeros(len(texts), self._spec.width)
        row = 0
        for part in parts:
            rows = slice(row, row := row + len(part.words))
            words[rows, : part.words.shape[1]] = part.words
            valid[rows, : part.valid.shape[1]] = part.valid
            sentence[rows] = part.sentence
        return TextFeatures(words, valid, sentence)

    def unknown_words(self, text: str) -> list[str]:
        """The words that the tokenizer has no token for, each once; byte-level ones, as CLIP's, know every word.

        Where a script has no spaces between words, its letters are asked one by one.
        """
        words = list(dict.fromkeys(PIECE.findall(text)))
        with self._lock:
            found = self.tokens.ids([self._clean(word) for word in words])
        return [word for word, ids in zip(words, found, strict=True) if self.tokens.unknown in ids]

    def _tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Q sentences -> token ids of each, at most the limit, the end token last and nowhere else.

        A sentence may spell out the end token, and CLIP's tokenizer writes it for a symbol it does not know; left in
        the middle it would end the sentence there. Tokens added after training, which have no embedding, are left out.
        """
        end, known = self.end, self.tower.vocabulary
        with self._lock:
            found = self.tokens.ids([self.tower.before + self._clean(text) for text in texts], most=self._limit)
        ends = [] if end is None else [end]
        room = self._limit - len(ends)
        return [[*[id_ for id_ in ids if id_ != end and id_ < known][:room], *ends] for ids in found]

    def _clean(self, text: str) -> str:
        """SigLIP was trained on lower case (and version 1 without punctuation); CLIP's tokenizer sees to it itself."""
        text = text.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair is no text
        if self.tower.lower_case:
            text = " ".join(text.lower().translate(str.maketrans("", "", string.punctuation * self.strips)).split())
        return text

    def _encode_ids(self, sentences: list[list[int]]) -> TextFeatures:
        """Token ids of one batch -> their features, float32 on the CPU."""
        lengths = torch.tensor([len(ids) for ids in sentences])  # (Q,)
        padded = self._limit if self.tower.padded else max(int(lengths.max()), 1)
        filler = self.filler
        ids = torch.tensor([[*row, *[filler] * (padded - len(row))] for row in sentences])
        valid = torch.arange(padded) < lengths[:, None]  # (Q, padded)
        made = self.tower.words(ids.to(self._device), valid.to(self._device))
        longest = max(int(made.valid.sum(dim=1).max()), 1)
        valid = made.valid[:, :longest].cpu()  # (Q, W)
        words = (
            made.rows[:, :longest, : self._spec.width].float().cpu().masked_fill(~valid[..., None], 0.0)
        )  # (Q, W, E)
        return TextFeatures(words, valid, words[torch.arange(len(words)), valid.sum(dim=1) - 1])
