"""The server on its socket: clients that are slow, that leave, that come in crowds, and the end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from prvr.cli import main
from prvr.core.errors import ConfigError
from prvr.serve import protocol
from prvr.serve.protocol import LONGEST_HEAD
from prvr.serve.runner import bound, shown
from tests.serve.conftest import HEAD, KEY, Live, config_of, serving, until
from tests.service import tasks

QUICK = {"head_s": 0.4, "body_s": 0.6}
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connected(live: Live) -> socket.socket:
    return socket.create_connection(("127.0.0.1", live.port), timeout=300)


def rest(raw: socket.socket) -> bytes:
    """Everything until the server hangs up."""
    parts = []
    try:
        while part := raw.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def said(answer: bytes) -> tuple[int, str]:
    """Status and code of an error as it came over the wire."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-security-policy" in head
    return int(head.split()[1]), json.loads(body)["error"]["code"]


def test_a_head_that_trickles_in_is_cut_off(library: Path) -> None:
    with serving(config_of(library, **QUICK)) as live, connected(live) as slow:
        began = time.monotonic()
        answer = b""
        slow.settimeout(0.05)
        for letter in GET[:-2] + b"X: " + b"y" * 1000:
            try:
                slow.sendall(bytes([letter]))
                answer += slow.recv(65_536)
            except TimeoutError:
                continue
            except OSError:
                break
            break
        assert time.monotonic() - began < 12  # the usual patience is longer
        slow.settimeout(300)
        assert said(answer + rest(slow)) == (408, "too_slow")
        assert asked(live, "/healthz")[0] == 200


def test_a_client_that_says_nothing_is_cut_off(library: Path) -> None:
    with serving(config_of(library, **QUICK)) as live, connected(live) as silent:
        began = time.monotonic()
        assert said(rest(silent)) == (408, "too_slow")
        assert 0.2 < time.monotonic() - began < 12


def test_a_body_that_trickles_in_is_cut_off(library: Path) -> None:
    with serving(config_of(library, **QUICK)) as live, connected(live) as slow:
        began = time.monotonic()
        slow.sendall(
            f"POST /v1/search HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\n"
            "Content-Length: 1000\r\n\r\n{".encode()
        )
        assert rest(slow) == b""
        assert 0.4 < time.monotonic() - began < 50  # the usual patience is longer
        until(lambda: not live.server.server_state.tasks)


def test_a_quick_client_keeps_its_connection_longer_than_a_head_may_take(library: Path) -> None:
    with serving(config_of(library, head_s=2.0)) as live:
        connection = HTTPConnection("127.0.0.1", live.port, timeout=300)
        began = time.monotonic()
        while time.monotonic() - began < 2.5:
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
            assert connection.sock is not None
            time.sleep(0.25)
        connection.close()


def test_an_answer_may_take_longer_than_a_request(library: Path) -> None:
    with serving(config_of(library, **QUICK)) as live:
        let_go = threading.Event()
        live.desk._thread.submit(let_go.wait, 300)
        threading.Timer(1.2, let_go.set).start()
        assert asked(live, "/v1/search?q=a%20red%20circle")[0] == 200


def test_when_all_connections_are_taken_the_slowest_makes_room(library: Path) -> None:
    with serving(config_of(library, connections=8)) as live:
        slow = [connected(live) for _ in range(8)]
        until(lambda: len(live.server.server_state.connections) == 8)
        for _ in range(3):
            with connected(live) as quick:
                quick.sendall(GET)
                assert quick.recv(65_536).startswith(b"HTTP/1.1 200")
        assert said(rest(slow[0])) == (503, "connections_full")
        for one in slow:
            one.close()


def test_what_is_no_http_is_told_in_our_form(live: Live) -> None:
    for nonsense in (
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET / SPDY/9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
    ):
        with connected(live) as raw:
            raw.sendall(nonsense)
            assert said(rest(raw)) == (400, "http_invalid")
    with connected(live) as raw:
        raw.sendall(b"GET /?" + b"a" * LONGEST_HEAD)  # and so on
        assert said(rest(raw)) == (400, "http_invalid")


