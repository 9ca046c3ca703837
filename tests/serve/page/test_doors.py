"""Coming in, staying in and being sent away, as people meet it; and what a server that ended left undone."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from prvr.service.keyring import Keyring
from prvr.service.sessions import digest_of
from prvr.service.unfinished import Unfinished, keep_jobs
from tests.serve.conftest import config_of
from tests.serve.page.browser import (
    DESKTOP,
    MOON,
    MOON_FILM,
    NARROW,
    Serve,
    Visitor,
    cards,
    is_wide,
    judged,
    needs_chromium,
    picture,
    place,
    search,
)

pytestmark = needs_chromium


def test_a_link_lets_one_browser_in_until_it_is_sent_away(
    visit: Visitor, serve: Serve, films: Path, tmp_path: Path
) -> None:
    visit.excuse("401")
    live = serve(config_of(films, token=digest_of("nobody sends this token here")))
    link = f"{live.url}/?token={live.sessions.invite()}&q={quote(MOON)}"
    page = visit(link)
    expect(cards(page).first).to_contain_text(MOON_FILM)
    assert "token" not in place(page)
    page.reload()
    expect(cards(page).first).to_contain_text(MOON_FILM)
    page.goto(link)
    expect(cards(page).first).to_contain_text(MOON_FILM)

    other = visit(link, size=DESKTOP)
    form = other.get_by_role("form", name="This library is locked")
    expect(form).to_contain_text("This address was opened before")
    expect(form).to_contain_text("prvr serve --link")
    assert "w00" not in other.content()
    judged(other)
    picture(other, "locked", tmp_path)
    other.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    assert not is_wide(other)
    expect(visit(live.url).get_by_role("form")).to_contain_text("Open the address that prvr serve printed")
    other.goto(f"{live.url}/?token={live.sessions.invite()}")
    expect(other.get_by_role("region", name="Longest")).to_be_visible()

    assert [one.browser for one in live.sessions.listed()] == ["Chrome or Chromium on Linux"] * 2
    assert live.sessions.end() == 2
    other.reload()
    expect(form).to_be_visible()
    search(page, MOON)
    expect(page.get_by_role("form", name="This library is locked")).to_be_visible()


def test_another_site_that_links_here_leads_in(visit: Visitor, serve: Serve, films: Path, tmp_path: Path) -> None:
    """As the file does that opens the page: browsers keep the cookie back at first, and the page finds it."""
    visit.excuse("401")
    live = serve(config_of(films))
    (tmp_path / "open.html").write_text(
        f'<meta http-equiv="refresh" content="0;url={live.url}/?token={live.sessions.invite()}">'
    )
    page = visit("about:blank")
    page.goto((tmp_path / "open.html").as_uri())
    expect(page.get_by_role("region", name="Longest")).to_be_visible()
    visit.asked = [url for url in visit.asked if not url.startswith(("file:", "about:"))]


def test_what_the_end_of_a_server_broke_off_is_offered(
    visit: Visitor, serve: Serve, films: Path, reel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRVR_DATA", str(tmp_path / "data"))
    folder = tmp_path / "holiday"
    folder.mkdir()
    shutil.copy(films / "videos" / MOON_FILM, folder / "moon.webm")
    keyring = Keyring(reel)
    asked = {"route": "libraries", "asked": {"path": str(folder)}}
    keep_jobs(keyring.unfinished, [Unfinished(letter * 32, "index", "holiday", 0.0, asked) for letter in "ab"])
    page = visit(serve(config_of(reel, keyring=keyring.place)).url)
    bar = page.get_by_role("region", name="Reading videos")
    expect(bar).to_contain_text("Reading holiday was interrupted when the server ended.")
    judged(page)
    bar.get_by_role("button", name="Dismiss").click()
    expect(bar).not_to_be_visible()
    page.reload()
    bar.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("All videos can be searched.")).to_be_visible()
    expect(bar).not_to_be_visible()
    assert page.request.get(page.url.partition("?")[0] + "v1/videos/moon.webm").ok
