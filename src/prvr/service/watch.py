"""Folders that are watched: what is new or changed in them is read without being asked for.

A reading begins when a folder has been quiet for a while, so that a file which is being copied is read once, when it
is whole, and ten thousand files are one reading. What changes during a reading is read after it. A folder that
vanishes, as a drive that is unplugged, is waited for; nothing is taken out of the library meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from watchfiles import Change, awatch

from prvr.core.errors import PrvrError, VideoError
from prvr.search.folders import recall
from prvr.subtitles.beside import SUFFIXES
from prvr.video.find import find_videos, is_named_like_a_video

QUIET_S = 2.0  # without another change, before a folder is read
AWAY_S = 5.0  # between two looks for a folder that is not there

log = logging.getLogger(__name__)


class Watch:
    """The watched folders of one library; used from the event loop only."""

    def __init__(
        self,
        folder: Path,
        read: Callable[[Path], Coroutine[Any, Any, None]],
        *,
        quiet_s: float = QUIET_S,
        away_s: float = AWAY_S,
    ) -> None:
        """`read` reads a folder into the index at `folder`, and comes back when that job has ended."""
        self._folder, self._read = folder, read
        self._quiet_s, self._away_s = quiet_s, away_s
        self._tasks: dict[Path, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()  # one reading at a time

    async def follow(self) -> None:
        """Watch what is to be watched now; called at the start and whenever that has changed."""
        known = await asyncio.to_thread(recall, self._folder)
        wanted = {path for path, one in known.items() if one.watched}
        for path in self._tasks.keys() - wanted:
            self._tasks.pop(path).cancel()
        for path in wanted - self._tasks.keys():
            self._tasks[path] = asyncio.create_task(self._watch(path))

    async def close(self) -> None:
        """Watch nothing any more."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, path: Path) -> None:
        """To the end of the server; what changed while nobody looked is read first."""
        told = False
        while True:
            if await asyncio.to_thread(path.is_dir):
                told = False
                try:
                    await self._while_there(path)
                except (OSError, RuntimeError) as error:  # gone in between, or too many folders for this machine
                    log.warning("%s: cannot be watched now (%s)", path, error)
            elif not told:
                log.warning("%s: is not there; it is read again when it comes back, and its videos are kept", path)
                told = True
            await asyncio.sleep(self._away_s if told else self._quiet_s)

    async def _while_there(self, path: Path) -> None:
        changed = True
        quiet_ms = int(1000 * self._quiet_s)
        changes = awatch(
            path,
            watch_filter=partial(_matters, path, self._folder.resolve()),
            debounce=1600,
            rust_timeout=quiet_ms,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        async for found in changes:
            if not await asyncio.to_thread(path.is_dir):
                return
            if found:
                changed = True
            elif changed:
                changed = False
                await self._again(path)

    async def _again(self, path: Path) -> None:
        """One reading; what is wrong with it is said by the job, or in the log."""
        async with self._turn:
            known = (await asyncio.to_thread(recall, self._folder)).get(path)
            if known is None or not known.watched:  # taken out meanwhile by somebody else: `prvr remove`
                if task := self._tasks.pop(path, None):
                    task.cancel()
                return
            try:
                await self._read(path)
            except PrvrError as error:
                log.warning("%s", error)


def _matters(root: Path, own: Path, change: Change, path: str) -> bool:
    """Whether there may be something to read: nothing that is gone, hidden, or of the index at `own` itself.

    A folder that is moved in is one change, its own, so that it has to be looked into.
    """
    file = Path(path)
    if change is Change.deleted or file.is_relative_to(own / "serve"):
        return False
    if any(part.startswith(".") for part in file.parts[len(root.parts) :]):
        return False
    named = is_named_like_a_video(file) or file.suffix.lower() in SUFFIXES
    return named or (file.is_dir() and _holds_videos(file))


def _holds_videos(folder: Path) -> bool:
    try:
        return bool(find_videos(folder).videos)
    except VideoError:  # gone again
        return False
