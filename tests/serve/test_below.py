"""Below a path of a proxy, which takes the path off what it hands on, or does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from starlette.testclient import TestClient

from prvr.core.errors import ConfigError
from prvr.service.sessions import digest_of
from tests.serve.conftest import asking, config_of, of
from tests.serve.test_api_pages import Links

TOKEN = "a token that nobody guesses"
ROOT = "/films/prvr"


@pytest.fixture(scope="module")
def proxied(library: Path) -> Iterator[TestClient]:
    config = config_of(library, token=digest_of(TOKEN), shared=True, root_path=ROOT)
    with asking(config, host="prvr.example") as client:
        client.headers["authorization"] = f"Bearer {TOKEN}"
        yield client


def addresses(of: Any) -> Iterator[str]:
    if isinstance(of, dict):
        for name, value in of.items():
            yield from [value] if name.endswith("url") and value else addresses(value)
    elif isinstance(of, list):
        for value in of:
            yield from addresses(value)


@pytest.mark.parametrize("kept", [ROOT, ""])  # by the proxy, or taken off
def test_everything_is_found_below_the_path(proxied: TestClient, kept: str) -> None:
    page = proxied.get(f"{kept}/")
    assert page.status_code == 200
    plain = proxied.get(f"{kept}/plain?q=a red circle")
    assert plain.text.count("<li>") == 20
    export = {"format": "csv", "clips": [{"video_id": "w0000.webm", "start": 0, "end": 1}]}
    answers = [
        proxied.get(f"{kept}/v1/search?q=a red circle").json(),
        proxied.get(f"{kept}/v1/videos").json(),
        proxied.get(f"{kept}{of('w0000.webm')}").json(),
        proxied.post(f"{kept}/v1/exports", json=export).json(),
    ]
    told = {one.partition("#")[0] for answer in answers for one in addresses(answer)}
    assert {one for one in told if not one.startswith(f"{ROOT}/v1/")} == set()
    for text in (page.text, plain.text):
        linked = [urljoin(f"http://prvr.example{ROOT}/", link.partition("#")[0]) for link in Links(text).targets]
        told |= {link.removeprefix("http://prvr.example") for link in linked if not link.startswith("data:")}
    assert {one for one in told if not one.startswith(ROOT)} == set()
    here = [one for one in told if "/more%2F" not in one and not one.endswith("/events")]  # of those there are no files
    for address in here:
        asked = address if kept else address.removeprefix(ROOT)
        assert proxied.get(asked, headers={"range": "bytes=0-9"}).status_code in (200, 206), asked


def test_the_path_alone_leads_to_the_page(proxied: TestClient) -> None:
    answer = proxied.get(f"{ROOT}?q=a%20b", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (308, f"{ROOT}/?q=a%20b")
    assert proxied.get(ROOT).status_code == 200
    assert proxied.get(f"{ROOT}x").status_code == 404


def test_the_path_opens_no_door(proxied: TestClient, library: Path) -> None:
    cookie = proxied.post("/v1/session", json={"token": TOKEN}).headers["set-cookie"]
    assert f"Path={ROOT}/" in cookie
    with asking(config_of(library, token=digest_of(TOKEN), shared=True, root_path=ROOT), host="prvr.example") as other:
        assert other.get(f"{ROOT}/", headers={"accept": "text/html"}).status_code == 401
        for path in (
            "/v1/libraries",
            f"{ROOT}/v1/libraries",
            f"{ROOT}{ROOT}/v1/libraries",
            f"{ROOT}/assets/../v1/jobs",
        ):
            assert other.get(path).status_code == 401, path


def test_the_schema_says_where(proxied: TestClient) -> None:
    assert proxied.get(f"{ROOT}/openapi.json").json()["servers"] == [{"url": ROOT}]


@pytest.mark.parametrize("root", ["prvr", "/prvr/", "/", "/a b", "//x", "/../x", "/v1", "/assets/x", "http://x/y"])
def test_a_path_that_cannot_be_told_apart_is_refused(root: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="write it as /prvr"):
        config_of(tmp_path, root_path=root)
