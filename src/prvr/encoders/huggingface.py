"""Models of the `transformers` library as frozen encoders; what differs between families is in `families`."""

from __future__ import annotations

import re
import string
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from prvr.core.errors import EncoderError
from prvr.core.types import ClipSpec, EncoderSpec, TextFeatures
from prvr.encoders.checkpoint import (
    NEEDED,
    first_line,
    has_tokenizer,
    hash_files,
    load_model,
    load_tokenizer,
    read_json,
    tokenizer_class,
    weight_files,
)
from prvr.encoders.families import FAMILIES, REFUSED, TIMM, family_of
from prvr.encoders.families.base import Family
from prvr.encoders.images import read_image_settings

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # scripts without spaces
PIECE = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")
INSTEAD = "choose another checkpoint, or give an ONNX folder of it"


class HuggingFaceEncoder:
    """A checkpoint folder of any family as a frozen encoder.

    Words are the text tower's last hidden states after its final layer norm and the projection, where there is one.
    In every sentence the last valid row is the sentence, `words[i, valid[i]][-1] == sentence[i]`, whatever the family
    reads it from: [EOS], the first token, a place of padding, or the mean of the words, which is a row of its own then.

    `family` is that of a checkpoint whose type is not in `families.FAMILIES`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str | None = None,
        source: str | None = None,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        batch_size: int = 64,
        family: type[Family] | None = None,
    ) -> None:
        family = family or _family(folder)
        files = weight_files(folder)
        self._tower = _open_tower(folder, family, files, device, dtype)
        self._tokenizer = load_tokenizer(folder, family.tokenizer)
        self._end = _end_of(self._tokenizer) if family.has_end else None
        self._lock = threading.Lock()  # a tokenizer is changed by its own truncation setting while it works
        self._device, self._dtype, self._batch_size = device, dtype, batch_size
        self._images = read_image_settings(folder, self._tower.images_default)
        self._limit = int(min(self._tower.positions, self._tokenizer.model_max_length))
        self._strip = string.punctuation if tokenizer_class(folder) == "SiglipTokenizer" else ""
        self._spec = EncoderSpec(
            name=name or folder.resolve().name,
            revision=hash_files(files),
            width=self._tower.width,
            image_size=self._images.size,
            mean=self._images.mean,
            std=self._images.std,
            crop=self._images.crop,
            token_limit=self._limit + family.adds_row,
            source=source or str(folder.resolve()),
            clips=self._windows() if family.reads_windows else None,
        )
        self._check(folder)

    @property
    def spec(self) -> EncoderSpec:
        """What the features need to be reproduced; `revision` is the SHA-256 of the weights."""
        return self._spec

    def prepare(self, frames: Tensor) -> Tensor:
        """frames (B, 3, h, w) uint8 of any size -> images (B, 3, H, W) float32 on the CPU, as the checkpoint wants."""
        return self._tower.prepare(frames.cpu(), self._images)

    def encode_images(self, images: Tensor) -> Tensor:
        """images (B, 3, H, W) as `prepare` gives them -> (B, E) float32 on the CPU, not normalised."""
        with torch.inference_mode():
            made = [
                self._tower.images(part.to(self._device, self._dtype).contiguous()).float().cpu()
                for part in torch.split(images, max(1, self._batch_size // self._tower.length))
                if len(part)
            ]
        # outside, so that what comes out may take part in training
        return torch.cat(made) if made else torch.zeros(0, self._spec.width)

    def encode_clips(self, clips: Tensor) -> Tensor:
        """clips (B, L, 3, H, W), L images each, of a family that reads windows -> (B, E) float32 on the CPU."""
        with torch.inference_mode():
            made = [
                self._tower.clips(part.to(self._device, self._dtype).contiguous()).float().cpu()
                for part in torch.split(clips, max(1, self._batch_size // self._tower.length))
                if len(part)
            ]
        return torch.cat(made) if made else torch.zeros(0, self._spec.width)

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
        unknown = self._tokenizer.unk_token_id
        with self._lock:
            return [
                word
                for word in dict.fromkeys(PIECE.findall(text))
                if unknown in self._tokenizer(self._clean(word), add_special_tokens=False)["input_ids"]
            ]

    def _tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Q sentences -> token ids of each, at most the limit, the end token last and nowhere else.

        A sentence may spell out the end token, and CLIP's tokenizer writes it for a symbol it does not know; left in
        the middle it would end the sentence there. Tokens added after training, which have no embedding, are left out.
        """
        end, known = self._end, self._tower.vocabulary
        with self._lock:
            found: list[list[int]] = self._tokenizer(
                [self._clean(text) for text in texts], truncation=True, max_length=self._limit, padding=False
            )["input_ids"]
        ends = [] if end is None else [end]
        room = self._limit - len(ends)
        return [[*[id_ for id_ in ids if id_ != end and id_ < known][:room], *ends] for ids in found]

    def _clean(self, text: str) -> str:
        """SigLIP was trained on lower case (and version 1 without punctuation); CLIP's tokenizer sees to it itself."""
        text = text.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair is no text
        if self._tower.lower_case:
            text = " ".join(text.lower().translate(str.maketrans("", "", self._strip)).split())
        return text

    def _encode_ids(self, sentences: list[list[int]]) -> TextFeatures:
        """Token ids of one batch -> their features, float32 on the CPU."""
        lengths = torch.tensor([len(ids) for ids in sentences])  # (Q,)
        padded = self._limit if self._tower.padded else max(int(lengths.max()), 1)
        pad = self._tokenizer.pad_token_id
        filler = next(one for one in (pad, self._end, 0) if one is not None)
        ids = torch.tensor([[*row, *[filler] * (padded - len(row))] for row in sentences])
        valid = torch.arange(padded) < lengths[:, None]  # (Q, padded)
        made = self._tower.words(ids.to(self._device), valid.to(self._device))
        valid = made.valid.cpu()  # (Q, W)
        words = made.rows.float().cpu().masked_fill(~valid[..., None], 0.0)  # (Q, W, E)
        return TextFeatures(words, valid, words[torch.arange(len(words)), valid.sum(dim=1) - 1])

    def _windows(self) -> ClipSpec:
        """Windows that overlap by half, so that what one cuts in two is whole in the next."""
        tower = self._tower
        return ClipSpec(length=tower.length, stride=max(1, tower.length // 2), rate=tower.rate, width=tower.width)

    def _check(self, folder: Path) -> None:
        """Files that do not belong together are found now, not in the middle of a video."""
        if self._tower.image_size not in (None, self._images.size):
            raise EncoderError(
                f"{folder}: preprocessor_config.json makes images of {self._images.size} pixels, but the model of "
                f"config.json wants {self._tower.image_size}; copy both files from the same checkpoint"
            )
        if self._end is None and self._tower.has_end:
            raise EncoderError(f"{folder}: the tokenizer has no [EOS] token; copy tokenizer_config.json beside it")
        if self._tokenizer.vocab_size > self._tower.vocabulary + self._tower.spare_tokens:
            raise EncoderError(
                f"{folder}: the tokenizer has {self._tokenizer.vocab_size} tokens, but the model knows only "
                f"{self._tower.vocabulary}; copy the tokenizer files and the weights from the same checkpoint"
            )


def check_folder(folder: Path) -> int:
    """Whether a checkpoint folder is whole and of a kind that can be read; -> its width E. Loads no weights.

    Raises EncoderError saying what is missing or damaged.
    """
    family, config = _family(folder), read_json(folder / "config.json", folder)
    for file in weight_files(folder):
        if file.suffix == ".safetensors":
            try:
                with safe_open(file, framework="pt"):  # compares the header with the length of the file
                    pass
            except (OSError, SafetensorError) as error:
                raise EncoderError(
                    f"{file}: the weights are damaged ({first_line(error)}); copy the checkpoint again"
                ) from error
    if not has_tokenizer(folder):
        raise EncoderError(f"{folder}: holds no tokenizer; a folder must hold {NEEDED}")
    try:
        return family.width_of(config)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise EncoderError(f"{folder / 'config.json'}: does not say how wide its vectors are ({error!r})") from error


def _family(folder: Path) -> type[Family]:
    """The family of what a folder holds. Raises EncoderError, saying why, unless it is one that we read."""
    if not (folder / "config.json").is_file() and (folder / "open_clip_config.json").is_file():
        raise EncoderError(f"{folder}: is a checkpoint of open_clip, which {TIMM}; {INSTEAD}")
    config = read_json(folder / "config.json", folder)
    kind = str(config.get("model_type"))
    if kind in FAMILIES:
        return family_of(kind)
    why = "which prvr cannot read"
    if kind in REFUSED:
        why = f"which {REFUSED[kind]}"
    elif "auto_map" in config:
        why = "which comes with code of its own, and prvr does not run that"
    raise EncoderError(
        f"{folder}: is a model of type {kind!r}, {why}; {INSTEAD} (types that can be read: {', '.join(FAMILIES)})"
    )


def _end_of(tokenizer: Any) -> int | None:
    """The token that ends a sentence; BERT's separates sentences, too."""
    found = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    return None if found is None else int(found)


def _open_tower(folder: Path, family: type[Family], files: Sequence[Path], device: str, dtype: torch.dtype) -> Family:
    """The folder's model on its device. Raises EncoderError when it cannot be read, used or held there."""
    model = load_model(folder, family.library, dtype, safe=files[0].suffix == ".safetensors")
    try:
        return family(model.to(device), folder)
    except torch.OutOfMemoryError as error:
        raise EncoderError(f"{folder}: does not fit into the memory of {device}; use `--device cpu`") from error
    except ValueError as error:
        raise EncoderError(f"{folder}: cannot be used, {first_line(error)}; choose another checkpoint") from error
