"""The path of a proxy below which a server is reached, such as https://host/prvr/."""

from __future__ import annotations

from contextvars import ContextVar

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

ROOT: ContextVar[str] = ContextVar("ROOT", default="")  # of the request that is being answered


def below(path: str) -> str:
    """An address of this server as clients know it."""
    return ROOT.get() + path


class Below:
    """Takes the proxy's path off what is asked, unless the proxy has done so, and has it put before all addresses."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self._app, self._root = app, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        ROOT.set(self._root)
        path, raw, root = scope["path"], scope.get("raw_path") or b"", self._root.encode()
        if path == self._root:  # addresses on the page go on from a slash
            query = scope.get("query_string", b"").decode("latin-1")
            await RedirectResponse(f"{path}/?{query}" if query else f"{path}/", 308)(scope, receive, send)
            return
        if path.startswith(f"{self._root}/"):
            raw = raw.removeprefix(root) if raw.startswith(root + b"/") else b""
            scope = {**scope, "path": path.removeprefix(self._root), "raw_path": raw or None}
        await self._app(scope, receive, send)
