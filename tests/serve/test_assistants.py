"""The tools that an assistant gets, called by the SDK's own client: in memory, over HTTP and over standard input."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

pytest.importorskip("mcp", reason="the package mcp is not installed: pip install 'prvr[mcp]'")

import httpx2
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from prvr.cli import main
from prvr.core.facts import Cue
from prvr.search.engine import SearchEngine
from prvr.serve.assistants import LETTERS, STILL_BYTES, assistant
from prvr.service.desk import Desk
from prvr.service.media import Media
from prvr.service.sessions import digest_of
from tests.conftest import FEATURES_ONLY, FILES
from tests.serve.conftest import KEY, config_of, serving
from tests.serve.test_api_security import TOKEN

T = TypeVar("T")


@pytest.fixture(scope="module")
def own(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve videos with their files, of which one has subtitles, and two dozen without."""
    folder = Path(shutil.copytree(library, tmp_path_factory.mktemp("assistants") / "library"))
    film = min((folder / "videos").glob("*.webm"))
    cues = [f"{i}\n00:00:{i:02},000 --> 00:00:{i:02},900\nline {i} {'la ' * 400}\n" for i in range(1, 20)]
    film.with_suffix(".srt").write_text("\n".join(cues))
    return folder


@pytest.fixture(scope="module")
def tools(own: Path) -> Iterator[Callable[[Callable[[Client], Awaitable[T]]], T]]:
    """Runs something with a client of the tools."""
    desk, media = Desk(own), Media(own)
    desk.open()

    def run(work: Callable[[Client], Awaitable[T]]) -> T:
        async def asked() -> T:
            async with Client(assistant(desk, lambda: media)) as client:
                return await work(client)

        return asyncio.run(asked())

    yield run
    media.close()
    desk.close()


def call(name: str, **arguments: object) -> Callable[[Client], Awaitable[Any]]:
    return lambda client: client.call_tool(name, arguments)


def test_a_sentence_gets_the_hits_of_the_engine_page_by_page(tools: Any, engine: SearchEngine) -> None:
    first = tools(call("search", query="a red circle", limit=3)).structured_content
    second = tools(call("search", query="a red circle", limit=3, start=first["next_start"])).structured_content
    hits = engine.search("a red circle", k=6)
    found = [*first["moments"], *second["moments"]]
    assert [one["video"] for one in found] == [hit.video_id for hit in hits]
    assert [(one["start_s"], one["end_s"]) for one in found] == [
        (round(hit.start, 2), round(hit.end, 2)) for hit in hits
    ]
    assert [one["match"] for one in found] == [hit.confidence for hit in hits]
    assert all(Path(one["path"]).is_file() for one in found if one["path"])
    notes = tools(call("search", query="a zebra")).structured_content["notes"]
    assert notes[0] == "the model does not know: zebra"


def test_every_video_is_listed_once(tools: Any) -> None:
    names: list[str] = []
    start: int | None = 0
    while start is not None:
        part = tools(call("list", limit=10, start=start)).structured_content
        names += [one["video"] for one in part["videos"]]
        start = part["next_start"]
    assert len(names) == len(set(names)) == part["total"] == FILES + FEATURES_ONLY
    assert tools(call("list", path="videos/")).structured_content["total"] == FILES
    status = tools(call("status")).structured_content
    assert (status["videos"], status["says_how_sure"]) == (FILES + FEATURES_ONLY, True)


def test_a_moment_is_a_small_picture_and_its_words(tools: Any, own: Path) -> None:
    film = min((own / "videos").glob("*.webm"))
    picture, text = tools(call("moment", video=film.name, at_s=3.0)).content
    assert picture.mime_type == "image/jpeg"
    data = base64.b64decode(picture.data)
    assert data.startswith(b"\xff\xd8")
    assert len(data) <= STILL_BYTES
    place, *said = text.text.splitlines()
    assert place.startswith(f"{film} at 0:03.0 of ")
    assert [line.split()[2] for line in said] == [str(i) for i in range(1, 9)]


