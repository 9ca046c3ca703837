"""Who may ask: loopback, tokens, other sites, other names, rates, sizes, and no file but those of the index."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from starlette.testclient import TestClient

from prvr.core.errors import ConfigError
from prvr.core.places import is_loopback
from prvr.serve import security
from prvr.serve.errors import ApiError
from prvr.serve.runner import lock_for
from prvr.serve.security import bearer, cookies, host_name, hosts, same_origin
from prvr.serve.settings import ServeConfig
from prvr.service.rate import Rate
from prvr.service.sessions import Sessions, digest_of
from tests.serve.conftest import KEY, Live, asking, config_of, serving, until
from tests.serve.test_api_errors import check
from tests.service import tasks

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
    ("POST", "/v1/videos/w0000.webm/open"),
    ("GET", "/v1/videos/w0000.webm/stream"),
    ("HEAD", "/v1/videos/w0000.webm/stream"),
    ("GET", "/v1/videos/w0000.webm/thumb?t=1"),
    ("GET", "/v1/videos/w0000.webm/scores?q=a"),
    ("GET", "/v1/videos/w0000.webm/why?q=a"),
    ("GET", "/v1/search?q=a"),
    ("POST", "/v1/search"),
    ("POST", "/v1/search/image"),
    ("POST", "/v1/locate"),
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


def test_what_is_open_to_all(guarded: TestClient) -> None:
    assert guarded.get("/healthz").status_code == 200
    check(guarded.get("/"), 401, "token_missing")


def test_people_without_a_session_read_what_to_do(guarded: TestClient) -> None:
    """The page with its form at the start, a few words elsewhere; neither says anything of the library."""
    browser = {"accept": "text/html,*/*;q=0.8"}
    start = guarded.get("/", headers=browser)
    assert (start.status_code, "/assets/" in start.text or "assets/" in start.text) == (401, True)
    assert start.headers["cache-control"] == "no-store"
    elsewhere = guarded.get("/plain?q=a", headers=browser)
    assert elsewhere.status_code == 401
    assert "prvr serve --link" in elsewhere.text
    assert guarded.get("/", headers={**browser, **with_token()}).status_code == 200


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
            connection.request("GET", f"/v1/videos/{encoded}{route}", headers=KEY)
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
    connection.request("GET", path, headers=KEY)
    answer = connection.getresponse()
    assert answer.status in (404, 422), path
    assert "error" in json.loads(answer.read())
    connection.close()


def test_a_bind_that_others_can_reach_needs_a_token() -> None:
    with pytest.raises(ConfigError, match=r"host 0\.0\.0\.0: others can reach it, so a token is needed"):
        ServeConfig(folder=Path("x"), host="0.0.0.0")
    assert [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "[::1]", "127.9.9.9")] == [True] * 5
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "localhost.example", "")))


def test_a_token_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept where nobody else looks, by the place of the index; what the index itself says is believed nowhere."""
    monkeypatch.setenv("PRVR_DATA", str(tmp_path / "mine"))
    monkeypatch.delenv("PRVR_TOKEN", raising=False)
    index = tmp_path / "index"
    (index / "serve").mkdir(parents=True)
    (index / "serve" / "token").write_text(digest_of("planted by somebody else"))
    lock = lock_for(index)
    assert lock.token
    assert len(lock.token) >= 32
    assert (lock.digest, lock.shared) == (digest_of(lock.token), False)
    assert lock.keyring
    assert lock.keyring.is_relative_to(tmp_path / "mine")
    assert lock.keyring.stat().st_mode & 0o077 == 0
    assert {file.stat().st_mode & 0o077 for file in lock.keyring.iterdir()} == {0}
    assert lock_for(index) == lock_for(tmp_path / "index" / ".." / "index") == lock
    assert lock_for(tmp_path / "other").token != lock.token
    assert lock_for(index, new=True).token != lock.token
    assert lock_for(index, free=True) == (None, None, False, lock.keyring)
    monkeypatch.setenv("PRVR_TOKEN", TOKEN)
    assert lock_for(index) == (digest_of(TOKEN), None, True, lock.keyring)
    monkeypatch.setenv("PRVR_TOKEN", "short")
    with pytest.raises(ConfigError, match="PRVR_TOKEN: is shorter than 16 characters"):
        lock_for(index)


