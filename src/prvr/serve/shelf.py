"""Several libraries behind one port: the first one at the root, each of the others below `/l/NAME/`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from prvr.serve.state import Shelved
from prvr.service.holdings import name_of

BESIDE = re.compile(r"(/l/[^/]+)(/.*)?")


def shelved(folders: Sequence[Path]) -> list[Shelved]:
    """Index folders with the names and the addresses of their libraries, each another one."""
    found: list[Shelved] = []
    for number, name in enumerate(map(name_of, folders), 1):
        slug = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.").lower() or str(number)
        taken = {one.prefix for one in found}
        prefix = f"/l/{slug}" if f"/l/{slug}" not in taken else f"/l/{slug}-{number}"
        found.append(Shelved(name, prefix if found else ""))
    return found


class Shelf:
    """Hands each request to the application of its library, which sees an address of its own."""

    def __init__(self, apps: Mapping[str, FastAPI]) -> None:
        """`apps` by their prefixes, of which one is empty."""
        self.apps = apps
        self._alive = Starlette(lifespan=self._lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the life of them all."""
        if scope["type"] == "lifespan":
            await self._alive(scope, receive, send)
            return
        found = BESIDE.fullmatch(scope.get("path", ""))
        app: ASGIApp | None = self.apps.get(found[1]) if found else None
        if app is None or found is None:
            await self.apps[""](scope, receive, send)
        elif found[2] is None:  # addresses of the page are relative to a folder
            await RedirectResponse(f"{scope.get('root_path', '')}{found[1]}/")(scope, receive, send)
        else:
            raw = (scope.get("raw_path") or scope["path"].encode()).removeprefix(found[1].encode())
            root = scope.get("root_path", "") + found[1]
            await app({**scope, "path": found[2], "raw_path": raw, "root_path": root}, receive, send)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as held:
            for app in self.apps.values():
                await held.enter_async_context(app.router.lifespan_context(app))
            yield
