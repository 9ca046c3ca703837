"""From what the user called an encoder to the encoder: `world`, a folder, or a name on the Hugging Face hub."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from prvr.core.errors import ConfigError, EncoderError
from prvr.core.types import Encoder
from prvr.encoders.checkpoint import INSTALL, NEEDED, WEIGHTS, first_line, has_tokenizer, weight_files
from prvr.encoders.devices import pick_device, pick_dtype
from prvr.encoders.huggingface import HuggingFaceEncoder

WORLD = "world"
HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
SMALL_FILES = (  # all that is read of a checkpoint beside its weights
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "spiece.model",
)
PREPROCESSING = ("preprocessor_config.json", "processor_config.json")
BRING = f"bring a folder instead: `--encoder FOLDER` holding {NEEDED}"


def load_encoder(name: str, *, device: str = "auto", dtype: str = "auto") -> Encoder:
    """`world` (bundled), a checkpoint folder, or a hub name as `openai/clip-vit-base-patch32`.

    The hub is asked only for what the user names and only when it is not in the local cache. device is auto, cpu, cuda
    or mps; dtype is auto, fp32 or bf16. Raises EncoderError, or ConfigError for the last two.
    """
    where = pick_device(device).name
    precision = pick_dtype(dtype, where)
    if name == WORLD:
        if dtype == "bf16":
            raise ConfigError("--dtype bf16: the world encoder computes in fp32 only; leave the option out")
        from prvr.encoders.world import load_world_encoder

        return load_world_encoder(device=where)
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return HuggingFaceEncoder(folder, device=where, dtype=precision)
    if HUB_NAME.fullmatch(name) and not folder.exists():
        return HuggingFaceEncoder(fetch(name), name=name, source=name, device=where, dtype=precision)
    raise _nothing_there(name, folder)


def fetch(name: str) -> Path:
    """The snapshot folder of a hub name, from the local cache if it is there, else downloaded.

    Raises EncoderError saying what is in the way and how to do without.
    """
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled, RepositoryNotFoundError
        from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # lazily, whichever version it uses
    except ImportError as error:
        raise EncoderError(f"{name}: the Hugging Face hub needs the package transformers; {INSTALL}") from error
    cached = _snapshot_of(try_to_load_from_cache(name, "config.json"))
    if cached and any((cached / file).is_file() for file in PREPROCESSING):
        return cached
    try:
        return _download(name)
    except (OSError, httpx.HTTPError, HFValidationError) as error:
        if cached:  # without its preprocessing file, which not every checkpoint has
            return cached
        if isinstance(error, RepositoryNotFoundError):
            why = "the hub has no such model, or only for those who log in (`hf auth login`); check the name, or "
        elif isinstance(error, OfflineModeIsEnabled):
            why = "neither a folder here nor in the local hub cache, and HF_HUB_OFFLINE is set; "
        elif isinstance(error, httpx.NetworkError | httpx.TimeoutException):
            why = "neither a folder here nor in the local hub cache, and the hub cannot be reached; "
        else:
            why = f"cannot be downloaded ({first_line(error)}); try again, or "
        raise EncoderError(f"{name}: {why}{BRING}") from error


def _snapshot_of(config: object) -> Path | None:
    """The cached snapshot that a config.json lies in, unless something that is needed is missing from it."""
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    try:
        weight_files(folder)
    except EncoderError:
        return None
    return folder if has_tokenizer(folder) else None


def _download(name: str) -> Path:
    """Fetch what is read and nothing else: .bin weights only where there are no safetensors.

    The listing comes first and is asked for once, so that a missing network is noticed at once: the library's own
    loading tries again for half a minute.
    """
    from huggingface_hub import HfApi, snapshot_download

    there = [file.rfilename for file in HfApi().model_info(name, timeout=10).siblings or ()]
    wanted = [*SMALL_FILES]
    for single, index in WEIGHTS:
        if single in there or index in there:
            wanted += [single, index, single.replace(".", "-*-of-*.", 1)]
            break
    return Path(snapshot_download(name, allow_patterns=wanted))


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
    near = difflib.get_close_matches(name.lower(), [WORLD], n=1, cutoff=0.5)
    hint = f"did you mean {WORLD!r}? Otherwise" if near else f"choose {WORLD!r} (bundled), or"
    return EncoderError(f"no encoder {name!r}; {hint} give a folder or a hub name as openai/clip-vit-base-patch32")
