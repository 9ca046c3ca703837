"""Models of the `transformers` library as frozen encoders; what differs between families is in `families`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from prvr.core.clips import ClipSpec
from prvr.core.errors import EncoderError
from prvr.core.types import EncoderSpec
from prvr.encoders.checkpoint import (
    NEEDED,
    first_line,
    has_tokenizer,
    hash_files,
    is_onnx,
    load_model,
    load_tokenizer,
    read_json,
    tokenizer_class,
    weight_files,
)
from prvr.encoders.families import FAMILIES, REFUSED, TIMM, family_of, is_sentences
from prvr.encoders.families.base import Family
from prvr.encoders.images import ImageSettings, read_image_settings
from prvr.encoders.towers import TowerEncoder

INSTEAD = "choose another checkpoint, or give an ONNX folder of it"


class HuggingFaceEncoder(TowerEncoder):
    """A checkpoint folder of any family as a frozen encoder.

    Words are the text tower's last hidden states after its final layer norm and the projection, where there is one.
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
        width: int | None = None,
    ) -> None:
        """`width` cuts vectors to their first columns. Raises EncoderError for a folder that cannot be used."""
        family = family or _family(folder)
        files = weight_files(folder)
        tower = _open_tower(folder, family, files, device, dtype)
        tokenizer = load_tokenizer(folder, family.tokenizer)
        images = read_image_settings(folder, tower.images_default)
        tokens = _LibraryTokens(tokenizer)
        _check(folder, tower, tokenizer, tokens.end, images)
        if width is not None and not (family.may_be_cut and 0 < width <= tower.width):
            most = f"are {tower.width} wide" if family.may_be_cut else "were not trained to be cut"
            raise EncoderError(f"{folder}@{width}: its vectors {most}; give the folder without @{width}")
        cut = f"@{width}" if width else ""
        limit = int(min(tower.positions, tokenizer.model_max_length)) + family.adds_row
        super().__init__(
            tower,
            tokens,
            images,
            EncoderSpec(
                name=(name or folder.resolve().name) + cut,
                revision=hash_files(files),
                width=width or tower.width,
                image_size=images.size,
                mean=images.mean,
                std=images.std,
                crop=images.crop,
                token_limit=limit,
                source=(source or str(folder.resolve())) + cut,
                clips=_windows(tower) if family.reads_windows else None,
            ),
            strip=tokenizer_class(folder) == "SiglipTokenizer",
            device=device,
            dtype=dtype,
            batch_size=batch_size,
        )

    def save_tokenizer(self, path: Path) -> None:
        """Its tokenizer as one file, which the package tokenizers reads alone."""
        assert isinstance(self.tokens, _LibraryTokens)
        self.tokens.save(path)


class _LibraryTokens:
    """A tokenizer of the library; BERT's token that separates sentences ends one, too."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.pad, self.unknown = tokenizer.pad_token_id, tokenizer.unk_token_id
        self.end = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id

    def ids(self, texts: list[str], *, most: int | None = None) -> list[list[int]]:
        if not texts:
            return []
        around = most is not None
        found = self._tokenizer(texts, truncation=around, max_length=most, padding=False, add_special_tokens=around)
        ids: list[list[int]] = found["input_ids"]
        return ids

    def save(self, path: Path) -> None:
        """As tokenizer.json."""
        self._tokenizer.backend_tokenizer.save(str(path))


def _windows(tower: Family) -> ClipSpec:
    """Windows that overlap by half, so that what one cuts in two is whole in the next."""
    return ClipSpec(length=tower.length, stride=max(1, tower.length // 2), rate=tower.rate, width=tower.width)


def _check(folder: Path, tower: Family, tokenizer: Any, end: int | None, images: ImageSettings) -> None:
    """Files that do not belong together are found now, not in the middle of a video."""
    if tower.image_size not in (None, images.size):
        raise EncoderError(
            f"{folder}: preprocessor_config.json makes images of {images.size} pixels, but the model of "
            f"config.json wants {tower.image_size}; copy both files from the same checkpoint"
        )
    if tower.has_end and end is None:
        raise EncoderError(f"{folder}: the tokenizer has no [EOS] token; copy tokenizer_config.json beside it")
    if tokenizer.vocab_size > tower.vocabulary + tower.spare_tokens:
        raise EncoderError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} tokens, but the model knows only "
            f"{tower.vocabulary}; copy the tokenizer files and the weights from the same checkpoint"
        )


def check_folder(folder: Path) -> int:
    """Whether a checkpoint folder is whole and of a kind that can be read; -> its width E. Loads no weights.

    Raises EncoderError saying what is missing or damaged.
    """
    if is_sentences(folder):
        raise EncoderError(f"{folder}: is a model of sentence-transformers; give the folder itself as --encoder")
    if is_onnx(folder):
        from prvr.encoders.onnx import layout_of

        return layout_of(folder).width
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


def _open_tower(folder: Path, family: type[Family], files: Sequence[Path], device: str, dtype: torch.dtype) -> Family:
    """The folder's model on its device. Raises EncoderError when it cannot be read, used or held there."""
    model = load_model(folder, family.library, dtype, safe=files[0].suffix == ".safetensors")
    try:
        return family(model.to(device), folder)
    except torch.OutOfMemoryError as error:
        raise EncoderError(f"{folder}: does not fit into the memory of {device}; use `--device cpu`") from error
    except ValueError as error:
        raise EncoderError(f"{folder}: cannot be used, {first_line(error)}; choose another checkpoint") from error
