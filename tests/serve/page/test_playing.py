"""The page in a real browser: from a sentence to the moment that plays, with a pointer and without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from prvr.video.probe import probe
from tests.serve.conftest import Live, config_of
from tests.serve.page.browser import (
    MOON,
    MOON_AT,
    MOON_FILM,
    Serve,
    Visitor,
    box,
    button,
    cards,
    film,
    hits,
    invited,
    judged,
    needs_chromium,
    opened,
    place,
    search,
    showing,
    strip,
    until,
    weaker,
)

pytestmark = needs_chromium
LOW, HIGH = MOON_AT[0] - 1, MOON_AT[1] + 1

LATE = """
const [frame, timer] = [requestAnimationFrame.bind(window), setTimeout.bind(window)];
window.requestAnimationFrame = (run) => timer(() => frame(run), 5000);
window.setTimeout = (run, after, ...rest) => timer(run, after === 35 ? 5000 : after, ...rest);  // Preact's own patience
"""


@pytest.fixture
def found(visit: Visitor, site: Live) -> Page:
    """The page, searched, its first hit in the player, nothing playing."""
    page = visit(site.url)
    search(page, MOON)
    expect(opened(page)).to_have_text(MOON_FILM)
    showing(page, LOW, HIGH, paused=True)
    return page


def test_a_sentence_becomes_a_moment_that_plays(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    search(page, MOON)
    first = hits(page).first
    expect(first).to_have_accessible_name(f"{MOON_FILM}, play 0:44 – 0:50")
    expect(page.get_by_role("article").first).to_contain_text("possible match")
    first.click()
    now = showing(page, LOW, HIGH, paused=False)
    assert MOON_FILM in now["src"]
    assert visit.streams() == [MOON_FILM]


def test_the_keyboard_alone_is_enough(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    expect(box(page)).to_be_focused()
    page.keyboard.press("Escape")
    expect(box(page)).not_to_be_focused()
    page.keyboard.press("/")
    expect(box(page)).to_be_focused()
    page.keyboard.type(MOON)
    page.keyboard.press("Enter")
    expect(opened(page)).to_have_text(MOON_FILM)
    page.keyboard.press("j")
    expect(hits(page).first).to_be_focused()
    page.keyboard.press("j")
    expect(hits(page).nth(1)).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    showing(page, LOW, HIGH, paused=False)
    page.keyboard.press("2")
    expect(opened(page)).not_to_have_text(MOON_FILM)
    expect(hits(page).nth(1)).to_be_focused()


def test_a_machine_too_busy_to_draw_loses_no_wish(visit: Visitor, site: Live) -> None:
    """The video may be there before the page has drawn a frame, and before the server has told of the file."""
    page = visit("about:blank")
    page.add_init_script(LATE)
    page.route(f"**/v1/videos/{MOON_FILM}", lambda _: None)  # never answered
    page.goto(invited(site.url))
    search(page, MOON)
    expect(opened(page)).to_have_text(MOON_FILM)
    hits(page).first.click()
    showing(page, LOW, HIGH, paused=False)


def test_keys_of_the_player(found: Page) -> None:
    found.keyboard.press("Space")
    until(found, lambda: not film(found)["paused"])
    found.keyboard.press("Space")
    until(found, lambda: film(found)["paused"])
    then = film(found)["time"]
    for key, by in (("ArrowRight", 1), ("Shift+ArrowLeft", -10), ("Shift+ArrowRight", 10), ("ArrowLeft", -1)):
        found.keyboard.press(key)
        then += by
        showing(found, then - 0.2, then + 0.2, paused=True)
    found.keyboard.press(".")
    now = showing(found, then + 0.01, then + 0.3)
    found.keyboard.press(",")
    showing(found, then - 0.2, now["time"] - 0.01)


def test_from_moment_to_moment(found: Page) -> None:
    """Three moments in the order of time; the middle one, which is the best, is open."""
    moments = found.get_by_role("list", name="Moments").get_by_role("button")
    expect(moments).to_have_count(3)
    expect(moments.nth(1)).to_have_attribute("aria-current", "true")
    found.keyboard.press("n")
    expect(moments.nth(2)).to_have_attribute("aria-current", "true")
    later = showing(found, HIGH, 60)["time"]
    found.keyboard.press("p")
    expect(moments.nth(1)).to_have_attribute("aria-current", "true")
    button(found, "Previous moment").click()
    expect(moments.first).to_have_attribute("aria-current", "true")
    showing(found, 20, 30)
    moments.nth(2).click()
    showing(found, later - 0.1, later + 2, paused=False)


def test_the_strip_seeks_where_it_is_clicked(found: Page) -> None:
    area = strip(found).bounding_box()
    assert area is not None
    length = film(found)["length"]
    strip(found).click(position={"x": area["width"] / 4, "y": area["height"] / 2})
    showing(found, length / 4 - 0.5, length / 4 + 0.5, paused=True)
    expect(strip(found)).to_have_attribute("aria-valuenow", str(int(film(found)["time"])))


def test_the_strip_is_a_slider_for_the_keyboard(found: Page) -> None:
    strip(found).focus()
    then = film(found)["time"]
    expect(strip(found)).to_have_attribute(
        "aria-valuetext", f"{int(then)} seconds, relevance 100 of 100, inside moment 2 of 3"
    )
    strip(found).press("ArrowRight")
    showing(found, then + 0.8, then + 1.2)
    strip(found).press("Home")
    showing(found, 0.007, 0.009)  # within the first picture
    expect(strip(found)).to_have_attribute("aria-valuenow", "0")
    strip(found).press("PageUp")
    showing(found, 9.8, 10.2)
    strip(found).press("End")
    showing(found, film(found)["length"] - 0.5, film(found)["length"])
    strip(found).press("Enter")
    until(found, lambda: not film(found)["paused"])


def test_there_is_one_player_and_only_what_is_opened_is_fetched(found: Page, visit: Visitor) -> None:
    for link in hits(found).all():
        link.hover()
        link.focus()
    assert visit.streams() == [MOON_FILM]
    weaker(found).click()
    for number in (2, 5, 8):
        hits(found).nth(number).click()
        expect(found.locator("video")).to_have_count(1)
    assert len(visit.streams()) == 4


def test_a_copied_link_opens_the_same_moment(found: Page, visit: Visitor) -> None:
    found.context.grant_permissions(["clipboard-read", "clipboard-write"])
    found.keyboard.press("ArrowRight")
    now = showing(found, LOW, HIGH)["time"]
    button(found, "Copy link").click()
    expect(found.get_by_role("status").filter(has_text="Link copied")).to_be_visible()
    link = found.evaluate("navigator.clipboard.readText()")
    other = visit(link)
    expect(box(other)).to_have_value(MOON)
    expect(opened(other)).to_have_text(MOON_FILM)
    showing(other, now - 0.3, now + 0.3, paused=True)
    expect(cards(other).first).to_contain_text(MOON_FILM)


def test_the_address_keeps_up_with_the_player(found: Page) -> None:
    found.keyboard.press("Shift+ArrowLeft")
    now = showing(found, LOW - 10, HIGH - 10)["time"]
    until(found, lambda: abs(float(place(found).get("t", -1)) - now) < 0.2)
    assert (place(found)["q"], place(found)["v"]) == (MOON, MOON_FILM)
    found.reload()
    expect(opened(found)).to_have_text(MOON_FILM)
    showing(found, now - 0.3, now + 0.3, paused=True)


def test_back_and_forward(found: Page) -> None:
    search(found, "a red circle")
    expect(opened(found)).not_to_have_text(MOON_FILM)
    other = opened(found).inner_text()
    hits(found).nth(1).click()
    expect(opened(found)).not_to_have_text(other)
    found.go_back()
    expect(opened(found)).to_have_text(other)
    found.go_back()
    expect(box(found)).to_have_value(MOON)
    expect(opened(found)).to_have_text(MOON_FILM)
    found.go_back()
    expect(found.get_by_role("heading", name="Try one of these")).to_be_visible()
    expect(box(found)).to_have_value("")
    found.go_forward()
    expect(opened(found)).to_have_text(MOON_FILM)


def test_more_like_a_moment(found: Page) -> None:
    button(found, "More for w0002.webm").click()
    found.get_by_role("menuitem", name="More like this").click()
    chips = found.get_by_role("list", name="Filters of this search")
    expect(chips).to_contain_text("like w0002.webm, 0:44 – 0:50")
    expect(box(found)).to_have_value("")
    until(found, lambda: place(found).get("like", "").startswith("w0002.webm@"))
    expect(hits(found).first).to_be_visible()
    found.reload()
    expect(chips).to_contain_text("like w0002.webm")
    chips.get_by_role("button").click()
    expect(found.get_by_role("heading", name="Try one of these")).to_be_visible()


def test_not_this_and_back(found: Page) -> None:
    expect(cards(found).first).to_contain_text(MOON_FILM)
    with found.expect_request("**/v1/search") as asked:
        found.keyboard.press("x")
    aside = json.loads(asked.value.post_data or "{}")["feedback"]["negative"]
    assert [one["video_id"] for one in aside] == [MOON_FILM]
    chips = found.get_by_role("list", name="Filters of this search")
    expect(chips).to_contain_text("1 result set aside")
    expect(opened(found)).not_to_have_text(MOON_FILM)
    button(found, "Undo").click()
    expect(chips.filter(has_text="set aside")).to_have_count(0)
    expect(cards(found).first).to_contain_text(MOON_FILM)


def test_a_range_is_drawn_and_exported_as_a_film_that_plays(found: Page, tmp_path: Path) -> None:
    area = strip(found).bounding_box()
    assert area is not None
    scale, middle = area["width"] / film(found)["length"], area["y"] + area["height"] / 2
    found.mouse.move(area["x"] + 10 * scale, middle)
    found.mouse.down()
    found.mouse.move(area["x"] + 11 * scale, middle)
    found.mouse.move(area["x"] + 14 * scale, middle, steps=3)
    found.mouse.up()
    expect(found.get_by_role("group", name="Selected range")).to_contain_text("0:10.0 – 0:14.0")
    button(found, "Export…").click()
    dialog = found.get_by_role("dialog", name="Export")
    expect(dialog.get_by_role("radio", name="Selected range, 0:10.0 – 0:14.0")).to_be_checked()
    dialog.get_by_role("button", name="Make the file").click()
    with found.expect_download() as download:
        dialog.get_by_role("link", name="Download").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.suffix == ".mp4"
    assert probe(path).duration_s == pytest.approx(4.0, abs=0.3)
    assert probe(path).browser_playable


def test_a_range_from_the_keyboard(found: Page) -> None:
    strip(found).press("Home")
    showing(found, 0.007, 0.009)  # within the first picture
    found.keyboard.press("[")
    strip(found).press("PageUp")
    showing(found, 9.8, 10.2)
    found.keyboard.press("]")
    chosen = found.get_by_role("group", name="Selected range")
    expect(chosen).to_contain_text("0:00.0 – 0:10.0")
    found.keyboard.press("Escape")
    expect(chosen).not_to_contain_text("0:10.0")


def test_another_question_inside_the_video(found: Page) -> None:
    button(found, "Search inside").click()
    field = found.get_by_role("textbox", name="What happens in it")
    field.fill("A golden valentine is shoving a striped pink donut downtown.")
    field.press("Enter")
    showing(found, 10.5, 14)
    expect(found.get_by_role("form", name="Search inside this video").get_by_role("status")).to_contain_text(
        "golden valentine"
    )
    button(found, "Back to the search").click()
    expect(found.get_by_role("list", name="Moments").get_by_role("button")).to_have_count(3)


def test_a_moment_in_a_loop(found: Page) -> None:
    found.keyboard.press("l")
    expect(button(found, "Loop")).to_have_attribute("aria-pressed", "true")
    found.evaluate("document.querySelector('video').currentTime = 49.6")  # shortly before the end of the moment
    found.keyboard.press("Space")
    showing(found, 44, 46, paused=False)


def test_what_is_said_stands_beside_the_player(visit: Visitor, serve: Serve, reel: Path) -> None:
    """It opens a line at a click, follows along, is searched with marks on the strip, and taken away."""
    words = [f"Line number {number} of a talk" for number in range(30)]
    cues = [f"{n + 1}\n00:00:{2 * n:02},000 --> 00:00:{2 * n + 1:02},500\n{text}\n" for n, text in enumerate(words)]
    (reel / "videos" / MOON_FILM).with_suffix(".srt").write_text("\n".join(cues))
    page = visit(serve(config_of(reel)).url)
    search(page, MOON)
    showing(page, LOW, HIGH, paused=True)
    page.get_by_text("Transcript", exact=True).click()
    lines = page.get_by_role("list", name="Transcript").get_by_role("button")
    expect(lines).to_have_count(30)
    expect(page.locator(".lines [aria-current]")).to_contain_text("Line number 22")
    lines.nth(5).click()
    showing(page, 9.9, 10.6)
    expect(page.locator(".lines [aria-current]")).to_contain_text("Line number 5 ")
    page.get_by_role("searchbox", name="Search the transcript").fill("NUMBER 2")
    expect(lines).to_have_count(11)
    expect(page.get_by_text("11 lines")).to_be_visible()
    expect(strip(page).locator(".said")).to_have_count(11)
    with page.expect_download() as download:
        page.get_by_role("link", name="SRT").click()
    assert download.value.suggested_filename == f"{Path(MOON_FILM).stem}.srt"
    assert (
        Path(download.value.path()).read_text().startswith("1\n00:00:00,000 --> 00:00:01,500\nLine number 0 of a talk")
    )
    judged(page)
