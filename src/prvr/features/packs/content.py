"""What a pack's files hold, as one short text: caches follow it, and not names or times.

All bytes are read once, about a second a gigabyte. That is remembered as long as every file is the same by size, times
and place on the disk.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from pathlib import Path

from prvr.core.config import fingerprint
from prvr.core.errors import FeatureError
from prvr.core.files import write_whole
from prvr.features.packs.base import FeaturePack

_SETTLED_NS = 2_000_000_000
"""A file that was changed so lately can be changed again without its times telling."""


def content_of(pack: FeaturePack, memory: Path) -> str:
    """The same for the same features under the same keys; `memory` is the file in which it is remembered.

    Raises FeatureError for a file that cannot be read.
    """
    try:
        looks = {str(file): _look(file) for file in pack.files}
        seen = fingerprint(list(looks.items()), length=32)
        known = _known(memory)
        kept = known.get(name := f"{pack.path.resolve()} {pack.name}")
        if kept and kept[0] == seen:
            return kept[1]
        read = [[file.name, _digest(file)] for file in pack.files]
    except OSError as error:
        raise FeatureError(f"{error.filename}: cannot be read ({error.strerror}); get the pack again") from error
    found = fingerprint(read, length=32)
    if max(look[-1] for look in looks.values()) < time.time_ns() - _SETTLED_NS:
        with suppress(OSError):  # a folder that cannot be written: read again next time
            memory.parent.mkdir(parents=True, exist_ok=True)
            write_whole(memory, json.dumps(known | {name: [seen, found]}, indent=1).encode())
    return found


def _look(file: Path) -> list[int]:
    stat = file.stat()
    return [stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _known(memory: Path) -> dict[str, list[str]]:
    try:
        known = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
