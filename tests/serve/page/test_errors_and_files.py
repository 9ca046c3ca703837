"""Files that give trouble: those that could not be read, and those that lie elsewhere now."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from prvr.encoders.world import load_world_encoder
from prvr.search.indexing import build_index
from prvr.service.sessions import digest_of
from tests.serve.conftest import config_of
from tests.serve.page.browser import (
    MOON,
    MOON_FILM,
    NUM_FILMS,
    PHONE,
    Serve,
    Visitor,
    button,
    cards,
    hits,
    is_wide,
    judged,
    needs_chromium,
    picture,
    search,
    showing,
    until,
)
from tests.serve.test_moved import program

pytestmark = needs_chromium
TOKEN = "a token that this test has made up"


@pytest.fixture
def spoilt(reel: Path) -> Path:
    """The films and two files that are none."""
    (reel / "videos" / "deep").mkdir()
    (reel / "videos" / "deep" / "cut.mp4").write_bytes(b"cut off")
    (reel / "videos" / "junk.mp4").write_bytes(b"")
    assert len(build_index([reel / "videos"], reel, load_world_encoder()).extraction.failed) == 2
    return reel


def errors(page: Page, number: int) -> Locator:
    """The table that the foot of the page opens."""
    foot = page.get_by_role("contentinfo")
    expect(foot).to_contain_text(f"{NUM_FILMS} videos")
    foot.get_by_role("button", name=f"{number} files could not be read").click()
    return page.get_by_role("dialog", name="Files that could not be read")


def test_files_that_could_not_be_read(visit: Visitor, serve: Serve, spoilt: Path, tmp_path: Path) -> None:
    """They are there after a restart; one is mended and tried again, the other ignored."""
    page = visit(serve(config_of(spoilt)).url)
    dialog = errors(page, 2)
    rows = dialog.get_by_role("rowgroup").last.get_by_role("row")
    expect(rows).to_have_count(2)
    expect(rows.nth(0).get_by_role("rowheader")).to_have_text(f"cut.mp4{spoilt / 'videos' / 'deep'}")
    expect(rows.nth(0)).to_contain_text("is not a video that FFmpeg can read")
    expect(rows.nth(1).get_by_role("cell").nth(0)).to_have_text("does not open")
    expect(rows.nth(1)).to_contain_text("is empty (0 bytes)")
    judged(page)
    picture(page, "errors", tmp_path)
    with page.expect_download() as download:
        dialog.get_by_role("link", name="Download as a table (CSV)").click()
    with Path(download.value.path()).open(newline="") as file:
        assert [Path(row["file"]).name for row in csv.DictReader(file)] == ["cut.mp4", "junk.mp4"]

    shutil.copy(spoilt / "videos" / MOON_FILM, spoilt / "videos" / "deep" / "cut.mp4")
    button(page, "Try again: cut.mp4").press("Enter")
    expect(rows).to_have_count(1)
    expect(dialog.get_by_role("status")).to_be_empty()
    expect(page.get_by_role("contentinfo", include_hidden=True)).to_contain_text(f"{NUM_FILMS + 1} videos")
    button(page, "Ignore: junk.mp4").press("Enter")
    expect(dialog).to_contain_text("Every file could be read.")
    expect(dialog).to_contain_text("1 file is ignored until changed. To try again: prvr index --retry.")
    assert page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(page.get_by_role("contentinfo").get_by_role("button", name="could not be read")).to_have_count(0)


def test_on_a_phone_elsewhere(visit: Visitor, serve: Serve, spoilt: Path, tmp_path: Path) -> None:
    """With a token: names, no folders, and nothing to try again."""
    visit.excuse("401")
    live = serve(config_of(spoilt, host="0.0.0.0", token=digest_of(TOKEN)))
    page = visit(live.url, size=PHONE, has_touch=True, is_mobile=True)
    page.get_by_label("Token").fill(TOKEN)
    button(page, "Unlock").click()
    dialog = errors(page, 2)
    expect(dialog.get_by_role("rowheader")).to_have_text(["cut.mp4", "junk.mp4"])
    expect(dialog.get_by_role("button", name="Try")).to_have_count(0)
    assert str(spoilt) not in page.content()
    judged(page)
    assert not is_wide(page)
    picture(page, "errors-phone", tmp_path)
    button(page, "Ignore: cut.mp4").click()
    expect(dialog.get_by_role("rowheader")).to_have_text(["junk.mp4"])


def test_a_film_that_lies_elsewhere_is_located(visit: Visitor, serve: Serve, reel: Path, tmp_path: Path) -> None:
    """By the keyboard, after a wrong path; then it plays, and nothing was read again."""
    (tmp_path / "elsewhere").mkdir()
    (reel / "videos" / MOON_FILM).rename(tmp_path / "elsewhere" / "moon.webm")
    visit.excuse("409|410|404")
    page = visit(serve(config_of(reel)).url)
    search(page, MOON)
    card = page.get_by_role("article").first
    expect(hits(page).first).to_have_accessible_name(f"{MOON_FILM}, File not found")
    expect(page.get_by_role("complementary").get_by_role("button", name="Locate…")).to_be_visible()
    picture(page, "missing", tmp_path)
    button(page, f"More for {MOON_FILM}").click()
    expect(page.get_by_role("menuitem", name="Reveal in folder")).to_have_count(0)
    page.get_by_role("menuitem", name="Locate…").press("Escape")
    card.get_by_role("button", name="Locate…").press("Enter")
    dialog = page.get_by_role("dialog", name=f"Where is {MOON_FILM} now?")
    field = dialog.get_by_role("textbox", name="The file, or the folder it is in")
    expect(field).to_be_focused()
    page.keyboard.type(str(reel / "videos" / "w0003.webm"))
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("is in the index already, as w0003.webm")
    judged(page)
    picture(page, "locate", tmp_path)
    field.fill(str(tmp_path / "elsewhere" / "moon.webm"))
    field.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("status").filter(has_text="Found moon.webm again")).to_be_visible()
    expect(cards(page).first).to_contain_text("moon.webm")
    expect(hits(page).first).to_be_focused()
    page.keyboard.press("Enter")
    showing(page, 42, 50, paused=False)


def test_a_film_is_shown_in_its_folder(
    visit: Visitor, serve: Serve, reel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = program(tmp_path, "dbus-send", code=0)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("DISPLAY", ":99")
    page = visit(serve(config_of(reel)).url)
    search(page, MOON)
    button(page, f"More for {MOON_FILM}").click()
    page.get_by_role("menuitem", name="Reveal in folder").click()
    until(page, asked.exists, what="the file manager")
    until(page, lambda: str(reel / "videos" / MOON_FILM) in asked.read_text(), what="its file")
    played = program(tmp_path, "vlc", code=0)
    page.reload()
    button(page, f"More for {MOON_FILM}").click()
    page.get_by_role("menuitem", name="Open in VLC").click()
    until(page, played.exists, what="the player")
    assert re.match(r"--start-time=4[2-4]\.\d{3}\n", played.read_text())
    played.unlink()
    button(page, "Open in VLC").click()
    until(page, played.exists, what="the player, from the second that is shown")
    monkeypatch.delenv("DISPLAY")
    page.reload()
    button(page, f"More for {MOON_FILM}").click()
    expect(page.get_by_role("menuitem", name="Copy path")).to_be_visible()
    expect(page.get_by_role("menuitem", name="Reveal in folder")).to_have_count(0)