def test_a_keyring_of_another_account_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRVR_DATA", str(tmp_path))
    monkeypatch.setattr("os.getuid", lambda: 12_345)
    with pytest.raises(ConfigError, match="belongs to another account; name a folder of your own by XDG_STATE_HOME"):
        lock_for(tmp_path / "index")


def sessions(client: TestClient) -> Sessions:
    found: Sessions = client.app.state.prvr.doorman.sessions  # type: ignore[attr-defined]
    return found


def test_a_link_opens_once_and_becomes_a_session(guarded: TestClient) -> None:
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    browser, kept = {"accept": "text/html", "user-agent": firefox}, sessions(guarded)
    kept.end()
    made, other = kept.invite(), kept.invite()
    first = guarded.get(f"/?token={made}&q=a+red+circle", headers=browser, follow_redirects=False)
    assert (first.status_code, first.headers["location"]) == (303, "/?q=a+red+circle")
    try:
        assert guarded.get("/", headers=browser).status_code == 200
        assert guarded.get("/v1/libraries").status_code == 200
        for again in (made, other):  # a reload or a bookmark; and the link of a server that was started again
            assert guarded.get(f"/?token={again}", headers=browser).status_code == 200
        (session,) = kept.listed()
        assert (session.browser, session.address) == ("Firefox on Linux", "192.0.2.1")
        assert kept.end(session.id) == 1
        assert guarded.get("/v1/libraries").status_code == 401
    finally:
        guarded.cookies.clear()
    for spent in (made, other, "guess"):
        assert guarded.get(f"/?token={spent}", headers=browser).status_code in (401, 429)
    check(guarded.get("/v1/libraries", headers=with_token(kept.invite())), 429, "token_tries")  # links are no tokens


def test_the_token_opens_no_address(guarded: TestClient) -> None:
    """It would stay in the history of the browser, and in the list of processes."""
    assert guarded.get(f"/?token={TOKEN}", follow_redirects=False).status_code in (401, 429)


class Still(Rate):
    """For which no time passes."""

    def spent(self, client: str) -> bool:
        return self._has(client, 0.0) < 1

    def wait(self, client: str, *, now: float | None = None) -> float:
        return super().wait(client, now=0.0)