def test_cookies_of_other_programs_may_be_many_and_long(live: Live) -> None:
    """As many as browsers keep for a host: 180 of 4 kB."""
    cookies = "; ".join(f"other{number}={'x' * 4080}" for number in range(180))
    with connected(live) as raw:
        raw.sendall(f"GET /readyz HTTP/1.1\r\n{HEAD}Cookie: {cookies}\r\nConnection: close\r\n\r\n".encode())
        assert rest(raw).startswith(b"HTTP/1.1 200")


def test_heads_that_do_not_end_take_only_so_much_memory(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "ALL_HEADS", 300_000)
    with serving(config_of(library)) as live:
        small, large = connected(live), connected(live)
        large.sendall(b"GET /?" + b"a" * 250_000)
        small.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"a" * 100_000)
        assert said(rest(large)) == (503, "connections_full")
        small.sendall(b"\r\nConnection: close\r\n\r\n")
        assert rest(small).startswith(b"HTTP/1.1 200")
        small.close()
        large.close()


def test_the_longest_query_fits_in_a_url(live: Live) -> None:
    assert asked(live, "/v1/search?q=" + "%E4%BD%A0" * 1000 + "%20" * 1000)[0] == 200
    assert asked(live, "/v1/search?q=" + "%F0%9F%98%80" * 2001)[0] == 422


