"""Several libraries behind one port: the first one at the root, each of the others below `/l/NAME/`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from prvr.serve.state import Shelved
from prvr.service.holdings import name_of

BESIDE = re.compile(r"(/l/[^/]+)(/.*)?")


def shelved(folders: Sequence[Path], root: str = "") -> list[Shelved]:
    """Index folders -> the names of their libraries and the paths these are reached below, each another one."""
    found: list[Shelved] = []
    for number, name in enumerate(map(name_of, folders), 1):
        slug = re.sub(r"[^\w-]+", "-", name, flags=re.ASCII).strip("-").lower() or str(number)
        taken = {one.path for one in found}
        path = f"{root}/l/{slug}" if f"{root}/l/{slug}" not in taken else f"{root}/l/{slug}-{number}"
        found.append(Shelved(name, path if found else root))
    return found


class Shelf:
    """Hands each request to the application of its library, which knows the path that it is reached below."""

    def __init__(self, apps: Mapping[str, FastAPI], root: str = "") -> None:
        """`apps` by those paths; that of the first one is `root`."""
        self.apps, self._root = apps, root
        self._alive = Starlette(lifespan=self._lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the life of them all."""
        if scope["type"] == "lifespan":
            await self._alive(scope, receive, send)
            return
        found = BESIDE.fullmatch(scope.get("path", "").removeprefix(self._root))
        path = f"{self._root}{found[1]}" if found else self._root
        if found and path in self.apps and not scope["path"].startswith(path):  # a proxy took the root off
            raw = scope.get("raw_path") and self._root.encode() + scope["raw_path"]
            scope = {**scope, "path": self._root + scope["path"], "raw_path": raw}
        await self.apps.get(path, self.apps[self._root])(scope, receive, send)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as held:
            for app in self.apps.values():
                await held.enter_async_context(app.router.lifespan_context(app))
            yield
