"""Letters in a picture: PP-OCRv6, by rapidocr on onnxruntime, with the networks that came in its package.

Their paths are given to it: without them it would look for some in the network. It knows Latin, Greek, Chinese and
Japanese letters. Pictures are looked at small, since it misses small letters in large pictures.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prvr.core.errors import EncoderError

GLANCE, LOOK = 320, 960  # pixels of the longer side, to see that something is written, and to find all of it
DETECTOR, RECOGNISER = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
NAME = "pp-ocrv6-small"
INSTALL = "install it with `pip install 'prvr[ocr]'`"

Pixels = NDArray[np.uint8]
Corners = NDArray[np.float32]


class ReadLine(NamedTuple):
    """What the model made of one line."""

    text: str
    p: float  # mean over its letters, 0 to 1


class ScreenReader:
    """Two networks: one finds lines, the other reads one."""

    name = NAME

    def __init__(self, *, threads: int = 0) -> None:
        """`threads` of the processor; 0: one a core. Raises EncoderError where rapidocr or its networks are missing."""
        models = models_folder()
        from rapidocr import RapidOCR

        alike = {
            "Global.log_level": "critical",
            "Global.use_cls": False,
            "Global.max_side_len": 1 << 14,
            "EngineConfig.onnxruntime.intra_op_num_threads": threads or -1,
            "Det.model_path": str(models / DETECTOR),
            "Det.limit_type": "max",
            "Det.limit_side_len": LOOK,
            "Rec.model_path": str(models / RECOGNISER),
        }
        # Two of them, for what is said to one in a call stays in it.
        self._detector = RapidOCR(params={**alike, "Global.use_rec": False})
        self._recogniser = RapidOCR(params={**alike, "Global.use_det": False})
        self.revision = _revision(models)

    def find(self, picture: Pixels, side: int = LOOK) -> Corners:
        """picture (h, w, 3) RGB -> the corners of its lines (N, 4, 2), x and y, clockwise from the top left.

        It is looked at with `side` pixels at most on its longer side.
        """
        check_picture(picture)
        small = shrunk(picture, side)
        made: Any = self._detector(np.ascontiguousarray(small[:, :, ::-1]))
        found = made.boxes
        if found is None or not len(found):
            return np.zeros((0, 4, 2), np.float32)
        scale = picture.shape[1] / small.shape[1], picture.shape[0] / small.shape[0]
        return np.asarray(found, np.float32) * np.array(scale, np.float32)

    def read(self, picture: Pixels, corners: Corners) -> ReadLine:
        """The line between some corners (4, 2); it has no text where nothing can be made out."""
        from rapidocr.utils.process_img import get_rotate_crop_image

        check_picture(picture)
        left, top = np.floor(corners.min(0)).astype(int).clip(0)
        right, bottom = np.ceil(corners.max(0)).astype(int) + 1
        part = np.ascontiguousarray(picture[top:bottom, left:right, ::-1])
        made: Any = self._recogniser(get_rotate_crop_image(part, corners - np.array((left, top), np.float32)))
        return ReadLine(made.txts[0].strip(), float(made.scores[0])) if made.txts else ReadLine("", 0.0)


def check_picture(picture: NDArray[Any]) -> None:
    """What is no (h, w, 3) of bytes is refused: the model would say that nothing is written in it."""
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ValueError(f"a picture must be (h, w, 3) uint8, not {picture.shape} {picture.dtype}")


def shrunk(picture: Pixels, side: int) -> Pixels:
    """A picture with `side` pixels at most on its longer side; each is the mean of those that it stands for."""
    import cv2

    height, width = picture.shape[:2]
    if max(height, width) <= side:
        return picture
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small: Any = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def models_folder() -> Path:
    """Where the networks lie that came with rapidocr. Raises EncoderError where they do not."""
    spec = importlib.util.find_spec("rapidocr")
    if spec is None or spec.origin is None or importlib.util.find_spec("onnxruntime") is None:
        raise EncoderError(
            f"reading what is written on the screen needs the packages rapidocr and onnxruntime; {INSTALL}"
        )
    folder = Path(spec.origin).parent / "models"
    for name in (DETECTOR, RECOGNISER):
        if not (folder / name).is_file():
            raise EncoderError(f"rapidocr came without {name}: this prvr reads with version 3.10 of it; {INSTALL}")
    return folder


@cache
def _revision(models: Path) -> str:
    """SHA-256 of both networks."""
    digest = hashlib.sha256()
    for name in (DETECTOR, RECOGNISER):
        digest.update((models / name).read_bytes())
    return digest.hexdigest()
