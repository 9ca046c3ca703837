"""A hub on this machine: a server that answers what the hub's own client asks, and can be told to fail."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "c0ffee" * 6 + "c0ff"
LARGE = 10_000  # bytes from which a file is listed with its SHA-256, as the hub does


NOBODY = "http://127.0.0.1:9"


def ask(monkeypatch: pytest.MonkeyPatch, url: str, *, cache: Path | None = None) -> None:
    """Let the hub's client ask there, and keep what it caches in a folder of the test."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    if cache:
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))


@dataclass
class LocalHub:
    """What is asked of it, and how it is to behave."""

    folders: dict[str, Path]  # of every model's name on the hub
    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)  # file, Range
    cut_after: int | None = None  # bytes of an answer after which the line goes dead, once
    spoil: str = ""  # a file that is not what is listed

    def list(self, name: str) -> dict[str, object]:
        """The model's files, with size and checksum."""
        files = []
        for path in sorted(self.folders[name].iterdir()):
            content = path.read_bytes()
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            file: dict[str, object] = {"rfilename": path.name, "size": len(content), "blobId": blob}
            if len(content) > LARGE:
                sha = hashlib.sha256(content).hexdigest()
                file["lfs"] = {"size": len(content), "sha256": sha, "pointerSize": 130}
            files.append(file)
        return {"id": name, "modelId": name, "sha": COMMIT, "siblings": files}


@contextmanager
def local_hub(folders: dict[str, Path]) -> Iterator[LocalHub]:
    """A hub that has these models."""
    hub = LocalHub(folders)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path).removeprefix("/")
            name = path.removeprefix("api/models/")
            if path.startswith("api/models/") and name in hub.folders:
                return self.answer(200, json.dumps(hub.list(name)).encode())
            model, _, rest = path.partition("/resolve/")
            if model not in hub.folders:
                return self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            file = rest.removeprefix(f"{COMMIT}/")
            content = (hub.folders[model] / file).read_bytes()
            hub.asked.append((file, self.headers.get("Range", "")))
            if file == hub.spoil:
                content = bytes(len(content))
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")) if self.headers["Range"] else 0
            head = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
            return self.answer(206 if start else 200, content[start:], head)

        def answer(self, status: int, content: bytes, head: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in (head or {}).items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if status != 404 and hub.cut_after is not None and len(content) > hub.cut_after:
                content, hub.cut_after, self.close_connection = content[: hub.cut_after], None, True
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
