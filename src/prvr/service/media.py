"""The files behind the videos of the index: whether browsers play them, pictures of them, proxies, subtitles.

Files are only ever those that the index names. Everything that reads one happens in a process beside this, which a file
may kill, few at a time; what is asked for twice at the same time is made once, and what nobody waits for any more is
not begun.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import stat
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from prvr.core.errors import VideoError
from prvr.core.files import appending, there
from prvr.search.spoken import Spoken
from prvr.service.cache import Cache
from prvr.service.taking_over import room_for_serving
from prvr.video.apart import ask
from prvr.video.probe import probe
from prvr.video.source import EBML, shown
from prvr.video.thumbnail import thumbnail

VideoState = Literal["playable", "needs_proxy", "proxy", "missing", "unreadable", "features_only", "unknown"]
PROXY_HEIGHT = 480
READING = 2  # how files are read and painted; what an earlier way made is not looked at again
PLAYED = ("", "video/mp4", "video/webm")  # what a file may be sent as; whatever a list says
TAG = 10  # letters of a file's key in a URL
SHARE = 4  # a copy of a whole file may take one part in so many of the cache


class Known(NamedTuple):
    """What opening a file showed."""

    playable: bool  # by browsers, as it is
    type: str  # of its content, where it is playable
    width: int | None = None
    height: int | None = None
    codec: str | None = None
    problem: str = ""  # why it cannot be read
    container: str = ""
    copyable: bool = False  # its pictures, into an MP4 that browsers play
    notes: Sequence[str] = ()  # what is odd about it


class Mark(NamedTuple):
    """A file as it lay there at one moment; another one as soon as it is changed."""

    path: str
    size: int
    mtime_ns: int

    @property
    def key(self) -> str:
        """A short name for it, fit for a file and a URL."""
        text = f"{self.path}\0{self.size}\0{self.mtime_ns}\0{READING}"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@dataclass
class _Making:
    """Something that is being made, and how many wait for it."""

    future: Future[Any]
    waiting: int


class Media:
    """What is known of the files, and what was made of them."""

    def __init__(self, folder: Path, *, cache_bytes: int = 5_000_000_000, threads: int = 2) -> None:
        self.cache = Cache(folder / "serve", limit=cache_bytes)
        self.largest_copy = cache_bytes // SHARE
        self._list = folder / "serve" / "probes.jsonl"
        self._painters = ThreadPoolExecutor(threads, thread_name_prefix="prvr-thumbs")
        self._prober = ThreadPoolExecutor(1, thread_name_prefix="prvr-probe")
        self._lock = threading.RLock()  # reentrant: what ends at once is told at once
        self._known: dict[str, tuple[Mark, Known]] = _recalled(self._list)
        self._making: dict[object, _Making] = {}
        self.spoken = Spoken(folder / "features")

    def glance(self, file: Path | None) -> tuple[VideoState, str]:
        """What can be done with a video, and the `tag` of its pictures, by one look at the disk; nothing is opened.

        `unknown` until it was opened, which is then begun.
        """
        if file is None:
            return "features_only", ""
        mark = mark_of(file)
        if mark is None:
            return ("unreadable" if there(file) else "missing"), ""
        known = self._recall(mark)
        if known is None:
            self._probe(mark)
        return ("unknown" if known is None else self._state_of(mark, known)), _tag(mark)

    def shape(self, file: Path | None) -> Known | None:
        """What is known of a file by now; nothing is opened."""
        mark = mark_of(file) if file else None
        return self._recall(mark) if mark else None

    def notes(self, video_id: str, file: Path) -> list[str]:
        """What is odd about a file, as far as it is known by now, and what of its subtitles cannot be read."""
        found: list[str] = []
        self.spoken.cues(video_id, file, found)
        shape = self.shape(file)
        folder = f"{shown(file.parent)}/"  # others than this machine's users see none
        return [*(line.removeprefix(folder) for line in found), *(shape.notes if shape else ())]

    def proxy_how(self, file: Path | None) -> Literal["remuxed", "transcoded"] | None:
        """How a copy that browsers play is made, as far as it is known by now; None: it is not needed either."""
        mark = mark_of(file) if file else None
        known = self._recall(mark) if mark else None
        if mark is None or known is None or known.playable or known.problem:
            return None
        return "remuxed" if known.copyable and mark.size <= self.largest_copy else "transcoded"

    def tag(self, file: Path | None) -> str:
        """What a picture's URL ends with, so that another file gets another URL."""
        mark = mark_of(file) if file else None
        return _tag(mark) if mark else ""

    async def look(self, file: Path) -> tuple[VideoState, Known | None]:
        """The state of a file that is there, opened if it was not before, and what that showed."""
        mark = mark_of(file)
        if mark is None:
            return ("unreadable" if there(file) else "missing"), None
        known = self._recall(mark)
        if known is None:
            known = await asyncio.shield(asyncio.wrap_future(self._probe(mark)))
        return self._state_of(mark, known), known

    async def thumbnail(self, file: Path, time_s: float, width: int) -> bytes:
        """A JPEG of what is shown at a time, from the disk if it was made before.

        Raises VideoError for a file that is gone or cannot be read.
        """
        mark = need(file)
        time_s = round(max(0.0, time_s), 3)
        name = f"{mark.key[:2]}/{mark.key}-{time_s:g}-{width}.jpg"
        kept = await asyncio.to_thread(self.cache.read, "thumbs", name)
        return kept or await self._once(("thumb", name), lambda: self._paint(mark, time_s, width, name))

    async def kept(self, file: Path, time_s: float, width: int) -> bytes | None:
        """A picture made while a file was still there, of about that time and width; None where there is none."""
        mark, _ = self._known.get(str(file), (None, None))
        return await asyncio.to_thread(self._nearest, mark.key, time_s, width) if mark else None

    def _nearest(self, key: str, time_s: float, width: int) -> bytes | None:
        names = self.cache.place("thumbs", key[:2]).glob(f"{key}-*.jpg")

        def far(name: str) -> tuple[float, float]:
            _, time, wide = name.removesuffix(".jpg").split("-")
            return abs(float(time) - time_s), abs(float(wide) - width)

        best = min((path.name for path in names), key=far, default=None)
        return self.cache.read("thumbs", f"{key[:2]}/{best}") if best else None

    def proxy_place(self, file: Path) -> Path:
        """Where the proxy of a file lies, or would. Raises VideoError for a file that is gone."""
        return self.cache.place("proxies", f"{need(file).key}.mp4")

    def proxy(self, file: Path) -> Path | None:
        """The proxy of a file, if it was made."""
        place = self.proxy_place(file)
        if not place.is_file():
            return None
        self.cache.touch(place)
        return place

    def export(self, export_id: str) -> Path | None:
        """The file of an export, which lies alone in a folder."""
        folder = self.cache.place("exports", export_id)
        with suppress(OSError):
            return next((path for path in folder.iterdir() if not path.name.startswith(".")), None)
        return None

    def close(self) -> None:
        """Begin nothing new; what is being made is finished."""
        self._prober.shutdown(wait=False, cancel_futures=True)
        self._painters.shutdown(wait=False, cancel_futures=True)

    def _state_of(self, mark: Mark, known: Known) -> VideoState:
        if known.problem:
            return "unreadable"
        if known.playable:
            return "playable"
        return "proxy" if self.cache.place("proxies", f"{mark.key}.mp4").is_file() else "needs_proxy"

    def _recall(self, mark: Mark) -> Known | None:
        before, known = self._known.get(mark.path, (None, None))
        return known if before == mark else None

    def _probe(self, mark: Mark) -> Future[Known]:
        """Open a file, unless that is being done."""
        with self._lock:
            making = self._making.get(mark)
            if making is None:
                making = self._making[mark] = _Making(self._prober.submit(self._open, mark), waiting=1)
                making.future.add_done_callback(lambda _: self._made(mark))
            return making.future

    def _open(self, mark: Mark) -> Known:
        known = _opened(Path(mark.path))
        self._known[mark.path] = (mark, known)
        with suppress(OSError):
            room_for_serving(self._list.parent.parent)
            with appending(self._list) as file:
                file.write(json.dumps([READING, *mark, *known]) + "\n")
        return known

    def _paint(self, mark: Mark, time_s: float, width: int, name: str) -> bytes:
        proxy = self.cache.place("proxies", f"{mark.key}.mp4")  # which is found one's way in faster
        picture = ask(thumbnail, proxy if proxy.is_file() else Path(mark.path), time_s, width=width)
        self.cache.write("thumbs", name, picture)
        return picture

    async def _once(self, key: object, work: Callable[[], bytes]) -> bytes:
        """What `work` makes on one of the threads, made once for all who wait for it; dropped when nobody does."""
        with self._lock:
            making = self._making.get(key)
            if making is None:
                making = self._making[key] = _Making(self._painters.submit(work), waiting=0)
                making.future.add_done_callback(lambda _: self._made(key))
            making.waiting += 1
        try:
            return await asyncio.shield(asyncio.wrap_future(making.future))
        finally:
            with self._lock:
                making.waiting -= 1
                if not making.waiting:
                    making.future.cancel()  # does nothing to what has begun

    def _made(self, key: object) -> None:
        with self._lock:
            self._making.pop(key, None)


