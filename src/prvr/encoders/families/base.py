"""What a family of checkpoints says of itself; everything else is the same for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from prvr.encoders.images import ImageSettings, normalise_images, resize_images

OPENAI = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}
AS_IS = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


class Words(NamedTuple):
    """A batch of sentences; the last valid row of each stands for all of it."""

    rows: Tensor  # (Q, W, E), anything where not valid
    valid: Tensor  # (Q, W) bool


class Family(ABC):
    """The two towers of a checkpoint in one space.

    `HuggingFaceEncoder` loads the class `library` of `transformers`, sees to pictures, tokens, batches and devices,
    and asks here for what differs.
    """

    library: ClassVar[str]
    tokenizer: ClassVar[str] = ""  # a class of the library, where tokenizer.json alone does not do
    has_end: bool = True  # a sentence has an end token, which truncation keeps
    padded: bool = False  # text is padded to the limit, as in training
    lower_case: bool = False  # sentences are put in lower case before their tokenizer sees them
    spare_tokens: ClassVar[int] = 0  # that the tokenizer may have beyond the model's vocabulary
    may_be_cut: ClassVar[bool] = False  # vectors were trained to be cut to their first columns (Matryoshka)
    adds_row: bool = False  # the sentence is a row of its own, behind those of its tokens

    reads_windows: ClassVar[bool] = False  # of `length` frames, `rate` a second, which `clips` turns into vectors
    usual: ClassVar[Mapping[str, Any]]  # what `ImageSettings` are beside their size, where no file of the folder says

    width: int  # E
    positions: int  # tokens at most
    vocabulary: int
    image_size: tuple[int, int] | None  # height, width; None: any
    images_default: ImageSettings  # where the folder has no preprocessing file
    length: int = 1  # frames of a window
    rate: float = 1.0  # frames a second in it
    before: str = ""  # what stands before every sentence

    def __init__(self, model: Any, folder: Path) -> None:
        """Raises ValueError for a model that cannot be used."""
        self.model, self.folder = model, folder
        text, image = model.config.text_config, model.config.vision_config.image_size
        size = (image, image) if isinstance(image, int) else (int(image[0]), int(image[1]))
        self.positions, self.vocabulary = int(text.max_position_embeddings), int(text.vocab_size)
        self.image_size, self.images_default = size, ImageSettings(size=size, **self.usual)
        self.width = self.width_of(model.config.to_dict())

    @staticmethod
    def width_of(config: Mapping[str, Any]) -> int:
        """E, by config.json alone; that of the tower of pictures, where a family does not say otherwise.

        Raises LookupError, TypeError or ValueError where it does not say.
        """
        return int(config["vision_config"].get("hidden_size", 768))

    def images(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, E); to a family that reads windows a picture is one that stands still."""
        return self.clips(pixels[:, None].expand(-1, self.length, -1, -1, -1))

    def clips(self, pixels: Tensor) -> Tensor:
        """Windows of frames (B, length, 3, H, W) -> (B, E)."""
        raise NotImplementedError(f"{type(self).__name__} reads single frames")

    @abstractmethod
    def words(self, ids: Tensor, valid: Tensor) -> Words:
        """Tokens (Q, W) and which of them are real -> a row for each, in the space of the images."""

    def prepare(self, frames: Tensor, wanted: ImageSettings) -> Tensor:
        """frames (B, 3, h, w) uint8 of any size -> (B, 3, H, W) float32."""
        resized = resize_images(
            frames,
            wanted.size,
            wanted.crop,
            shortest=wanted.shortest,
            squash=wanted.squash,
            interpolation=wanted.interpolation,
        )
        return normalise_images(resized, wanted.mean, wanted.std)


class Pooled(Family):
    """What the tower pools of a picture is its vector."""

    def images(self, pixels: Tensor) -> Tensor:
        return tensor(self.model.vision_model(pixel_values=pixels).pooler_output)


class Projected(Pooled):
    """Projections of one width beside the towers, as CLIP has them."""

    @staticmethod
    def width_of(config: Mapping[str, Any]) -> int:
        return int(config.get("projection_dim", 512))

    def images(self, pixels: Tensor) -> Tensor:
        return tensor(self.model.visual_projection(super().images(pixels)))


def patches_of(pixels: Tensor, patch: int) -> Tensor:
    """pixels (B, 3, H, W), of whole patches -> (B, patches, patch * patch * 3), row by row."""
    rows, columns = pixels.shape[2] // patch, pixels.shape[3] // patch
    cut = pixels.reshape(-1, 3, rows, patch, columns, patch).permute(0, 2, 4, 3, 5, 1)
    return cut.reshape(len(pixels), rows * columns, -1)


def first_row_last(rows: Tensor, valid: Tensor) -> Words:
    """rows (Q, W, E), valid (Q, W) real ones first -> the same, the first row of each moved behind its last."""
    count = valid.sum(dim=1, keepdim=True)  # (Q, 1)
    place = torch.arange(rows.shape[1], device=rows.device) + 1  # (W,)
    place = torch.where(place < count, place, 0)  # (Q, W)
    return Words(rows_at(rows, place), valid)


def own_row_last(rows: Tensor, valid: Tensor, sentence: Tensor) -> Words:
    """rows (Q, W, E), valid (Q, W) real ones first, sentence (Q, E) -> (Q, W + 1, E), it behind the real ones."""
    count = valid.sum(dim=1, keepdim=True)  # (Q, 1)
    place = torch.arange(rows.shape[1] + 1, device=rows.device)  # (W + 1,)
    longer = torch.cat([rows, sentence[:, None]], dim=1)
    return Words(torch.where((place == count)[..., None], sentence[:, None], longer), place <= count)


def mean_last(text: Any, ids: Tensor, valid: Tensor) -> Words:
    """Tokens (Q, W) and which of them are real, through a text tower -> a row for each, and their mean behind them."""
    seen = valid | ~valid.any(dim=1, keepdim=True)  # attention to nothing at all is no number
    hidden = text(input_ids=ids, attention_mask=seen.long()).last_hidden_state
    rows = tensor(hidden).masked_fill(~valid[..., None], 0.0)
    return own_row_last(rows, valid, rows.sum(dim=1) / valid.sum(dim=1, keepdim=True).clamp(min=1))


def rows_at(rows: Tensor, place: Tensor) -> Tensor:
    """rows (Q, W, E), place (Q, W') -> (Q, W', E), in a form that can be exported."""
    return rows.gather(1, place[..., None].expand(-1, -1, rows.shape[2]))


def tensor(value: Any) -> Tensor:
    """What the library promises to be a tensor."""
    assert isinstance(value, Tensor)
    return value
