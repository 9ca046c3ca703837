"""Encoders as ONNX graphs: a folder that onnxruntime reads, and making one from any encoder whose towers are open.

A folder holds `prvr.json`, `image.onnx`, `text.onnx` and `tokenizer.json`. The graph of pictures turns `images`
(B, 3, H, W) float32 into (B, E), windows (B, L, 3, H, W) where `clips` says so. That of sentences turns `ids` (Q, W)
int64 and `valid` (Q, W) bool into rows (Q, W', E) and which of them are real (Q, W') bool, the last real row of each
being the sentence; one that gives (Q, E) alone will do, a sentence being one row then, and so will one without `valid`.
What `prvr.json` says under "onnx" is `OnnxLayout`.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prvr.core.clips import ClipSpec
from prvr.core.config import from_dict, to_dict
from prvr.core.errors import ConfigError, EncoderError
from prvr.core.files import write_whole
from prvr.core.types import EncoderSpec
from prvr.encoders.checkpoint import CARD, GRAPHS, first_line, hash_files, read_json
from prvr.encoders.families.base import Family, Words
from prvr.encoders.huggingface import HuggingFaceEncoder
from prvr.encoders.images import ImageSettings
from prvr.encoders.towers import TowerEncoder

TOKENIZER = "tokenizer.json"
IMAGE, TEXT = GRAPHS
FILES = (CARD, IMAGE, TEXT, TOKENIZER)
INSTALL = "install it with `pip install 'prvr[onnx]'`"
NEAR = 1e-4  # how far a graph may be from what it was made of, in lengths of a vector
PROBES = ["a", "two people dance at a wedding while it rains", "собака", "狗", "word " * 500]


@dataclass(frozen=True, kw_only=True)
class OnnxLayout:
    """What cannot be read from the graphs."""

    width: int  # E
    images: ImageSettings
    token_limit: int  # tokens of a sentence at most, the end token included
    vocabulary: int  # tokens that the graph knows
    end: int | None = None  # the token that ends a sentence; None: there is none
    pad: int = 0  # the token that fills up
    padded: bool = False  # sentences are filled up to the limit, as in training
    adds_row: bool = False  # the sentence is a row of its own behind those of its tokens
    lower_case: bool = False
    strip: bool = False  # punctuation is left out
    clips: ClipSpec | None = None  # of a graph that reads windows


class OnnxEncoder(TowerEncoder):
    """The graphs of a folder as a frozen encoder, in the precision that they were made in."""

    def __init__(self, folder: Path, *, name: str | None = None, source: str | None = None) -> None:
        """Raises EncoderError for a folder that is not whole, or a graph that cannot be read."""
        layout = layout_of(folder)
        tokens = _JsonTokens(folder, layout)
        super().__init__(
            _Graphs(folder, layout),
            tokens,
            layout.images,
            EncoderSpec(
                name=name or folder.resolve().name,
                revision=hash_files([folder / IMAGE, folder / TEXT]),
                width=layout.width,
                image_size=layout.images.size,
                mean=layout.images.mean,
                std=layout.images.std,
                crop=layout.images.crop,
                token_limit=layout.token_limit + layout.adds_row,
                source=source or str(folder.resolve()),
                clips=layout.clips,
            ),
            strip=layout.strip,
        )


def layout_of(folder: Path) -> OnnxLayout:
    """What a folder says of its graphs. Raises EncoderError where a file is missing or cannot be used."""
    for name in FILES:
        if not (folder / name).is_file():
            raise EncoderError(f"{folder}: holds no {name}; a folder of ONNX graphs must hold {', '.join(FILES)}")
    try:
        return from_dict(OnnxLayout, read_json(folder / CARD, folder)["onnx"])
    except (KeyError, TypeError, ConfigError) as error:
        raise EncoderError(
            f"{folder / CARD}: does not say what the graphs want ({first_line(error)}); see `prvr models export`"
        ) from error


def export_folder(encoder: HuggingFaceEncoder, folder: Path) -> float:
    """The graphs of an open checkpoint into a new folder, whole or not at all; -> how far their vectors are off.

    The distance is the largest between both forms over pictures and sentences of several lengths, in lengths of a
    vector. Raises EncoderError where the folder is there, a tower cannot be made a graph, or values differ.
    """
    if folder.exists():
        raise EncoderError(f"{folder}: is there already; give a folder that is not")
    tower, spec = encoder.tower, encoder.spec
    layout = OnnxLayout(
        width=spec.width,
        images=encoder.images,
        token_limit=spec.token_limit - tower.adds_row,
        vocabulary=tower.vocabulary,
        end=encoder.end,
        pad=encoder.filler,
        padded=tower.padded,
        adds_row=tower.adds_row,
        lower_case=tower.lower_case,
        strip=encoder.strips,
        clips=spec.clips,
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        shape = [1, *([tower.length] if spec.clips else []), 3, *spec.image_size]
        _export(_Image(tower), (torch.zeros(shape),), part / IMAGE, {"images": [0]}, ["vectors"])
        words = layout.token_limit if tower.padded else min(7, layout.token_limit)
        probe = torch.full((2, words), layout.pad), torch.arange(words) < torch.tensor([[words], [words - 2]])
        across = {"ids": [0] if tower.padded else [0, 1], "valid": [0] if tower.padded else [0, 1]}
        _export(_Text(tower), probe, part / TEXT, across, ["rows", "real"])
        encoder.save_tokenizer(part / TOKENIZER)
        write_whole(part / CARD, json.dumps({"onnx": to_dict(layout)}, indent=1).encode())
        off = _distance(encoder, OnnxEncoder(part))
        if off > NEAR:
            raise EncoderError(f"{folder}: the graphs' vectors are off by {off:.1e}; this model cannot be exported")
        part.rename(folder)
    except OSError as error:
        raise EncoderError(f"{folder}: cannot be written ({error.strerror or error}); give another folder") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return off


class _Graphs(Family):
    """Both graphs where a checkpoint has towers."""

    def __init__(self, folder: Path, layout: OnnxLayout) -> None:
        self._image, self._text = _session(folder / IMAGE), _session(folder / TEXT)
        self.width, self.positions, self.vocabulary = layout.width, layout.token_limit, layout.vocabulary
        self.length = layout.clips.length if layout.clips else 1
        self.has_end, self.padded = layout.end is not None, layout.padded
        self.adds_row, self.lower_case = layout.adds_row, layout.lower_case

    def images(self, pixels: Tensor) -> Tensor:
        return super().images(pixels) if self.length > 1 else self.clips(pixels)

    def clips(self, pixels: Tensor) -> Tensor:
        return torch.from_numpy(_run(self._image, pixels)[0]).flatten(1)

    def words(self, ids: Tensor, valid: Tensor) -> Words:
        rows, *real = (torch.from_numpy(one) for one in _run(self._text, ids, valid))
        if rows.ndim == 2:  # the sentence alone
            return Words(rows[:, None], torch.ones(len(rows), 1, dtype=torch.bool))
        return Words(rows, real[0].bool())


class _JsonTokens:
    """A tokenizer.json, read by the package tokenizers alone."""

    def __init__(self, folder: Path, layout: OnnxLayout) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        except Exception as error:  # the package raises nothing narrower
            raise EncoderError(f"{folder / TOKENIZER}: cannot be read ({first_line(error)}); copy it again") from error
        self.pad: int | None = layout.pad
        self.end = layout.end
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        found = None if unknown is None else self._tokenizer.token_to_id(unknown)
        self.unknown = None if found == layout.end else found
        self._tokenizer.no_padding()

    def ids(self, texts: list[str], *, most: int | None = None) -> list[list[int]]:
        self._tokenizer.no_truncation()
        if most is not None:
            self._tokenizer.enable_truncation(most)
        found = self._tokenizer.encode_batch(texts, add_special_tokens=most is not None)
        return [one.ids for one in found]


class _Image(nn.Module):
    def __init__(self, tower: Family) -> None:
        super().__init__()
        self.tower, self.model = tower, tower.model

    def forward(self, images: Tensor) -> Tensor:
        return self.tower.clips(images) if self.tower.reads_windows else self.tower.images(images)


class _Text(nn.Module):
    def __init__(self, tower: Family) -> None:
        super().__init__()
        self.tower, self.model = tower, tower.model

    def forward(self, ids: Tensor, valid: Tensor) -> Words:
        return self.tower.words(ids, valid)


def _export(
    tower: nn.Module, probe: tuple[Tensor, ...], to: Path, across: dict[str, list[int]], out: list[str]
) -> None:
    """A tower as a graph; `across` names the axes of each input that may be of any length."""
    if importlib.util.find_spec("onnx") is None:
        raise EncoderError(f"making ONNX graphs needs the package onnx; {INSTALL}")
    axes = {name: {axis: f"{name}{axis}" for axis in found} for name, found in across.items()}
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # of the tracer, about branches that the probe does not take
            torch.onnx.export(
                tower.eval(),
                probe,
                str(to),
                dynamo=False,  # the newer way needs three more packages, and more than a minute for a tower
                input_names=list(across),
                output_names=out,
                dynamic_axes=axes,
                opset_version=18,
            )
    except Exception as error:  # whatever a model's own code raises while it is traced
        raise EncoderError(f"{to.name}: this model cannot be made an ONNX graph ({first_line(error)})") from error


def _distance(one: TowerEncoder, other: TowerEncoder) -> float:
    """The largest distance of what two encoders make of the same pictures and sentences, in lengths of a vector."""
    images = one.prepare(torch.randint(0, 256, (3, 3, 120, 160), dtype=torch.uint8))
    made, texts = (
        (one.encode_images(images), other.encode_images(images)),
        [e.encode_texts(PROBES) for e in (one, other)],
    )
    pairs = [made, (texts[0].sentence, texts[1].sentence), (texts[0].words[:, :1], texts[1].words[:, :1])]
    return max(float(((a - b).norm(dim=-1) / a.norm(dim=-1).clamp(min=1e-6)).max()) for a, b in pairs)


def _session(path: Path) -> Any:
    """A graph ready to run, on one thread: videos are read side by side, one a core."""
    try:
        import onnxruntime
    except ImportError as error:
        raise EncoderError(f"ONNX folders need the package onnxruntime; {INSTALL}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the package's errors have no base class that it names
        raise EncoderError(f"{path}: cannot be read as an ONNX graph ({first_line(error)}); copy it again") from error


def _run(session: Any, *inputs: Tensor) -> list[Any]:
    """What a graph gives for as many inputs as it takes, in their order."""
    names = [one.name for one in session.get_inputs()]
    found: list[Any] = session.run(None, {name: one.numpy() for name, one in zip(names, inputs, strict=False)})
    return found