def test_no_header_evades_the_limit_on_wrong_tokens(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever client it is said to be: all together they are looked at one after the other, and few may wait."""
    monkeypatch.setattr(security, "WRONG_S", 0.0)
    monkeypatch.setattr(security, "Rate", Still)
    config = config_of(library, token=digest_of(TOKEN + "!"), shared=True)

    async def guess(doorman: security.Doorman, token: str, number: int) -> str:
        try:
            await doorman.check(token, f"10.0.0.{number}")
        except ApiError as error:
            return error.code
        return "in"

    compared: list[str] = []

    def equal(one: str, other: str) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr("hmac.compare_digest", equal)

    async def many() -> tuple[list[str], int, str]:
        doorman = security.Doorman(config)
        first = [await guess(doorman, "guess", number) for number in range(20)]
        compared.clear()
        crowd = await asyncio.gather(*(guess(doorman, "guess", number) for number in range(100, 200)))
        looked_at = len(compared)
        return [*first, *crowd], looked_at, await guess(doorman, TOKEN + "!", 1)

    answers, looked_at, right = asyncio.run(many())
    assert answers == ["token_wrong"] * 15 + ["token_tries"] * 105
    assert looked_at == security.LONGEST_LINE
    assert right == "in"


def test_one_client_does_not_take_every_connection(library: Path, tmp_path: Path) -> None:
    with serving(config_of(library, streams=3, connections=40)) as live, contextlib.ExitStack() as held:
        job = live.app.state.prvr.jobs.start("export", tasks.wait_for, tmp_path / "go")
        url = f"/v1/jobs/{job.id}/events"
        client = held.enter_context(live.client())
        streams = [held.enter_context(client.stream("GET", url)) for _ in range(4)]
        assert [answer.status_code for answer in streams] == [200, 200, 200, 429]
        assert json.loads(streams[-1].read())["error"]["code"] == "streams_full"
        assert client.get("/v1/libraries").status_code == 200
        streams[0].close()
        until(lambda: followed(client, url) == 200)
        (tmp_path / "go").touch()


def followed(client: httpx.Client, url: str) -> int:
    with client.stream("GET", url) as answer:
        return answer.status_code


def test_parts_of_a_request_by_hand() -> None:
    assert [host_name(host) for host in ("[::1]:80", "a:80", "a", "")] == ["[::1]", "a", "a", ""]
    assert bearer({"authorization": "bearer  x "}) == "x"
    assert bearer({"authorization": "Basic x", "cookie": ""}) is None
    assert cookies({"cookie": 'prvr=old; prvr-1=new; prvr-1="again"'}, "prvr-1") == ["new", "again"]
    assert cookies({"cookie": "prvr-2=x; xprvr=y; prvr; prvr="}, "prvr") == []
    assert hosts({"host": "a"}) == ["a"]
    assert hosts({"host": "a:1", "x-forwarded-host": "b, c", "x-forwarded-port": "8443"}) == [
        *("a:1", "b", "a:8443", "b:8443")
    ]
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
    name, _, secret = kept.partition("=")
    for own in (kept, f'{name}="{secret}"', f"{name}=old; {kept}"):
        for sent in (*([other, own] for other in OTHERS), *([own, other] for other in OTHERS), [*OTHERS, own]):
            answer = guarded.get("/v1/libraries", headers={b"cookie": "; ".join(sent).encode("latin-1")})
            assert answer.status_code == 200, sent
    assert guarded.get("/v1/libraries", headers={b"cookie": "; ".join(OTHERS).encode("latin-1")}).status_code == 401


def test_a_browser_that_knows_its_own_page_is_believed(guarded: TestClient) -> None:
    """Behind a proxy that hands on the host's name without its port."""
    asked = {**with_token(), "origin": "https://prvr.example:8443"}
    check(guarded.post("/v1/search", json={"query_text": "a"}, headers=asked), 403, "origin_foreign")
    same = {**asked, "sec-fetch-site": "same-origin"}
    assert guarded.post("/v1/search", json={"query_text": "a"}, headers=same).status_code == 200
    near = {**asked, "sec-fetch-site": "same-site"}
    check(guarded.post("/v1/search", json={"query_text": "a"}, headers=near), 403, "origin_foreign")


@pytest.mark.parametrize("said", [{"x-forwarded-host": "prvr.example:8443"}, {"x-forwarded-port": "8443"}])
def test_a_proxy_that_says_its_port_is_believed(guarded: TestClient, said: dict[str, str]) -> None:
    """Browsers do not say whose page asks where there is no encryption."""
    for origin, status in (("http://prvr.example:8443", 200), ("http://prvr.example:9000", 403)):
        asked = {**with_token(), **said, "host": "prvr.example", "origin": origin}
        assert guarded.post("/v1/search", json={"query_text": "a"}, headers=asked).status_code == status


def test_answers_are_not_kept_by_caches(client: TestClient) -> None:
    assert client.get("/v1/libraries").headers["cache-control"] == "no-store"
    made = client.get("/healthz", headers={"x-request-id": "x" * 65}).headers["x-request-id"]
    assert len(made) == 16
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
