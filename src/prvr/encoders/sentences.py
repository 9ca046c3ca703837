"""Models of the library sentence-transformers that read pictures and sentences: `modules.json` in their folder.

One adapter for all of them, Qwen3-VL-Embedding among them. Prompts are the model's own, by name: `query` before
sentences, `document` before frames. Vectors can be cut to their first columns (Matryoshka) with `FOLDER@256`.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prvr.core.errors import EncoderError
from prvr.core.types import EncoderSpec, TextFeatures
from prvr.encoders.checkpoint import UNREADABLE, first_line, from_disk, hash_files, refuse_code
from prvr.encoders.images import resize_images

MODULES, OURS = "modules.json", "sentence_transformers."
INSTALL = "install it with `pip install 'prvr[st]'`"
LONGEST = 512  # pixels of the longer side that a frame is made smaller to; the model's own preprocessing comes after it
MOST_TOKENS = 8192  # of a model that does not say


class SentencesEncoder:
    """A model of sentence-transformers as a frozen encoder; a sentence is one row, there are none for its words."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str | None = None,
        source: str | None = None,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        width: int | None = None,
        batch_size: int = 16,
    ) -> None:
        """`width` cuts vectors to their first columns. Raises EncoderError for a folder that cannot be used."""
        check_code(folder)
        self._model = opened_sentences(folder, device, dtype)
        whole = int(self._model.get_embedding_dimension())
        if "image" not in self._model.modalities:
            raise EncoderError(
                f"{folder}: reads {', '.join(self._model.modalities)} and no pictures; choose another model"
            )
        if width is not None and not 0 < width <= whole:
            raise EncoderError(f"{folder}@{width}: its vectors are {whole} wide; give fewer columns than that")
        self._prompts = {kind: text for kind in ("query", "document") if (text := self._model.prompts.get(kind))}
        self._width, self._batch_size = width or whole, batch_size
        self._lock = threading.Lock()  # the library's tokenizers and processors are one to all threads
        weights = sorted(path for kind in ("*.safetensors", "*.bin") for path in folder.rglob(kind))
        cut = f"@{width}" if width else ""
        self._spec = EncoderSpec(
            name=(name or folder.resolve().name) + cut,
            revision=hash_files(weights),
            width=self._width,
            image_size=(LONGEST, LONGEST),
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            crop=False,
            token_limit=int(self._model.max_seq_length or MOST_TOKENS),
            source=(source or str(folder.resolve())) + cut,
        )

    @property
    def spec(self) -> EncoderSpec:
        """What the features need to be reproduced."""
        return self._spec

    def prepare(self, frames: Tensor) -> Tensor:
        """frames (B, 3, h, w) uint8 -> (B, 3, H, W) float32 of 0 to 255, in their own shape and not larger."""
        height, width = frames.shape[-2:]
        scale = min(1.0, LONGEST / max(height, width))
        size = max(1, round(height * scale)), max(1, round(width * scale))
        return resize_images(frames.cpu(), size, crop=False).float()

    def encode_images(self, images: Tensor) -> Tensor:
        """images (B, 3, H, W) as `prepare` gives them -> (B, E) float32 on the CPU, not normalised."""
        from PIL import Image

        pictures = [Image.fromarray(one) for one in images.byte().permute(0, 2, 3, 1).contiguous().numpy()]
        return self._encode(pictures, "document")

    def encode_texts(self, texts: list[str]) -> TextFeatures:
        """Q sentences -> words (Q, 1, E), which are the sentences (Q, E)."""
        sentence = self._encode(texts, "query")
        return TextFeatures(sentence[:, None], torch.ones(len(texts), 1, dtype=torch.bool), sentence.clone())

    def unknown_words(self, text: str) -> list[str]:  # noqa: ARG002
        """None: these models spell out what they have no word for."""
        return []

    def _encode(self, inputs: list[Any], kind: str) -> Tensor:
        if not inputs:
            return torch.zeros(0, self._width)
        with self._lock, torch.inference_mode():
            made = self._model.encode(
                inputs,
                prompt=self._prompts.get(kind, ""),
                batch_size=self._batch_size,
                convert_to_tensor=True,
                show_progress_bar=False,
            )
        return torch.clone(made[:, : self._width].float().cpu())


def check_code(folder: Path) -> None:
    """Raises EncoderError for modules that are not the library's own, or lie elsewhere: prvr runs no other code."""
    path = folder / MODULES
    try:
        modules = [(str(one["type"]), str(one["path"])) for one in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EncoderError(f"{path}: cannot be read ({first_line(error)}); copy it again from the model") from error
    foreign = [kind for kind, _ in modules if not kind.startswith(OURS)]
    if any(Path(place).is_absolute() or ".." in Path(place).parts for _, place in modules):
        raise EncoderError(f"{path}: names places outside of its folder; get the model anew")
    refuse_code(folder)
    if foreign:
        raise EncoderError(f"{folder}: comes with code of its own ({foreign[0]}), and prvr does not run that")


def opened_sentences(folder: Path, device: str, dtype: torch.dtype) -> Any:
    """The model of a folder as the library has it. Raises EncoderError where it cannot be opened."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise EncoderError(f"{folder}: needs the package sentence-transformers; {INSTALL}") from error
    try:
        with from_disk():
            return SentenceTransformer(
                str(folder), device=device, local_files_only=True, model_kwargs={"dtype": dtype}
            ).eval()
    except UNREADABLE as error:
        raise EncoderError(f"{folder}: the model cannot be opened ({first_line(error)}); copy it again") from error
