"""Which videos' files are gone: a question to the disk for each of them, asked once for all who want to know."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import MappingProxyType

from prvr.service.holdings import Holdings

FRESH_S = 3.0  # what was seen so long ago is good enough; where looking takes longer, so long
PATIENCE_S = 2.0  # that is waited for a slow drive where what was seen before will do


class Absent:
    """One look at a time, on a thread; used from the event loop only."""

    def __init__(self) -> None:
        self._seen: Mapping[str, str] = MappingProxyType({})  # video id -> the path that nothing lies at
        self._good_until = 0.0
        self._look: asyncio.Task[None] | None = None

    async def of(self, holdings: Holdings, *, soon: bool = False) -> frozenset[str]:
        """The videos whose files are gone; `soon`: as far as is known within PATIENCE_S."""
        if time.monotonic() >= self._good_until:
            if self._look is None or self._look.done():
                self._look = asyncio.create_task(self._again(holdings))
            await asyncio.wait({self._look}, timeout=PATIENCE_S if soon else None)
        known = {name: holdings.facts.get(name) for name in self._seen}
        return frozenset(name for name, facts in known.items() if facts and facts.path == self._seen[name])

    async def _again(self, holdings: Holdings) -> None:
        began = time.monotonic()
        self._seen = await asyncio.to_thread(holdings.gone)
        now = time.monotonic()
        self._good_until = now + max(FRESH_S, now - began)
