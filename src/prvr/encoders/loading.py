"""From what the user called an encoder to the encoder: a short name, a folder, or a name on the Hugging Face hub."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import torch

from prvr.core.errors import ConfigError, EncoderError
from prvr.core.places import expanded
from prvr.core.types import Encoder
from prvr.encoders import catalogue
from prvr.encoders.catalogue import THINGS, WORLD
from prvr.encoders.checkpoint import NEEDED, is_onnx
from prvr.encoders.devices import pick_device, pick_dtype
from prvr.encoders.families import is_sentences
from prvr.encoders.hub import HUB_NAME, cached_snapshot, fetch
from prvr.encoders.huggingface import HuggingFaceEncoder
from prvr.encoders.pair import AND, EncoderPair

CUT = re.compile(r"(.+)@(\d+)")  # a folder, and how many columns of its vectors are kept


def load_encoder(name: str, *, device: str = "auto", dtype: str = "auto", fetching: bool = True) -> Encoder:
    """A short name of the catalogue, a checkpoint folder, or a hub name as `openai/clip-vit-base-patch32`.

    `A + B` is a frame encoder and a clip encoder as one, see `pair.EncoderPair`.
    The hub is asked only for what the user names by its hub name, and only when it is not on this machine: `fetching`
    is False where a folder said the name. device is auto, cpu, cuda or mps; dtype is auto, fp32 or bf16. Raises
    EncoderError, or ConfigError for the last two.
    """
    where = pick_device(device).name
    precision = pick_dtype(dtype, where)
    if name in (WORLD, THINGS):
        if dtype == "bf16":
            raise ConfigError(f"--dtype bf16: the {name} encoder computes in fp32 only; leave the option out")
        if name == THINGS:
            from prvr.encoders.things import load_things_encoder

            return load_things_encoder(device=where)
        from prvr.encoders.world import load_world_encoder

        return load_world_encoder(device=where)
    folder = expanded(name)
    if (model := catalogue.find(name)) and not folder.is_dir():
        catalogue.check_sees(model)
    one, _, other = name.partition(AND)
    if one and other and not folder.is_dir():
        return EncoderPair(
            *(load_encoder(part, device=device, dtype=dtype, fetching=fetching) for part in (one, other))
        )
    cut = CUT.fullmatch(name)
    if cut and expanded(cut[1]).is_dir() and not folder.is_dir():
        return _opened(expanded(cut[1]), None, where, precision, int(cut[2]))
    if name and folder.is_dir():
        return _opened(folder, None, where, precision)
    here = catalogue.on_disk(name)
    if here is None and HUB_NAME.fullmatch(name) and not folder.exists():
        here = fetch(name) if fetching else cached_snapshot(name)
        if here is None:
            raise catalogue.unfetched(name, "--encoder")
    if here is None:
        raise _nothing_there(name, folder)
    return _opened(here, name, where, precision)


def _opened(folder: Path, name: str | None, device: str, dtype: torch.dtype, width: int | None = None) -> Encoder:
    """The encoder of a folder, whichever kind it is, its vectors cut to a width if that is given."""
    if is_sentences(folder):
        from prvr.encoders.sentences import SentencesEncoder

        return SentencesEncoder(folder, name=name, source=name, device=device, dtype=dtype, width=width)
    if not is_onnx(folder):
        return HuggingFaceEncoder(folder, name=name, source=name, device=device, dtype=dtype, width=width)
    if width is not None:
        raise ConfigError(f"{folder}@{width}: the graphs of an ONNX folder have a width of their own; give the folder")
    if dtype != torch.float32:
        raise ConfigError("--dtype: the graphs of an ONNX folder have a precision of their own; leave the option out")
    from prvr.encoders.onnx import OnnxEncoder

    return OnnxEncoder(folder, name=name, source=name)


def _nothing_there(name: str, folder: Path) -> EncoderError:
    """What to say of a name that is neither bundled, nor a folder, nor the shape of a hub name."""
    if name and folder.exists():
        return EncoderError(f"{name}: is a file; give the folder that holds {NEEDED}")
    if name.startswith((".", "~")) or "/" in name or "\\" in name:
        try:
            siblings = [path.name for path in folder.parent.iterdir() if path.is_dir()]
        except OSError:
            siblings = []
        near = difflib.get_close_matches(folder.name, siblings, n=1)
        hint = f"did you mean {str(folder.parent / near[0])!r}?" if near else f"give one that holds {NEEDED}"
        return EncoderError(f"{name}: no such folder; {hint}")
    if model := catalogue.find(name):
        return EncoderError(catalogue.missing(model))
    return EncoderError(catalogue.nobody(name))