def _tag(mark: Mark) -> str:
    return f"&v={mark.key[:TAG]}"


def mark_of(file: Path) -> Mark | None:
    """A regular file as it lies there now; None where there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return Mark(str(file), found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def need(file: Path) -> Mark:
    """A file that must be there. Raises VideoError."""
    mark = mark_of(file)
    if mark is None:
        raise VideoError(f"{shown(file)}: is not there any more; index the folder where it is now")
    return mark


def _opened(path: Path) -> Known:
    try:
        info = ask(probe, path)
        with path.open("rb") as file:
            kind = "video/webm" if file.read(4) == EBML else "video/mp4"
    except (VideoError, OSError) as error:
        return Known(False, "", problem=str(error))
    shape = (info.width, info.height, info.video_codec)
    return Known(
        info.browser_playable, kind, *shape, container=info.container, copyable=info.copyable, notes=info.notes
    )


def _recalled(path: Path) -> dict[str, tuple[Mark, Known]]:
    """What an earlier server found; lines that cannot be read, or say what was found otherwise, are passed over."""
    found: dict[str, tuple[Mark, Known]] = {}
    with suppress(OSError, UnicodeDecodeError), path.open(encoding="utf-8") as lines:
        for line in lines:
            with suppress(ValueError, TypeError, IndexError):
                reading, *row = json.loads(line)
                if reading == READING:
                    mark = Mark(*row[:3])
                    *known, notes = row[3:]
                    if known[1] in PLAYED:
                        found[mark.path] = (mark, Known(*known)._replace(notes=tuple(notes)))
    return found
