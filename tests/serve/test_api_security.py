"""Who may ask: loopback, tokens, other sites, other names, rates, sizes, and no file but those of the index."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from prvr.core.errors import ConfigError
from prvr.serve.runner import token_for
from prvr.serve.security import bearer, digest_of, host_name, same_origin
from prvr.serve.settings import ServeConfig, is_loopback
from prvr.service.rate import Rate
from tests.serve.conftest import Live, asking, config_of
from tests.serve.test_api_errors import check

TOKEN = "a token that nobody guesses"


@pytest.fixture(scope="module")
def guarded(library: Path) -> Iterator[TestClient]:
    """As a client on another machine sees a server that others can reach."""
    config = config_of(library, host="0.0.0.0", token=digest_of(TOKEN), rate_per_minute=100_000)
    with asking(config, host="prvr.example", client="192.0.2.1") as found:
        yield found


def with_token(token: str = TOKEN) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


ADDRESSES = [
    ("GET", "/v1/libraries"),
    ("POST", "/v1/libraries"),
    ("GET", "/v1/videos"),
    ("GET", "/v1/videos/w0000.webm"),
    ("PATCH", "/v1/videos/w0000.webm"),
    ("DELETE", "/v1/videos/w0000.webm"),
    ("POST", "/v1/videos/w0000.webm/reveal"),
    ("GET", "/v1/videos/w0000.webm/stream"),
    ("HEAD", "/v1/videos/w0000.webm/stream"),
    ("GET", "/v1/videos/w0000.webm/thumb?t=1"),
    ("GET", "/v1/videos/w0000.webm/scores?q=a"),
    ("GET", "/v1/videos/w0000.webm/why?q=a"),
    ("GET", "/v1/search?q=a"),
    ("POST", "/v1/search"),
    ("POST", "/v1/search/image"),
    ("POST", "/v1/exports"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/x/events"),
    ("GET", "/v1/failures"),
    ("POST", "/v1/failures"),
    ("DELETE", "/v1/failures/x"),
    ("GET", "/v1/failures.csv"),
    ("GET", "/metrics"),
    ("GET", "/readyz"),
    ("GET", "/openapi.json"),
    ("GET", "/plain?q=a"),
    ("GET", "/no/such/address"),
]


@pytest.mark.parametrize("method, path", ADDRESSES)
def test_others_need_the_token(guarded: TestClient, method: str, path: str) -> None:
    answer = guarded.request(method, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    if method != "HEAD":
        check(answer, 401, "token_missing")


@pytest.mark.parametrize("path", ["/", "/healthz"])
def test_what_is_open_to_all(guarded: TestClient, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_the_right_token_opens(guarded: TestClient) -> None:
    assert guarded.get("/v1/search?q=a red circle", headers=with_token()).status_code == 200
    (library,) = guarded.get("/v1/libraries", headers=with_token()).json()["data"]
    assert (library["folder"], library["can_add"]) == (None, False)
    refused = guarded.post("/v1/libraries", json={"path": "/"}, headers=with_token())
    check(refused, 403, "loopback_only")


def test_a_session_is_a_cookie_that_scripts_cannot_read(guarded: TestClient) -> None:
    answer = guarded.post("/v1/session", json={"token": TOKEN})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    try:
        assert guarded.get("/v1/videos/w0000.webm/thumb?t=1").status_code == 200
        assert guarded.get("/v1/libraries", headers={"cookie": "prvr=other"}).status_code == 401
    finally:
        guarded.cookies.clear()
    assert guarded.get("/v1/libraries").status_code == 401


def test_wrong_tokens_are_slowed_and_then_not_listened_to(library: Path) -> None:
    config = config_of(library, host="0.0.0.0", token=digest_of(TOKEN))
    with asking(config, client="192.0.2.7") as client:
        began = time.perf_counter()
        check(client.get("/v1/jobs", headers=with_token("guess")), 401, "token_wrong")
        check(client.post("/v1/session", json={"token": "guess"}), 401, "token_wrong")
        assert time.perf_counter() - began > 0.5
        answer = client.get("/v1/jobs", headers=with_token("guess"))
        check(answer, 429, "token_tries")
        assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/v1/jobs", headers=with_token()).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "localhost:8765", "127.0.0.1:1", "127.0.0.2", "[::1]:8765", "LOCALHOST"])
def test_names_of_this_machine(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "10.0.0.1"])
def test_another_name_is_not_this_server(client: TestClient, host: str) -> None:
    check(client.get("/healthz", headers={"host": host}), 421, "host_foreign")


def test_another_sites_page_cannot_ask(client: TestClient) -> None:
    body = {"query_text": "a red circle"}
    for origin in ("http://evil.example", "null", "http://127.0.0.1:81", "https://"):
        check(client.post("/v1/search", json=body, headers={"origin": origin}), 403, "origin_foreign")
    assert client.post("/v1/search", json=body, headers={"origin": "http://127.0.0.1"}).status_code == 200
    cross = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    check(client.get("/v1/search?q=a", headers=cross), 403, "origin_foreign")
    assert client.get("/", headers={**cross, "sec-fetch-mode": "navigate"}).status_code == 200


def test_clients_from_elsewhere_have_a_rate(library: Path) -> None:
    config = config_of(library, host="0.0.0.0", token=digest_of(TOKEN), rate_per_minute=20)
    with asking(config, client="192.0.2.9") as client:
        codes = [client.get("/v1/jobs", headers=with_token()).status_code for _ in range(8)]
        assert codes == [200] * 5 + [429] * 3
        assert int(client.get("/v1/jobs").headers["retry-after"]) >= 1
    with asking(config, client="127.0.0.1") as near:
        assert {near.get("/v1/jobs", headers=with_token()).status_code for _ in range(8)} == {200}


def test_a_rate_by_hand() -> None:
    rate = Rate(60)  # one a second, 15 at once
    assert [rate.wait("a", now=0.0) for _ in range(15)] == [0.0] * 15
    assert rate.wait("a", now=0.0) == 1.0
    assert rate.wait("a", now=0.25) == 0.75
    assert rate.wait("b", now=0.25) == 0.0
    assert rate.wait("a", now=1.0) == 0.0
    assert rate.wait("a", now=1.0) == 1.0


@pytest.mark.parametrize("path", ["/v1/search", "/v1/exports", "/v1/libraries", "/v1/session"])
def test_bodies_have_a_largest_size(client: TestClient, path: str) -> None:
    big = b'{"query_text": "' + b"a" * 300_000 + b'"}'
    check(client.post(path, content=big, headers={"content-type": "application/json"}), 413, "body_too_large")
    parts = (big[at : at + 50_000] for at in range(0, len(big), 50_000))  # no Content-Length
    check(client.post(path, content=parts, headers={"content-type": "application/json"}), 413, "body_too_large")
    assert client.post("/v1/search/image", content=bytes(300_000)).status_code == 415


STRANGE = [
    "../../../etc/passwd",
    "..",
    ".",
    "/etc/passwd",
    "//etc/passwd",
    "videos/w0000.webm",
    "../library/videos/w0000.webm",
    "w0000.webm/../w0001.webm",
    "w0000.webm\0",
    "w0000.webm\0.txt",
    "..\\..\\windows\\win.ini",
    "C:\\windows\\win.ini",
    "file:///etc/passwd",
    "%2e%2e%2fetc%2fpasswd",
    "..%c0%afetc",
    "．．／etc／passwd",
    "w0000.webm\u202e",
    "W0000.WEBM",
    "index.db",
    "features/header.json",
    "serve/token",
    "~/.ssh/id_rsa",
    "a" * 3000,
    "\ud800",
    "' OR 1=1 --",
    "*",
    "w000?.webm",
    "\r\nX-Injected: 1",
]
ROUTES = ["", "/stream", "/thumb?t=1", "/subtitles", "/transcript", "/transcript/srt", "/scores?q=a", "/why?q=a"]


@pytest.mark.parametrize("route", ROUTES)
def test_nothing_but_the_videos_of_the_index_is_served(live: Live, route: str) -> None:
    """Sent as they are: clients that behave would take the dots out."""
    connection = HTTPConnection("127.0.0.1", live.port, timeout=300)
    for name in STRANGE:
        once = quote(name.encode("utf-8", "surrogatepass"), safe="")
        for encoded in (once, quote(once, safe=""), once.replace("%2F", "/")):
            connection.request("GET", f"/v1/videos/{encoded}{route}")
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == 404, (name, encoded, answer.status)
            assert json.loads(content)["error"]["type"] == "not_found"
            assert answer.getheader("x-injected") is None
    connection.close()


def test_ids_in_bodies_are_only_looked_up(client: TestClient) -> None:
    for name in STRANGE[:-1]:
        span = {"video_id": name.replace("\ud800", "?"), "start": 0, "end": 1}
        check(client.post("/v1/search", json={"like": span}), 404, "video_unknown", "video_id")
        export = client.post("/v1/exports", json={"format": "csv", "clips": [span]})
        check(export, 404, "video_unknown", "video_id")


OUTSIDE = [
    *("/../../etc/passwd", "//etc/passwd", "/%00", "/assets/../app.py", "/assets/..%2fapp.py", "/assets/..\\app.py"),
    *(
        "/assets/%2e%2e/app.py",
        "/assets/%00",
        "/assets/.",
        "/assets/..",
        "/assets/",
        "/v1/jobs/..%2f..",
        "/v1/jobs/%00",
    ),
    *("/v1/videos/../../etc/passwd/stream", "/v1/exports/../../x/file", "/v1/exports/..%2f..%2ftoken/file"),
    *("/v1/jobs/%00", "/v1/exports/%00/file", "/v1/exports/./file", "/v1/exports/..%5ctoken/file"),
    "/style.css/../app.py",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_raw_path_climbs_nowhere(live: Live, path: str) -> None:
    connection = HTTPConnection("127.0.0.1", live.port, timeout=300)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status in (404, 422), path
    assert "error" in json.loads(answer.read())
    connection.close()


def test_a_bind_that_others_can_reach_needs_a_token() -> None:
    with pytest.raises(ConfigError, match=r"host 0\.0\.0\.0: others can reach it, so a token is needed"):
        ServeConfig(folder=Path("x"), host="0.0.0.0")
    assert [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "[::1]", "127.9.9.9")] == [True] * 5
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "localhost.example", "")))


def test_a_token_is_made_once_and_only_its_hash_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRVR_TOKEN", raising=False)
    assert token_for(tmp_path, "127.0.0.1", new=False) == (None, None)
    digest, token = token_for(tmp_path, "0.0.0.0", new=False)
    assert token
    assert len(token) >= 32
    assert digest == digest_of(token)
    kept = tmp_path / "serve" / "token"
    assert token not in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0
    assert token_for(tmp_path, "0.0.0.0", new=False) == (digest, None)
    assert token_for(tmp_path, "0.0.0.0", new=True)[0] != digest
    monkeypatch.setenv("PRVR_TOKEN", TOKEN)
    assert token_for(tmp_path, "127.0.0.1", new=False) == (digest_of(TOKEN), None)
    monkeypatch.setenv("PRVR_TOKEN", "short")
    with pytest.raises(ConfigError, match="PRVR_TOKEN: is shorter than 16 characters"):
        token_for(tmp_path, "0.0.0.0", new=False)


def test_parts_of_a_request_by_hand() -> None:
    assert [host_name(host) for host in ("[::1]:80", "a:80", "a", "")] == ["[::1]", "a", "a", ""]
    assert bearer({"authorization": "bearer  x "}) == "x"
    assert bearer({"cookie": "other=1; prvr=y"}) == "y"
    assert bearer({"authorization": "Basic x", "cookie": ""}) is None
    assert bearer({"cookie": "prvr=old; prvr-1=new"}, "prvr-1") == "new"
    assert bearer({"cookie": "prvr-2=x; xprvr=y; prvr"}) is None
    host = "prvr.example"
    for origin, asked in (
        *((f"https://{host}", host), (f"https://{host}", f"{host}:443"), (f"http://{host}:80", f"{host.upper()}:80")),
        *((f"https://{host}:8443", f"{host}:8443"), ("http://[::1]:8765", "[::1]:8765")),
    ):
        assert same_origin(origin, asked), (origin, asked)
    for origin, asked in (
        *((f"https://{host}:8443", host), (f"http://{host}", f"{host}:443"), ("null", host), ("https://", "")),
        *((f"https://{host}.evil", host), (f"file://{host}", host), (f"http://{host}:x", host), ("http://[", host)),
    ):
        assert not same_origin(origin, asked), (origin, asked)


OTHERS = [
    'a={"x": [1, 2]}',
    "b=[1]",
    "c=a b",
    "d=é",
    "bare",
    "path=/x",
    "$Version=1",
    'e="unclosed',
    "=",
    "prvr-other=1",
]


def test_cookies_of_other_programs_lock_nobody_out(guarded: TestClient) -> None:
    kept = guarded.post("/v1/session", json={"token": TOKEN}).headers["set-cookie"].partition(";")[0]
    guarded.cookies.clear()
    for own in (kept, f'prvr="{TOKEN}"'):
        for cookies in (*([other, own] for other in OTHERS), *([own, other] for other in OTHERS), [*OTHERS, own]):
            answer = guarded.get("/v1/libraries", headers={b"cookie": "; ".join(cookies).encode("latin-1")})
            assert answer.status_code == 200, cookies
    assert guarded.get("/v1/libraries", headers={b"cookie": "; ".join(OTHERS).encode("latin-1")}).status_code == 401


def test_a_browser_that_knows_its_own_page_is_believed(guarded: TestClient) -> None:
    """Behind a proxy that hands on the host's name without its port."""
    asked = {**with_token(), "origin": "https://prvr.example:8443"}
    check(guarded.post("/v1/search", json={"query_text": "a"}, headers=asked), 403, "origin_foreign")
    same = {**asked, "sec-fetch-site": "same-origin"}
    assert guarded.post("/v1/search", json={"query_text": "a"}, headers=same).status_code == 200
    near = {**asked, "sec-fetch-site": "same-site"}
    check(guarded.post("/v1/search", json={"query_text": "a"}, headers=near), 403, "origin_foreign")


def test_answers_are_not_kept_by_caches(client: TestClient) -> None:
    assert client.get("/v1/libraries").headers["cache-control"] == "no-store"
    made = client.get("/healthz", headers={"x-request-id": "x" * 65}).headers["x-request-id"]
    assert len(made) == 16
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
