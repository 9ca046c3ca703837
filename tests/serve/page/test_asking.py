"""The ways to ask: a sentence, two in order, a picture, something asked before, a key that is completed."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from prvr.video.thumbnail import thumbnail
from tests.serve.conftest import Live
from tests.serve.page.browser import (
    MOON,
    MOON_FILM,
    Visitor,
    box,
    button,
    cards,
    hits,
    needs_chromium,
    opened,
    place,
    search,
    showing,
    until,
)

pytestmark = needs_chromium
DONUT = "A golden valentine is shoving a striped pink donut downtown."  # before MOON in the same film


def test_one_thing_and_then_another(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    box(page).fill(DONUT.removesuffix("."))
    button(page, "Add what happens next").click()
    form = page.get_by_role("form", name="Add what happens next")
    form.get_by_role("textbox").fill(MOON.removesuffix("."))
    form.get_by_label("Within").select_option("1 min")
    form.get_by_role("button", name="Search in this order").click()
    expect(box(page)).to_have_value(f"{DONUT.removesuffix('.')} then {MOON.removesuffix('.')} within 60s")
    expect(cards(page).first).to_contain_text(MOON_FILM)
    expect(form).to_have_count(0)


def test_a_picture_is_a_question(visit: Visitor, site: Live, films: Path, tmp_path: Path) -> None:
    picture = tmp_path / "moon.jpg"
    picture.write_bytes(thumbnail(films / "videos" / MOON_FILM, 45.0, width=192))
    page = visit(site.url)
    with page.expect_file_chooser() as chooser:
        button(page, "Search by a picture").click()
    chooser.value.set_files(picture)
    expect(page.get_by_role("list", name="Filters of this search")).to_contain_text("picture moon.jpg")
    expect(cards(page).first).to_contain_text(MOON_FILM)
    expect(opened(page)).to_have_text(MOON_FILM)
    assert place(page) == {}  # a picture is in no address


def test_what_was_asked_before(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    for text in ("a red circle", MOON):
        search(page, text)
        expect(hits(page).first).to_be_visible()
    button(page, "Clear the search").click()
    box(page).press("ArrowUp")
    expect(page.get_by_role("listbox", name="Recent searches").get_by_role("option")).to_have_text(
        [MOON, "a red circle"]
    )
    box(page).press("ArrowDown")
    box(page).press("Enter")
    expect(box(page)).to_have_value("a red circle")
    until(page, lambda: place(page).get("q") == "a red circle")


def test_keys_and_tags_are_completed(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    box(page).press_sequentially("a moon ta")
    box(page).press("ArrowDown")
    box(page).press("Tab")
    expect(box(page)).to_have_value("a moon tag:")
    box(page).press_sequentially("sh")
    page.get_by_role("option", name="tag:shapes").click()
    expect(box(page)).to_have_value("a moon tag:shapes")
    assert not any("/v1/search" in url for url in visit.asked)  # nothing is sent before Enter
    box(page).press("Enter")
    expect(page.get_by_role("list", name="Filters of this search")).to_contain_text("tag shapes")


def test_list_or_grid(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    search(page, MOON)
    showing(page, 42, 51)
    first, second = (hits(page).nth(number) for number in (0, 1))
    page.keyboard.press("g")
    expect(button(page, "Grid")).to_have_attribute("aria-pressed", "true")
    boxes = [link.bounding_box() for link in (first, second)]
    assert boxes[0]
    assert boxes[1]
    assert boxes[0]["y"] == boxes[1]["y"]
    page.reload()
    expect(button(page, "Grid")).to_have_attribute("aria-pressed", "true")
