"""Links open once, sessions last, and two processes that look at them see the same."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from prvr.service.keyring import Keyring
from prvr.service.sessions import Sessions, SessionsUnusable, browser_of


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "mine" / "sessions.db"


def test_a_link_opens_once_whoever_looks(place: Path) -> None:
    server, command = Sessions(place, token="a"), Sessions(place)
    made = command.invite()
    assert server.spend(made)
    assert not server.spend(made)
    assert not command.spend(made)
    assert not server.spend("")


def test_sessions_outlive_the_server_and_end_everywhere_at_once(place: Path) -> None:
    before = Sessions(place, token="a")
    secret, other = (before.begin(address="127.0.0.1", agent="curl/8.5") for _ in range(2))
    before.close()
    server, command = Sessions(place, token="a"), Sessions(place)
    digest = server.holds(secret, "127.0.0.1")
    assert digest is not None
    assert server.lasts(digest)
    assert server.holds("guess", "127.0.0.1") is None
    assert [(one.browser, one.address) for one in command.listed()] == [("curl", "127.0.0.1")] * 2
    assert command.end(digest[:8]) == 1
    assert server.holds(secret, "127.0.0.1") is None
    assert not server.lasts(digest)
    assert server.holds(other, "127.0.0.1")
    link = server.invite()
    assert command.end() == 1
    assert not server.spend(link)
    assert server.holds(other, "127.0.0.1") is None


def test_a_new_token_ends_the_sessions_of_the_old_one(place: Path) -> None:
    secret = Sessions(place, token="a").begin(address="", agent="")
    assert Sessions(place, token="b").holds(secret, "") is None
    assert Sessions(place, token="a").holds(secret, "")


def test_what_is_not_used_ends_and_use_is_noted(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    kept = Sessions(place)
    secret, link = kept.begin(address="10.0.0.1", agent=""), kept.invite()
    now += 20 * 86_400
    assert kept.holds(secret, "10.0.0.2")
    assert not kept.spend(link)
    (session,) = kept.listed()
    assert (session.used_at, session.address) == (now, "10.0.0.2")
    now += 20 * 86_400
    assert kept.holds(secret, "10.0.0.2")
    now += 31 * 86_400
    assert kept.holds(secret, "10.0.0.2") is None
    assert kept.listed() == []


def test_only_digests_are_kept_and_only_for_this_user(place: Path) -> None:
    kept = Sessions(place)
    secret, link = kept.begin(address="", agent=""), kept.invite()
    kept.close()
    for file in place.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0
        assert secret.encode() not in file.read_bytes()
        assert link.encode() not in file.read_bytes()
    assert place.parent.stat().st_mode & 0o077 == 0


def test_a_damaged_file_costs_the_sessions_and_nothing_else(place: Path) -> None:
    Sessions(place).close()
    place.write_bytes(b"no database at all" * 100)
    kept = Sessions(place)
    assert kept.listed() == []
    assert kept.spend(kept.invite())
    (place.parent / "taken").mkdir()
    with pytest.raises(SessionsUnusable, match="sessions cannot be kept or read there"):
        Sessions(place.parent / "taken")


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
            "Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605 (KHTML, like Gecko) Version/18 Safari/605",
            "Safari on macOS",
        ),
        (
            "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36",
            "Chrome or Chromium on Android",
        ),
        ("curl/8.5.0", "curl"),
        ("\x1b[31m" * 40, "31m"),
        ("", "unknown"),
    ],
)
def test_kinds_of_browser(agent: str, said: str) -> None:
    assert browser_of(agent)[:30] == (said if said != "31m" else ("31m" * 40)[:30])


def test_servers_that_run_are_found_and_dead_ones_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRVR_DATA", str(tmp_path))
    keyring = Keyring(tmp_path / "index")
    assert keyring.running() == []
    with keyring.announced("http://127.0.0.1:1", tmp_path), keyring.announced("http://127.0.0.1:2", tmp_path):
        assert {one.url for one in keyring.running()} == {"http://127.0.0.1:1", "http://127.0.0.1:2"}
        assert Keyring(tmp_path / "other").running() == []
    assert keyring.running() == []
    dead = keyring.place / "1-00000000.running"  # of one that was killed
    dead.write_text('{"url": "http://127.0.0.1:3", "doors": "/"}')
    assert keyring.running() == []
    assert not dead.exists()
