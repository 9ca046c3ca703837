"""The Hugging Face hub: asked only for what the user names.

`fetch` serves `--encoder NAME` from the hub's own cache; `listing` and `download` bring a model into a folder of ours,
stopped and gone on at any byte, and compare every file with the checksum that the hub gives for it. (The hub's client
takes its part of a file away when it is interrupted, so that it cannot go on.)
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple, Self

from prvr.core.errors import DownloadStopped, EncoderError
from prvr.encoders.checkpoint import (
    GRAPHS,
    INSTALL,
    NEEDED,
    TOKENIZERS,
    WEIGHTS,
    first_line,
    has_tokenizer,
    weight_files,
)
from prvr.encoders.images import PREPROCESSING

HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
SMALL_FILES = (  # all that is read of a checkpoint beside its weights
    "config.json",
    *PREPROCESSING,
    *(name for names in TOKENIZERS for name in names),
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config_sentence_transformers.json",
    *GRAPHS,
)
BRING = f"bring a folder instead: `--encoder FOLDER` holding {NEEDED}"
CARRY = (
    "carry it: `prvr models get NAME --to FOLDER` on a connected machine, then here `prvr models import FOLDER/NAME`"
)
PIECE = 1 << 20  # bytes
HEARING = "model.bin"  # weights in the form of CTranslate2, which models of speech have
HEARING_FILES = (HEARING, "config.json", "tokenizer.json", "preprocessor_config.json", "vocabulary.*")
PART = ".part"


class RemoteFile(NamedTuple):
    """A file as the hub lists it."""

    name: str
    size: int  # bytes
    digest: str  # SHA-256 of a large file, else the SHA-1 that git names it by


class Listing(NamedTuple):
    """What of a model is read, at one commit."""

    source: str  # hub name
    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.size for file in self.files)


def fetch(name: str) -> Path:
    """The snapshot folder of a hub name, from the local cache if it is there, else downloaded.

    Raises EncoderError saying what is in the way and how to do without.
    """
    _client(name)
    cached = cached_snapshot(name)
    if cached and any((cached / file).is_file() for file in PREPROCESSING):
        return cached
    try:
        return _snapshot(name)
    except EncoderError:
        if cached:  # without its preprocessing file, which not every checkpoint has
            return cached
        raise


def cached_snapshot(name: str) -> Path | None:
    """The snapshot of a hub name in the hub's own cache, unless something that is needed is missing from it."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(name, "config.json")
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    try:
        weight_files(folder)
    except EncoderError:
        return None
    return folder if has_tokenizer(folder) else None


def listing(name: str) -> Listing:
    """What the hub has of a model that would be read, with sizes and checksums. Raises EncoderError."""
    hub = _client(name)
    with _Explained(name, carry=True):
        info = hub.HfApi().model_info(name, files_metadata=True, timeout=10)
        found = [_remote(one) for one in info.siblings or ()]
        wanted = needed([file.name for file in found])
        return Listing(name, str(info.sha), tuple(file for file in found if file.name in wanted))


def needed(there: Sequence[str]) -> list[str]:
    """Of the files of a checkpoint those that are read: .bin weights only where there are no safetensors."""
    patterns = [*SMALL_FILES]
    if HEARING in there:
        patterns = [*HEARING_FILES]
    for single, index in WEIGHTS:
        if single in there or index in there:
            patterns += [single, index, single.replace(".", "-*-of-*.", 1)]
            break
    return [name for name in there if "/" not in name and any(fnmatch(name, pattern) for pattern in patterns)]


