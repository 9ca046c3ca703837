"""Files that give trouble: those that could not be read, and those that lie elsewhere now."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from prvr.encoders.world import load_world_encoder
from prvr.search.indexing import build_index
from prvr.serve.security import digest_of
from tests.serve.conftest import config_of
from tests.serve.page.browser import (
    MOON_FILM,
    NUM_FILMS,
    PHONE,
    Serve,
    Visitor,
    button,
    is_wide,
    needs_chromium,
    picture,
)
from tests.serve.page.test_access import judged

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
    expect(foot).to_contain_text(f"index {NUM_FILMS}/{NUM_FILMS + number}")
    foot.get_by_role("button", name=f"{number} error").click()
    return page.get_by_role("dialog", name="Files that could not be indexed")


def test_files_that_could_not_be_read(visit: Visitor, serve: Serve, spoilt: Path, tmp_path: Path) -> None:
    """They are there after a restart; one is mended and tried again, the other ignored."""
    page = visit(serve(config_of(spoilt)).url)
    dialog = errors(page, 2)
    rows = dialog.get_by_role("rowgroup").last.get_by_role("row")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text(str(spoilt / "videos" / "deep" / "cut.mp4"))
    expect(rows.nth(0)).to_contain_text("is not a video that FFmpeg can read")
    expect(rows.nth(1).get_by_role("cell").nth(0)).to_have_text("opening")
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
    expect(page.get_by_role("contentinfo", include_hidden=True)).to_contain_text(
        f"index {NUM_FILMS + 1}/{NUM_FILMS + 2}"
    )
    button(page, "Ignore: junk.mp4").press("Enter")
    expect(dialog).to_contain_text("Every file could be read.")
    expect(dialog).to_contain_text("1 ignored until they change; prvr index --retry tries them again.")
    assert page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(page.get_by_role("contentinfo").get_by_role("button")).to_have_count(0)


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
