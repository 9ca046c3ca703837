"""Checkpoint folders of the `transformers` library: what they hold, and opening it safely.

Importing this module is cheap; the library is imported when a folder is opened. Nothing here goes to the network and
nothing runs code of a checkpoint: weights are safetensors, or a .bin that is unpickled as tensors only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import pickle
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from prvr.core.errors import EncoderError
from prvr.core.files import write_whole
from prvr.core.places import models_folder

NEEDED = "config.json, model.safetensors, the tokenizer files and preprocessor_config.json"
WEIGHTS = (  # in the order in which they are preferred: one file, or an index of several
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
TOKENIZERS = (  # any one of them will do
    ("tokenizer.json",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
    ("tokenizer.model",),
)
CARD = "prvr.json"  # what a folder says about itself
GRAPHS = ("image.onnx", "text.onnx")  # of a folder that onnxruntime reads
HASHES, MOST_HASHES = "hashes.json", 200  # of weights that were read before
SETTLED_S = 2.0  # after which a file that did not change can be told by its times
INSTALL = "install it with `pip install 'prvr[hf]'`"
UNREADABLE = (  # what transformers raises for files that are damaged or do not fit; it has no base class of its own
    OSError,
    ValueError,
    RuntimeError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    ImportError,  # of a package that a quantised checkpoint needs
    pickle.UnpicklingError,
    SafetensorError,
)


def weight_files(folder: Path) -> list[Path]:
    """The files that the weights are read from, safetensors before .bin. Raises EncoderError where one is missing."""
    for single, index in WEIGHTS:
        if (folder / single).is_file():
            return [folder / single]
        if (folder / index).is_file():
            shards = read_json(folder / index, folder).get("weight_map")
            if not isinstance(shards, dict) or not shards:
                raise EncoderError(f"{folder / index}: names no weight files; copy it again from the checkpoint")
            files = [folder / name for name in sorted(set(map(str, shards.values())))]
            for file in files:
                if file.parent != folder:
                    raise EncoderError(
                        f"{folder / index}: names weights outside of its folder; get the checkpoint anew"
                    )
                if not file.is_file():
                    raise EncoderError(f"{file}: is missing, though {index} names it; copy it from the checkpoint")
            return files
    raise EncoderError(f"{folder}: holds no weights; a folder must hold {NEEDED}")


def hash_files(files: Sequence[Path]) -> str:
    """SHA-256 over the contents of the files one after the other.

    They are read once, and again when the size, a time or the inode of one of them is another; what was found is kept
    with the user's models. Files that changed a moment ago are not remembered: they may change again within the tick.
    """
    stats = [path.stat() for path in files]
    key = " ".join(f"{s.st_dev}:{s.st_ino}:{s.st_size}:{s.st_mtime_ns}:{s.st_ctime_ns}" for s in stats)
    place = models_folder() / HASHES
    known = _hashes(place)
    if key in known:
        return known[key]
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    found = digest.hexdigest()
    if time.time() - max(s.st_ctime for s in stats) > SETTLED_S:
        kept = {**dict(list(known.items())[1 - MOST_HASHES :]), key: found}
        with suppress(OSError):  # then it is read again the next time
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(place, json.dumps(kept, indent=1).encode())
    return found


def _hashes(place: Path) -> dict[str, str]:
    """What is remembered of files, by what they looked like."""
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
        return {str(key): str(value) for key, value in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def load_model(folder: Path, name: str, dtype: torch.dtype, *, safe: bool) -> Any:
    """The model of class `name` in evaluation mode on the CPU; `safe` says which of both weight formats to read.

    Raises EncoderError unless every tensor is there.
    """
    refuse_code(folder)
    library = import_transformers(name)
    from huggingface_hub.errors import StrictDataclassError

    try:
        with from_disk():
            model, report = getattr(library, name).from_pretrained(
                folder,
                dtype=dtype,  # else the precision that the file happens to be stored in
                local_files_only=True,
                use_safetensors=safe,
                weights_only=True,
                output_loading_info=True,
            )
        lacking = sorted(report["missing_keys"])
        if lacking:  # they would be filled with random numbers
            raise ValueError(f"{len(lacking)} tensors are not there, such as {lacking[0]}")
    except (*UNREADABLE, StrictDataclassError) as error:
        raise EncoderError(
            f"{folder}: the weights cannot be loaded ({first_line(error)}); "
            f"copy the checkpoint again: a folder must hold {NEEDED}"
        ) from error
    return model.eval()


def load_tokenizer(folder: Path, own: str) -> Any:
    """A family's `own` class, as CLIP's, which also reads vocab.json + merges.txt; else what tokenizer.json says.

    Other classes need sentencepiece, as SigLIP's, and are asked only where there is no tokenizer.json.
    """
    if not has_tokenizer(folder):
        wanted = " or ".join(" + ".join(names) for names in TOKENIZERS)
        raise EncoderError(f"{folder}: holds no tokenizer ({wanted}); copy it from the checkpoint")
    if own and tokenizer_class(folder) in ("", own):
        name = own
    elif (folder / "tokenizer.json").is_file():
        name = "PreTrainedTokenizerFast"
    elif (folder / "vocab.txt").is_file():
        name = "BertTokenizer"
    else:
        name = "AutoTokenizer"
    library = import_transformers(name)
    try:
        with from_disk():
            return getattr(library, name).from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except UNREADABLE as error:
        hint = "copy tokenizer.json from the checkpoint"
        if any(folder.glob("*.model")):
            hint += ", or `pip install sentencepiece protobuf`"
        raise EncoderError(f"{folder}: the tokenizer cannot be loaded ({first_line(error)}); {hint}") from error


def import_transformers(name: str) -> Any:
    """The library, once the class `name` has been imported from it. Raises EncoderError saying what to (un)install."""
    try:
        import transformers

        getattr(transformers, name)
    except ImportError as error:
        if error.name == "transformers":
            raise EncoderError(f"Hugging Face encoders need the package transformers; {INSTALL}") from error
        cause = first_line(error.__cause__ or error)
        if importlib.util.find_spec("torchvision"):
            raise EncoderError(
                f"transformers does not load here ({cause}): the torchvision that is installed belongs to another "
                f"torch than {torch.__version__}; run `pip uninstall torchvision`, prvr does not need it"
            ) from error
        raise EncoderError(f"transformers does not load here ({cause}); {INSTALL}") from error
    return transformers


@contextmanager
def from_disk() -> Iterator[None]:
    """Inside, transformers asks no hub, whatever a folder says, draws no progress bars and reports only errors."""
    from huggingface_hub import constants
    from transformers.utils import logging

    verbosity, bars, offline = logging.get_verbosity(), logging.is_progress_bar_enabled(), constants.HF_HUB_OFFLINE
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def refuse_code(folder: Path) -> None:
    """Raises EncoderError where a checkpoint's settings name code that a library would fetch and run.

    Such are kernels of the hub: `"attn_implementation": "kernels-community/flash-attn3"`.
    """
    for path in sorted(folder.rglob("*.json")):
        if "config" not in path.name:
            continue
        values = None
        with suppress(OSError, ValueError, RecursionError):  # what no library can read names nothing
            values = json.loads(path.read_bytes())
        if found := _code_in(values):
            raise EncoderError(
                f"{path}: names code of the hub ({found}), and prvr does not run that; take the line out, or choose "
                "another checkpoint"
            )


def _code_in(values: object) -> str:
    """The first kernel of the hub that settings name, and its key; empty where there is none."""
    if isinstance(values, list):
        return next(filter(None, map(_code_in, values)), "")
    for key, value in values.items() if isinstance(values, dict) else ():
        if key.endswith("_implementation") and any("/" in str(one) for one in _texts(value)):
            return f"{key}: {value!r}"
        if key in ("use_kernels", "allow_all_kernels") and value:
            return str(key)
        if found := _code_in(value):
            return found
    return ""


def _texts(value: object) -> list[object]:
    return list(value.values()) if isinstance(value, dict) else [value]


def is_onnx(folder: Path) -> bool:
    """Whether a folder holds ONNX graphs."""
    return any((folder / name).is_file() for name in GRAPHS)


def has_tokenizer(folder: Path) -> bool:
    """Whether some form of tokenizer is there as a whole."""
    return any(all((folder / name).is_file() for name in names) for names in TOKENIZERS)


def tokenizer_class(folder: Path) -> str:
    """The class that tokenizer_config.json names, without its `Fast`; empty where it names none."""
    path = folder / "tokenizer_config.json"
    found = read_json(path, folder).get("tokenizer_class") if path.is_file() else None
    return str(found or "").removesuffix("Fast")


def first_line(error: BaseException) -> str:
    """What an error says, short enough to stand inside a message of ours."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def read_json(path: Path, folder: Path) -> dict[str, Any]:
    """The object in a file of a checkpoint folder. Raises EncoderError when it is not there or not one."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EncoderError(f"{folder}: holds no {path.name}; a folder must hold {NEEDED}") from error
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path}: cannot be read ({error}); copy it again from the checkpoint") from error
    if not isinstance(values, dict):
        raise EncoderError(f"{path}: is not a JSON object; copy it again from the checkpoint")
    return values
