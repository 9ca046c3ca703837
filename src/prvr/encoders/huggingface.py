"""CLIP- and SigLIP-type models of the `transformers` library as frozen encoders."""

from __future__ import annotations

import string
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from prvr.core.errors import EncoderError
from prvr.core.types import EncoderSpec, TextFeatures
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
from prvr.encoders.images import ImageSettings, normalise_images, read_image_settings, resize_images


class HuggingFaceEncoder:
    """A CLIP- or SigLIP-type checkpoint as a frozen encoder.

    Words are the text tower's last hidden states after its final layer norm and the projection (the head, in SigLIP).
    In every sentence the last valid row is the one that the checkpoint reads its sentence embedding from, so that
    `words[i, valid[i]][-1] == sentence[i]`: [EOS] for CLIP; for SigLIP, which always sees padding up to its limit and
    reads the very last position, the tokens of the sentence followed by that position.
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
    ) -> None:
        kind = _kind(folder)
        files = weight_files(folder)
        self._tower = _open_tower(folder, TOWERS[kind], files, device, dtype)
        self._tokenizer = load_tokenizer(folder, kind)
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
            token_limit=self._limit,
            source=source or str(folder.resolve()),
        )
        self._check(folder)

    @property
    def spec(self) -> EncoderSpec:
        """What the features need to be reproduced; `revision` is the SHA-256 of the weights."""
        return self._spec

    def prepare(self, frames: Tensor) -> Tensor:
        """frames (B, 3, h, w) uint8 of any size -> images (B, 3, H, W) float32 on the CPU, as the checkpoint wants."""
        wanted = self._images
        resized = resize_images(
            frames.cpu(), wanted.size, wanted.crop, shortest=wanted.shortest, interpolation=wanted.interpolation
        )
        return normalise_images(resized, wanted.mean, wanted.std)

    def encode_images(self, images: Tensor) -> Tensor:
        """images (B, 3, H, W) as `prepare` gives them -> (B, E) float32 on the CPU, not normalised."""
        with torch.inference_mode():
            made = [
                self._tower.images(part.to(self._device, self._dtype).contiguous()).float().cpu()
                for part in torch.split(images, self._batch_size)
                if len(part)
            ]
        # outside, so that what comes out may take part in training
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
        """The words that the tokenizer has no token for, each once; byte-level ones, as CLIP's, know every word."""
        unknown = self._tokenizer.unk_token_id
        with self._lock:
            return [
                word
                for word in dict.fromkeys(text.split())
                if unknown in self._tokenizer(self._clean(word), add_special_tokens=False)["input_ids"]
            ]

    def _tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Q sentences -> token ids of each, at most the limit, [EOS] last and nowhere else.

        A sentence may spell out the [EOS] token, and CLIP's tokenizer writes it for a symbol it does not know; left in
        the middle it would end the sentence there. Tokens added after training, which have no embedding, are left out.
        """
        eos, known = self._tokenizer.eos_token_id, self._tower.vocabulary
        with self._lock:
            found: list[list[int]] = self._tokenizer(
                [self._clean(text) for text in texts], truncation=True, max_length=self._limit, padding=False
            )["input_ids"]
        return [[*[id_ for id_ in ids if id_ != eos and id_ < known][: self._limit - 1], eos] for ids in found]

    def _clean(self, text: str) -> str:
        """SigLIP was trained on lower case (and version 1 without punctuation); CLIP's tokenizer sees to it itself."""
        text = text.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair is no text
        if self._tower.lower_case:
            text = " ".join(text.lower().translate(str.maketrans("", "", self._strip)).split())
        return text

    def _encode_ids(self, sentences: list[list[int]]) -> TextFeatures:
        """Token ids of one batch -> their features, float32 on the CPU."""
        lengths = torch.tensor([len(ids) for ids in sentences])  # (Q,)
        longest = int(lengths.max())
        padded = self._limit if self._tower.reads_last else longest
        pad = self._tokenizer.pad_token_id
        filler = self._tokenizer.eos_token_id if pad is None else pad
        ids = torch.tensor([[*row, *[filler] * (padded - len(row))] for row in sentences])
        words = self._tower.words(ids.to(self._device)).float().cpu()  # (Q, padded, E)
        place = torch.arange(min(longest + self._tower.reads_last, padded)).expand(len(ids), -1)  # (Q, W)
        if self._tower.reads_last:
            place = torch.where(place < lengths[:, None], place, padded - 1)
            lengths = (lengths + 1).clamp(max=padded)
        valid = torch.arange(place.shape[1]) < lengths[:, None]  # (Q, W)
        words = words.take_along_dim(place[..., None], 1).masked_fill(~valid[..., None], 0.0)  # (Q, W, E)
        return TextFeatures(words, valid, words[torch.arange(len(words)), lengths - 1])

    def _check(self, folder: Path) -> None:
        """Files that do not belong together are found now, not in the middle of a video."""
        if self._images.size != self._tower.image_size:
            raise EncoderError(
                f"{folder}: preprocessor_config.json makes images of {self._images.size} pixels, but the model of "
                f"config.json wants {self._tower.image_size}; copy both files from the same checkpoint"
            )
        if self._tokenizer.eos_token_id is None:
            raise EncoderError(f"{folder}: the tokenizer has no [EOS] token; copy tokenizer_config.json beside it")
        if self._tokenizer.vocab_size > self._tower.vocabulary:
            raise EncoderError(
                f"{folder}: the tokenizer has {self._tokenizer.vocab_size} tokens, but the model knows only "
                f"{self._tower.vocabulary}; copy the tokenizer files and the weights from the same checkpoint"
            )


