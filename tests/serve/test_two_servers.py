"""Two servers over one Qdrant: neither has a vector on its disk, and whoever asks either gets the same answer."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from prvr.cli import main
from prvr.index.opening import ENGINE, open_index
from tests.index.wire import Qdrant, qdrant
from tests.serve.conftest import until

TOKEN = "one-token-for-both-servers"
OWN = ("usage", "folder", "state", "width", "height", "codec", "container", "proxy_how", "notes")
"""What is a server's own: how long it took, and what it has found out about files."""
ASKED = (
    "/v1/search?q=a+red+circle&limit=20",
    "/v1/search?q=a+red+circle+then+a+blue+square&limit=9",
    "/v1/search?q=a+star+-heart+tag:shapes&limit=9",
    "/v1/videos?limit=50",
    "/v1/libraries",
)


@contextmanager
def serving(folder: Path) -> Iterator[httpx.Client]:
    """`prvr serve` in a process of its own, as a proxy sees it."""
    command = [sys.executable, "-m", "prvr", "serve", "--index", str(folder), "--port", "0", "--no-open"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PRVR_TOKEN": TOKEN}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stderr
            url = re.search(r"http://[^/]+/", server.stderr.readline())
            assert url
            with httpx.Client(base_url=url[0], headers={"authorization": f"Bearer {TOKEN}"}, timeout=300) as client:
                yield client
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(300)


def told(client: httpx.Client, path: str) -> Any:
    """An answer, without how long it took and where the folder lies."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return _bare(answer.json())


def _bare(value: Any) -> Any:
    if isinstance(value, list):
        return [_bare(one) for one in value]
    if isinstance(value, dict):
        return {key: _bare(one) for key, one in value.items() if key not in OWN}
    return value


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Qdrant]:
    with qdrant(tmp_path / "qdrant", nodes=2) as running:
        yield running


def test_two_servers_over_one_collection_answer_alike(
    own: Path, server: Qdrant, capsys: pytest.CaptureFixture[str]
) -> None:
    place = server.url()
    assert main(["index", "--index", str(own), "--copy-to", place, "--replicas", "2", "--shards", "2"]) == 0
    said = capsys.readouterr().err
    assert "36 videos copied" in said
    assert f"prvr index PATH --index {own} --engine {place}" in said
    assert main(["index", str(own / "videos"), "--index", str(own), "--engine", place, "--encoder", "world"]) == 0
    for name in ("index.db", "segments", "nearest"):
        part = own / name
        shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
    assert (own / ENGINE).read_text() == place
    with ExitStack() as stack:
        one, other = (stack.enter_context(serving(folder)) for folder in (own, own))
        for path in ASKED:
            assert told(one, path) == told(other, path), path
        assert told(one, ASKED[0])["data"]
        with open_index(place) as index:
            index.put_tags({hit["video_id"]: ["new"] for hit in told(one, ASKED[0])["data"][:3]})
        found = [told(client, "/v1/search?q=a+red+circle+tag:new") for client in (one, other)]
        assert found[0] == found[1]
        assert len(found[0]["data"]) == 3
        server.away = {0}
        assert told(one, ASKED[1]) == told(other, ASKED[1])
        with open_index(place) as index:
            index.put_tags({"w0000.webm": ["old"]})  # what there is is read again after a change
        until(lambda: "on nodes that do not all answer" in one.get("/v1/libraries").text, seconds=30)
        server.away = {0, 1}
        answer = one.get(ASKED[0])
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "index_unusable"), answer.text
        server.away = set()
        assert told(one, ASKED[0])["data"]
