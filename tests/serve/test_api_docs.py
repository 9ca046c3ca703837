"""The examples of docs/api.md do what they say."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from starlette.testclient import TestClient

from prvr.serve import errors

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
SERVE = Path(errors.__file__).parent


def test_every_curl_is_answered(client: TestClient, library: Path) -> None:
    text = "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).replace("\\\n", "")
    lines = [shlex.split(line) for line in text.splitlines() if line.startswith("curl ")]
    assert len(lines) >= 6
    for words in lines:
        (url,) = [word for word in words if word.startswith("http://127.0.0.1:8765/")]
        body = words[words.index("-d") + 1] if "-d" in words else None
        path = url.removeprefix("http://127.0.0.1:8765")
        if "--data-binary" in words:
            answer = client.post(path, content=(library / "videos" / "w0003.webm").read_bytes())
        else:
            answer = client.post(path, json=json.loads(body)) if body else client.get(path)
        assert answer.status_code == (202 if path == "/v1/exports" else 200), (words, answer.text)
        assert answer.json()["object"] in ("list", "scores", "why", "job", "place", "clip_origins")


def test_the_error_is_as_printed(client: TestClient) -> None:
    (printed,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert client.post("/v1/search", json={"query_text": "a", "page_limit": 101}).json() == json.loads(printed)


def test_every_code_is_listed_and_every_listed_code_exists() -> None:
    source = "".join(path.read_text() for path in SERVE.glob("*.py"))
    made = set(re.findall(r'(?:ApiError\(\s*\d+,|unauthorised\(|refuse\(\s*\d+,)\s*"(\w+)"', source))
    made |= {code for _, code in errors.CODES.values()}
    table = PAGE.partition("| status | codes |")[2].partition("\n\n")[0]
    listed = set(re.findall(r"`([a-z_]+)`", table))
    assert listed <= made | {"body_unreadable", "no_such_address", "method_not_allowed", "internal"}
    assert made - listed <= LESS_USUAL, made - listed


LESS_USUAL = {"client_gone", "setting_invalid", "video_unreadable", "encoder_unusable", "refused"}


def test_every_address_is_listed(client: TestClient) -> None:
    for path in client.get("/openapi.json").json()["paths"]:
        last = re.sub(r"\{\w+_id\}", "{id}", path)
        assert last in PAGE or f"`/{last.rpartition('/')[2]}" in PAGE, path