def check_folder(folder: Path) -> int:
    """Whether a checkpoint folder is whole and of a kind that can be read; -> its width E. Loads no weights.

    Raises EncoderError saying what is missing or damaged.
    """
    kind = _kind(folder)
    config = read_json(folder / "config.json", folder)
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
        return int(config["projection_dim"] if kind == "clip" else config["vision_config"]["hidden_size"])
    except (KeyError, TypeError, ValueError):  # which the library fills in with 512 and 768
        return 512 if kind == "clip" else 768


def _kind(folder: Path) -> str:
    """The type of model that a folder holds. Raises EncoderError unless it is one that we read."""
    kind = str(read_json(folder / "config.json", folder).get("model_type"))
    if kind not in TOWERS:
        raise EncoderError(
            f"{folder}: is a model of type {kind!r}, which prvr cannot read; supported types are "
            f"{', '.join(TOWERS)} (fixed-size SigLIP 2 checkpoints are of type siglip, NaFlex ones are not)"
        )
    return kind


class _Tower(Protocol):
    """A checkpoint's two towers in one space; what differs between CLIP and SigLIP."""

    width: int  # E
    positions: int  # tokens at most
    vocabulary: int
    image_size: tuple[int, int]  # height, width
    images_default: ImageSettings  # where the folder has no preprocessing file
    reads_last: bool  # the sentence is read at the last position of a fixed length, not at [EOS]
    lower_case: bool  # sentences have to be written in lower case

    def __init__(self, model: Any) -> None: ...

    def images(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, E)."""
        ...

    def words(self, ids: Tensor) -> Tensor:
        """(Q, W) -> (Q, W, E)."""
        ...


class _Clip:
    """Projections beside the towers; text attends backwards only, so that what follows [EOS] changes nothing."""

    library_name = "CLIPModel"
    reads_last = False
    lower_case = False

    def __init__(self, model: Any) -> None:
        self._model = model
        self.width = int(model.config.projection_dim)
        self.positions, self.vocabulary, self.image_size = _sizes(model.config)
        self.images_default = ImageSettings(
            size=self.image_size,
            crop=True,
            mean=(0.48145466, 0.4578275, 0.40821073),
            std=(0.26862954, 0.26130258, 0.27577711),
        )

    def images(self, pixels: Tensor) -> Tensor:
        pooled = self._model.vision_model(pixel_values=pixels).pooler_output
        return _tensor(self._model.visual_projection(pooled))

    def words(self, ids: Tensor) -> Tensor:
        hidden = self._model.text_model(input_ids=ids).last_hidden_state  # after the final layer norm
        return _tensor(self._model.text_projection(hidden))


class _Siglip:
    """Heads inside the towers; text sees its padding, as in training, and no mask."""

    library_name = "SiglipModel"
    reads_last = True
    lower_case = True

    def __init__(self, model: Any) -> None:
        if not getattr(model.vision_model, "use_head", True):
            raise ValueError("its vision tower has no pooling head (vision_use_head is false)")
        if model.config.text_config.projection_size != model.config.vision_config.hidden_size:
            raise ValueError("its text and image embeddings differ in width")
        self._model = model
        self.width = int(model.config.vision_config.hidden_size)
        self.positions, self.vocabulary, self.image_size = _sizes(model.config)
        self.images_default = ImageSettings(size=self.image_size, crop=False, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    def images(self, pixels: Tensor) -> Tensor:
        return _tensor(self._model.vision_model(pixel_values=pixels).pooler_output)

    def words(self, ids: Tensor) -> Tensor:
        hidden = self._model.text_model(input_ids=ids).last_hidden_state
        return _tensor(self._model.text_model.head(hidden))


TOWERS: dict[str, type[_Clip] | type[_Siglip]] = {"clip": _Clip, "siglip": _Siglip}


def _open_tower(
    folder: Path, tower: type[_Clip] | type[_Siglip], files: Sequence[Path], device: str, dtype: torch.dtype
) -> _Tower:
    """The folder's model on its device. Raises EncoderError when it cannot be read, used or held there."""
    model = load_model(folder, tower.library_name, dtype, safe=files[0].suffix == ".safetensors")
    try:
        return tower(model.to(device))
    except torch.OutOfMemoryError as error:
        raise EncoderError(f"{folder}: does not fit into the memory of {device}; use `--device cpu`") from error
    except ValueError as error:
        raise EncoderError(f"{folder}: cannot be used, {first_line(error)}; choose another checkpoint") from error


def _sizes(config: Any) -> tuple[int, int, tuple[int, int]]:
    """A model's configuration -> most tokens, vocabulary, image height and width."""
    image = config.vision_config.image_size
    height, width = (image, image) if isinstance(image, int) else image
    return int(config.text_config.max_position_embeddings), int(config.text_config.vocab_size), (height, width)


def _tensor(value: Any) -> Tensor:
    assert isinstance(value, Tensor)
    return value