def test_a_transcript_comes_in_parts_that_miss_nothing(tools: Any, own: Path) -> None:
    film = min((own / "videos").glob("*.webm"))
    lines: list[Cue] = []
    start: float | None = 0.0
    parts = 0
    while start is not None:
        part = tools(call("transcript", video=film.name, start_s=start)).structured_content
        assert sum(len(one["text"]) for one in part["lines"]) <= LETTERS
        lines += [Cue(one["start_s"], one["end_s"], one["text"]) for one in part["lines"]]
        start, parts = part["next_start_s"], parts + 1
    assert [line.text.split()[1] for line in lines] == [str(i) for i in range(1, 20)]
    assert parts == 4
    some = tools(call("transcript", video=film.name, start_s=4.0, end_s=6.0)).structured_content["lines"]
    assert [one["start_s"] for one in some] == [4.0, 5.0, 6.0]


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("search", {"query": "-cat"}, "cat"),
        ("search", {"query": "a dog longer:soon"}, "soon"),
        ("search", {"query": "a dog", "limit": 1000}, "limit"),
        ("search", {"query": "a dog", "limt": 3}, "limt"),
        ("moment", {"video": "w0000.web", "at_s": 1}, "did you mean 'w0000.webm'"),
        ("moment", {"video": "../../../etc/hostname", "at_s": 1}, "no video '../../../etc/hostname' in this library"),
        ("moment", {"video": "w0000.webm", "at_s": 4000}, "give an earlier second"),
        ("moment", {"video": "more/w0000.webm", "at_s": 1}, "only what was computed of it is here"),
        ("transcript", {"video": "nothing"}, "no video 'nothing'"),
    ],
)
def test_what_cannot_be_had_is_said(tools: Any, name: str, arguments: dict[str, object], says: str) -> None:
    answer = tools(call(name, **arguments))
    assert answer.is_error
    assert says in answer.content[0].text
    assert "Traceback" not in answer.content[0].text


def test_a_film_that_vanished(own: Path, tools: Any) -> None:
    film = max((own / "videos").glob("*.webm"))
    away = film.rename(film.with_suffix(".away"))
    answer = tools(call("moment", video=film.name, at_s=1.25))
    away.rename(film)
    assert answer.is_error
    assert "is not there any more; index the folder where it is now" in answer.content[0].text


def test_nothing_is_said_to_be_changed(tools: Any) -> None:
    async def listed(client: Client) -> Any:
        return (await client.list_tools()).tools

    found = tools(listed)
    assert sorted(one.name for one in found) == ["list", "moment", "search", "status", "transcript"]
    assert all(one.annotations.read_only_hint and not one.annotations.open_world_hint for one in found)
    assert all(one.description for one in found)


def test_over_http_behind_the_token(own: Path) -> None:
    with serving(config_of(own, token=digest_of(TOKEN), shared=True, mcp=True)) as live:

        async def names(headers: dict[str, str]) -> list[str]:
            async with (
                httpx2.AsyncClient(headers=headers, timeout=60) as http,
                Client(streamable_http_client(f"{live.url}/mcp", http_client=http)) as client,
            ):
                found = (await client.call_tool("search", {"query": "a red circle", "limit": 2})).structured_content
                assert all(one["path"] is None for one in found["moments"])  # they may be somewhere else
                return [one["video"] for one in found["moments"]]

        assert len(asyncio.run(names({"Authorization": f"Bearer {TOKEN}"}))) == 2
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        headers = {"Accept": "application/json, text/event-stream"}
        assert httpx2.post(f"{live.url}/mcp", json=call, headers=headers).status_code == 401
        foreign = {**headers, "Authorization": f"Bearer {TOKEN}", "Origin": "http://elsewhere.example"}
        assert httpx2.post(f"{live.url}/mcp", json=call, headers=foreign).status_code == 403
    with serving(config_of(own)) as live:
        inside = {**headers, **KEY}
        assert httpx2.post(f"{live.url}/mcp", json=call, headers=inside).status_code in (404, 405)


def test_over_standard_input(own: Path) -> None:
    started = StdioServerParameters(
        command=sys.executable,
        args=["-m", "prvr", "mcp", "--index", str(own), "--device", "cpu"],
        env={**os.environ},
    )

    async def asked() -> list[str]:
        async with Client(started) as client:
            answer = await client.call_tool("search", {"query": "a red circle", "limit": 2})
            assert answer.structured_content
            return [one["video"] for one in answer.structured_content["moments"]]

    assert len(asyncio.run(asked())) == 2


def test_without_the_package_the_next_step_is_said(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("prvr.serve.settings.find_spec", lambda _: None)
    assert main(["mcp", "--index", str(own)]) == 1
    assert "pip install 'prvr[mcp]'" in capsys.readouterr().err