def asked(live: Live, path: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", live.port, timeout=300)
    connection.request("GET", path, headers=KEY)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def told(live: Live, path: str) -> dict[str, Any]:
    status, body = asked(live, path)
    assert status == 200
    found: dict[str, Any] = json.loads(body)
    return found


def test_clients_that_leave_cost_nothing(library: Path) -> None:
    with serving(config_of(library)) as live:
        worked: list[int] = []
        live.desk.batches = worked.append
        let_go = threading.Event()
        live.desk._thread.submit(let_go.wait, 300)
        leaving = [connected(live) for _ in range(20)]
        for number, raw in enumerate(leaving):
            raw.sendall(f"GET /v1/search?q=a+circle+{number} HTTP/1.1\r\n{HEAD}\r\n".encode())
        until(lambda: live.desk.waiting == 20)
        for raw in leaving:
            raw.close()
        until(lambda: live.desk.waiting == 0)
        let_go.set()
        assert asked(live, "/v1/search?q=a+star")[0] == 200
        assert sum(worked) == 1
        until(lambda: len(live.server.server_state.tasks) == 0)


def test_a_crowd_is_answered_without_an_error(live: Live) -> None:
    codes: list[int] = []

    def one(number: int) -> None:
        connection = HTTPConnection("127.0.0.1", live.port, timeout=300)
        for turn in range(2):
            connection.request("GET", f"/v1/search?q=a+red+circle+{number}+{turn}", headers=KEY)
            answer = connection.getresponse()
            answer.read()
            codes.append(answer.status)
        connection.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert codes == [200] * 200


WRITER = """
import sys, torch
from pathlib import Path
from prvr.core.facts import Facts
from prvr.core.types import Bank
from prvr.index.opening import open_index
folder = Path(sys.argv[1])
with open_index(folder, write=True) as index:
    print("ready", flush=True)
    for number, _ in enumerate(sys.stdin):  # a commit for every line
        if number % 3 == 2:
            index.remove(f"new{number - 1}")
            print(len(index), flush=True)
            continue
        tokens = torch.nn.functional.normalize(torch.randn(9, index.header.width), dim=1)
        spans = torch.stack([torch.arange(9.0), torch.arange(9.0) + 1], 1)
        index.add(f"new{number}", Bank(tokens, spans, 9), facts=Facts(duration_s=9.0))
        index.save(folder)
        print(len(index), flush=True)
"""


def test_searching_while_another_process_writes(own: Path) -> None:
    """Every answer is of one commit: whole, never an error, and never older than what was known to be written."""
    path = "/v1/search?q=a+red+circle&limit=100"
    command, pipe = [sys.executable, "-c", WRITER, str(own)], subprocess.PIPE
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (
        serving(config_of(own)) as live,
        subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as writer,
    ):
        assert writer.stdin
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
        written = 36
        for _ in range(16):
            writer.stdin.write("\n")
            writer.stdin.flush()  # and while it writes:
            found = told(live, path)
            ids = {hit["video_id"] for hit in found["data"]}
            assert len(ids) == len(found["data"]) == found["num_videos"] == found["num_asked"]
            before, written = written, int(writer.stdout.readline())
            assert found["num_videos"] in (before, written)
        writer.stdin.close()
        assert writer.wait(300) == 0
        assert told(live, path)["num_videos"] == written == 36 + 11 - 5


def test_packets_are_sent_at_once(library: Path) -> None:
    """asyncio turns Nagle's delay off only where the protocol is named; with it every answer takes 40 ms."""
    with bound(config_of(library)) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_a_taken_port_gives_the_next(library: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with bound(config_of(library).__class__(folder=library, port=port)) as listening:
            assert port < listening.getsockname()[1] <= port + 50
    with pytest.raises(ConfigError, match=r"--host 127\.0\.0\.256: cannot listen there"):
        bound(config_of(library, host="127.0.0.256", token="x"))
    assert [shown(host) for host in ("0.0.0.0", "::", "::1", "name")] == [
        "127.0.0.1",
        "[::1]",
        "[::1]",
        "name",
    ]


def test_a_stream_without_an_end_does_not_keep_the_server(library: Path, tmp_path: Path) -> None:
    with serving(config_of(library)) as live:
        job = live.app.state.prvr.jobs.start("export", tasks.wait_for, tmp_path / "never")
        connection = HTTPConnection("127.0.0.1", live.port, timeout=300)
        connection.request("GET", f"/v1/jobs/{job.id}/events", headers=KEY)
        answer = connection.getresponse()
        assert answer.readline() == b"event: progress\n"
        live.server.handle_exit()
        answer.read()  # comes to its end; one that is cut off raises IncompleteRead
        until(lambda: not live.server.server_state.connections)
        connection.close()


def test_who_does_not_read_is_cut_off_when_the_server_stops(library: Path) -> None:
    async def endless(_: Request) -> Response:
        return Response(b"x" * 50_000_000)

    with serving(config_of(library)) as live:
        live.app.add_route("/endless", endless)
        raw = connected(live)
        raw.sendall(f"GET /endless HTTP/1.1\r\n{HEAD}\r\n".encode())
        assert raw.recv(12) == b"HTTP/1.1 200"
    assert not live.server.server_state.connections
    with raw:
        assert 0 < len(rest(raw)) < 50_000_000


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command says."""
    assert main(list(words)) == 0
    return capsys.readouterr().out.strip()


def test_prvr_serve_from_its_first_line_to_its_end(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "prvr", "serve", "--index", str(library), "--port", "0", "--no-open"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert server.stderr
    try:
        lines = [server.stderr.readline(), server.stderr.readline()]
        lines.append(server.stderr.readline())
        url = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=[\w-]{32}&q=A", lines[0])
        assert url, lines
        assert "36 videos" in lines[1]
        assert lines[2].endswith(f"prvr serve --index {library} --link\n")
        mine = ["serve", "--index", str(library)]
        token, other = printed(capsys, *mine, "--show-token"), printed(capsys, *mine, "--link")
        with httpx.Client(base_url=f"http://127.0.0.1:{url[1]}", timeout=300) as program:
            assert program.get("/readyz").status_code == 401
            assert program.get("/readyz", headers={"authorization": f"Bearer {token}"}).status_code == 200
        with httpx.Client(follow_redirects=True, timeout=300, headers={"user-agent": "Firefox/140 (Linux)"}) as one:
            assert one.get(url[0]).status_code == 200
            assert one.get(other).status_code == 200, "who is in needs no link, but it is spent"
            (session,) = json.loads(printed(capsys, *mine, "--sessions", "--json"))
            assert session["browser"] == "Firefox on Linux"
            assert printed(capsys, *mine, "--sessions").startswith(f"{session['id']}  since ")
            assert main([*mine, "--revoke", "00000000"]) == 1
            assert "no such session" in capsys.readouterr().err
            assert main([*mine, "--revoke", session["id"]]) == 0
            assert one.get(f"http://127.0.0.1:{url[1]}/v1/libraries").status_code == 401, "at once"
        server.send_signal(signal.SIGINT)
        assert server.wait(300) == 0
        assert server.stderr.read() == "Stopped\n"
        assert main([*mine, "--link"]) == 1
        assert f"no server runs over {library}; start it" in capsys.readouterr().err
    finally:
        server.kill()
        server.wait()
        server.stderr.close()
