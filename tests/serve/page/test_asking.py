"""The ways to ask: a sentence, two in order, a picture, something asked before, a key that is completed."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

from playwright.sync_api import expect

from prvr.video.cut import cut
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
    judged,
    needs_chromium,
    opened,
    picture,
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
    still = tmp_path / "moon.jpg"
    still.write_bytes(thumbnail(films / "videos" / MOON_FILM, 45.0, width=192))
    page = visit(site.url)
    with page.expect_file_chooser() as chooser:
        button(page, "Search by a picture, or find where a clip is from").click()
    chooser.value.set_files(still)
    expect(page.get_by_role("list", name="Filters of this search")).to_contain_text("picture moon.jpg")
    expect(cards(page).first).to_contain_text(MOON_FILM)
    expect(opened(page)).to_have_text(MOON_FILM)
    assert place(page) == {}  # a picture is in no address
    button(page, "Which film is it from?").click()
    found = page.get_by_role("dialog", name="Where moon.jpg is from").get_by_role("listitem")
    expect(found.first).to_contain_text(MOON_FILM)


DROP = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name));
  window.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""


def test_a_clip_that_is_dropped_leads_to_its_film(visit: Visitor, site: Live, films: Path, tmp_path: Path) -> None:
    cut(films / "videos" / MOON_FILM, 44.0, 47.0, tmp_path / "clip.mp4")
    page = visit(site.url)
    expect(box(page)).to_be_visible()
    page.evaluate(DROP, ["clip.mkv", b64encode((tmp_path / "clip.mp4").read_bytes()).decode()])
    dialog = page.get_by_role("dialog", name="Where clip.mkv is from")
    first = dialog.get_by_role("button", name=f"{MOON_FILM}, play 0:4", exact=False)
    expect(first).to_be_visible()
    judged(page)
    picture(page, "origin", tmp_path)
    first.click()
    expect(dialog).to_have_count(0)
    showing(page, 43.8, 48, paused=False)
    expect(opened(page)).to_have_text(MOON_FILM)
    assert place(page)["v"] == MOON_FILM
    expect(button(page, "Clear range")).to_be_visible()  # the clip is chosen in the strip


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