def download(
    wanted: Listing,
    folder: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Every file of a listing into `folder`; what an earlier call brought is kept and compared, a part goes on.

    `progress` is told bytes done and bytes in all; a `cancelled` that says True ends it soon. Raises DownloadStopped
    then, EncoderError when the hub cannot be reached or sends something else than it listed, OSError from the disk.
    """
    meter = _Meter(wanted, progress, cancelled)
    for file in wanted.files:
        path = folder / file.name
        if not (path.is_file() and digest(path, file) == file.digest):
            _bring(wanted, file, folder / f"{file.digest}{PART}", meter)
            (folder / f"{file.digest}{PART}").replace(path)
        meter.finished(file)
    for left in set(folder.iterdir()) - {folder / file.name for file in wanted.files}:  # of another commit
        if left.name != ".lock":
            left.unlink()


def _bring(wanted: Listing, file: RemoteFile, part: Path, meter: _Meter) -> None:
    """One file as a whole and right, in `part`."""
    hub = _client(wanted.source)
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    with part.open("ab") as out, _Explained(wanted.source, meter):
        if out.tell() > file.size:
            out.truncate(0)
        start = out.seek(0, 2)
        meter.start(start)
        http_get(
            hub.hf_hub_url(wanted.source, file.name, revision=wanted.commit),
            out,
            resume_size=start,
            headers={**build_hf_headers(), "Accept-Encoding": "identity"},
            expected_size=file.size,
            displayed_filename=file.name,
            tqdm_class=meter.bar(),
        )
    if digest(part, file) != file.digest:
        part.unlink()
        raise EncoderError(
            f"{wanted.source}: {file.name} is not what the hub lists (its checksum differs), so it was thrown away; "
            "run the command again, and if it stays so, look at the proxy or the mirror in between"
        )


class _Meter:
    """How many bytes there are, told to whoever watches, and whether to go on."""

    def __init__(
        self, wanted: Listing, progress: Callable[[int, int], None] | None, cancelled: Callable[[], bool] | None
    ) -> None:
        self._wanted, self._progress, self._cancelled = wanted, progress, cancelled
        self._whole = self._part = 0

    @property
    def kept(self) -> str:
        """What is there, for people."""
        return f"{(self._whole + self._part) / 1e6:,.1f} of {self._wanted.size / 1e6:,.1f} MB are kept"

    def start(self, size: int) -> None:
        """A file of which `size` bytes are there."""
        self._part = size
        self._tell()

    def more(self, size: int) -> None:
        """So many bytes came. Raises DownloadStopped when nobody wants more of them."""
        self._part += size
        self._tell()

    def finished(self, file: RemoteFile) -> None:
        """A file is whole."""
        self._whole, self._part = self._whole + file.size, 0
        self._tell()

    def bar(self) -> Any:
        """A class that the hub's client takes for a progress bar."""
        meter = self

        class Bar(AbstractContextManager["Bar"]):
            def __init__(self, **_options: object) -> None: ...

            def update(self, size: int) -> None:
                meter.more(size)

            def __enter__(self) -> Self:
                return self

            def __exit__(self, *_error: object) -> None: ...

        return Bar

    def _tell(self) -> None:
        if self._progress:
            self._progress(self._whole + self._part, self._wanted.size)
        if self._cancelled and self._cancelled():
            raise DownloadStopped(
                f"{self._wanted.source}: stopped; {self.kept}, and the same command goes on from there"
            )


class _Explained(AbstractContextManager["_Explained"]):
    """Inside, whatever the hub's client raises becomes one line of ours."""

    def __init__(self, name: str, meter: _Meter | None = None, *, carry: bool = False) -> None:
        self._name, self._meter, self._hint = name, meter, CARRY if meter or carry else BRING

    def __enter__(self) -> Self:
        from huggingface_hub.utils.logging import get_verbosity, set_verbosity

        self._verbosity = get_verbosity()
        set_verbosity(logging.ERROR)  # it tries again by itself, and says so in many lines
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from huggingface_hub.utils.logging import set_verbosity

        set_verbosity(self._verbosity)
        from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled, RepositoryNotFoundError
        from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # lazily, whichever version it uses

        if isinstance(error, RepositoryNotFoundError):
            why = "the hub has no such model, or only for those who log in (`hf auth login`); check the name, or "
        elif isinstance(error, OfflineModeIsEnabled):
            why = "not on this machine, and HF_HUB_OFFLINE is set; "
        elif isinstance(error, httpx.NetworkError | httpx.TimeoutException | httpx.RemoteProtocolError):
            why = "not on this machine, and the hub cannot be reached; "
            if self._meter:
                why = f"the hub cannot be reached any longer; {self._meter.kept}: run the command again to go on, or "
        elif isinstance(error, OSError | httpx.HTTPError | HFValidationError) and not (self._meter and _of_disk(error)):
            why = f"cannot be downloaded ({first_line(error)}); try again, or "
        else:
            return
        raise EncoderError(f"{self._name}: {why}{self._hint}") from error


def _of_disk(error: BaseException) -> bool:
    """Whether the machine refused and not the network; errors of the client have no number."""
    return isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError)


def _snapshot(name: str) -> Path:
    """Fetch what is read and nothing else, into the hub's cache.

    The listing comes first and is asked for once, so that a missing network is noticed at once: the library's own
    loading tries again for half a minute.
    """
    hub = _client(name)
    with _Explained(name):
        there = [file.rfilename for file in hub.HfApi().model_info(name, timeout=10).siblings or ()]
        return Path(hub.snapshot_download(name, allow_patterns=needed(there)))


def _client(name: str) -> Any:
    """The hub's client. Raises EncoderError where it is not installed."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise EncoderError(f"{name}: the Hugging Face hub needs the package transformers; {INSTALL}") from error
    return huggingface_hub


def _remote(sibling: Any) -> RemoteFile:
    large = sibling.lfs
    return RemoteFile(sibling.rfilename, int(sibling.size or 0), str(large.sha256 if large else sibling.blob_id))


def digest(path: Path, file: RemoteFile) -> str:
    """The checksum of a file on the disk, of the kind that is listed; empty where its size differs."""
    size = path.stat().st_size
    if size != file.size:
        return ""
    git = len(file.digest) == 40  # git names a blob by what it holds and how long it is
    made = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False) if git else hashlib.sha256()
    with path.open("rb") as content:
        while piece := content.read(PIECE):
            made.update(piece)
    return made.hexdigest()
