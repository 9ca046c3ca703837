"""What the page shows when there is nothing to show, and when something is wrong."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from prvr.service.sessions import digest_of
from tests.serve.conftest import Live, config_of, serving
from tests.serve.page.browser import (
    CRESCENT,
    MOON,
    MOON_FILM,
    NOWHERE,
    NUM_FILMS,
    UNPLAYABLE_FILM,
    Serve,
    Visitor,
    box,
    button,
    cards,
    film,
    hits,
    needs_chromium,
    opened,
    search,
    showing,
    strip,
    until,
)

pytestmark = needs_chromium


def test_before_anything_is_asked(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    expect(page.get_by_text(f"{NUM_FILMS} videos").first).to_be_visible()
    examples = page.get_by_role("region", name="Try one of these").get_by_role("button")
    expect(examples).to_have_count(6)
    for shelf in ("Newest", "Longest"):
        expect(page.get_by_role("region", name=shelf).get_by_role("button")).to_have_count(6)
    sentence = examples.first.inner_text()
    examples.first.click()
    expect(box(page)).to_have_value(sentence)
    expect(hits(page).first).to_be_visible()
    page.get_by_role("link", name="prvr, start page").click()
    expect(page.get_by_role("region", name="Recent searches").get_by_role("button", name=sentence)).to_be_visible()


@pytest.mark.parametrize("text", ["asdkjh qwe", NOWHERE])
def test_no_confident_match(visit: Visitor, site: Live, text: str) -> None:
    page = visit(site.url)
    search(page, text)
    expect(page.get_by_role("heading", name="No good match")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text(f"Nothing in these {NUM_FILMS} videos clearly matches.")
    expect(hits(page)).to_have_count(0)
    expect(page.locator("video")).to_have_count(0)
    button(page, f"Show {NUM_FILMS} weak matches").click()
    expect(page.get_by_role("article").first).to_contain_text("weak match")
    first = page.get_by_role("main").get_by_role("listitem").filter(has=page.get_by_role("article")).first
    expect(first).to_have_attribute("aria-setsize", str(NUM_FILMS))


def test_filters_that_leave_nothing(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    search(page, f"{MOON} after:2099")
    expect(page.get_by_role("heading", name="No videos match these filters")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text(f"None of {NUM_FILMS} videos fits after:2099.")
    page.get_by_role("main").get_by_role("button", name="Remove after:2099").click()
    expect(cards(page).first).to_contain_text(MOON_FILM)
    expect(box(page)).to_have_value(MOON)


def test_chips_say_what_limits_a_search(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    search(page, "a golden moon -crowd path:w00 longer:30s")
    chips = page.get_by_role("list", name="Filters of this search")
    expect(chips.get_by_role("listitem")).to_have_text(["without crowd", "in w00", "at least 30s"])
    region = page.get_by_role("main").locator(".summary")
    expect(region).to_contain_text(re.compile(rf"\d\d of {NUM_FILMS} videos"))
    chips.get_by_role("button", name="Remove longer:30s").click()
    expect(chips.get_by_role("listitem")).to_have_count(2)
    expect(region).to_contain_text(f"in {NUM_FILMS} videos")
    expect(box(page)).to_have_value("a golden moon -crowd path:w00")


def test_words_that_the_model_does_not_know(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    search(page, "a golden hovercraft flies a loop")
    expect(page.get_by_role("region", name="This search")).to_contain_text("The model does not know “hovercraft”.")


def test_a_search_that_cannot_be_read(visit: Visitor, site: Live) -> None:
    visit.excuse("400")
    page = visit(site.url)
    search(page, 'a golden "moon')
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("This search did not work")
    expect(alert).to_contain_text("query")
    search(page, MOON)
    expect(cards(page).first).to_contain_text(MOON_FILM)


def test_a_search_that_takes_long_can_be_left(visit: Visitor, site: Live) -> None:
    visit.excuse("ERR_ABORTED")
    page = visit(site.url)
    expect(box(page)).to_be_visible()
    held: list[Route] = []
    page.route("**/v1/search", lambda route: held.append(route))
    search(page, MOON)
    expect(page.get_by_text("Searching…")).to_be_visible()
    expect(page.get_by_text(f"Still searching {NUM_FILMS} videos…")).to_be_visible()
    box(page).press("End")
    box(page).press_sequentially(" now")  # typing is never blocked
    expect(box(page)).to_have_value(f"{MOON} now")
    button(page, "Cancel").click()
    expect(page.get_by_text("Still searching")).not_to_be_visible()
    page.unroute("**/v1/search")
    search(page, MOON)
    expect(cards(page).first).to_contain_text(MOON_FILM)


def test_a_file_that_is_gone(visit: Visitor, serve: Serve, reel: Path) -> None:
    (reel / "videos" / MOON_FILM).unlink()
    visit.excuse("410|404")
    live = serve(config_of(reel))
    page = visit(live.url)
    search(page, MOON)
    expect(hits(page).first).to_have_accessible_name(f"{MOON_FILM}, File not found")
    expect(page.get_by_role("complementary")).to_contain_text("File not found")
    expect(page.locator("video")).to_have_count(0)
    page.get_by_role("article").first.get_by_role("button", name="Remove from library").click()
    expect(page.get_by_role("status").filter(has_text="from the library")).to_be_visible()
    expect(cards(page).first).not_to_contain_text(MOON_FILM)
    expect(page.get_by_role("contentinfo")).to_contain_text(f"{NUM_FILMS - 1} videos")


def test_a_film_that_browsers_do_not_play_gets_a_copy(visit: Visitor, serve: Serve, reel: Path) -> None:
    visit.excuse("409")
    live = serve(config_of(reel))
    page = visit(live.url)
    search(page, CRESCENT)
    expect(opened(page)).to_have_text(UNPLAYABLE_FILM)
    expect(page.get_by_role("complementary")).to_contain_text("Browsers do not play mpeg4.")
    expect(page.get_by_role("img", name="Still at 0:45")).to_be_visible()
    strip(page).press("ArrowRight")
    expect(page.get_by_role("img", name="Still at 0:46")).to_be_visible()
    button(page, "Convert for playback").click()
    showing(page, 45.9, 51, paused=False)
    expect(opened(page)).to_have_text(UNPLAYABLE_FILM)


def test_a_library_of_features_alone(visit: Visitor, live: Live) -> None:
    page = visit(live.url)
    search(page, "a red circle")
    hits(page).and_(page.locator("[href*=more]")).first.click()
    expect(page.get_by_role("complementary")).to_contain_text("This library has no video files.")
    strip(page).press("End")
    expect(strip(page)).not_to_have_attribute("aria-valuenow", "0")


def test_a_server_that_goes_and_comes_back(visit: Visitor, films: Path, tmp_path: Path) -> None:
    """Whoever was let in before still is."""
    visit.excuse("ERR_CONNECTION|ERR_EMPTY|ERR_INCOMPLETE")
    config = config_of(films, keyring=tmp_path / "mine")
    with serving(config) as live:
        page = visit(live.url)
        search(page, MOON)
        showing(page, 42, 50)
    search(page, "a red circle")
    banner = page.get_by_role("alert").filter(has_text="Connection lost.")
    expect(banner).to_contain_text("Trying again in")
    with serving(replace(config, port=live.port)) as back:
        assert back.port == live.port
        expect(banner).not_to_be_visible()
        expect(hits(page).first).to_be_visible()
        expect(box(page)).to_have_value("a red circle")


def test_a_locked_library_wants_its_token(visit: Visitor, serve: Serve, films: Path) -> None:
    visit.excuse("401")
    live = serve(config_of(films, host="0.0.0.0", token=digest_of("the right token of this test")))
    page = visit(live.url)
    form = page.get_by_role("form", name="This library is locked")
    expect(form.get_by_label("Token")).to_be_focused()
    assert "w00" not in page.content()
    page.keyboard.type("a wrong token")
    page.keyboard.press("Enter")
    expect(form.get_by_role("alert")).to_have_text("That is not the token of this server.")
    form.get_by_label("Token").fill("the right token of this test")
    button(page, "Unlock").click()
    search(page, MOON)
    hits(page).first.click()
    showing(page, 42, 50, paused=False)  # the player sends the cookie
    page.reload()
    expect(cards(page).first).to_contain_text(MOON_FILM)
    stored = page.evaluate("JSON.stringify([localStorage, sessionStorage]) + document.cookie")
    assert "the right token" not in stored


def test_the_first_visit(visit: Visitor, serve: Serve, films: Path, tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    for name in (MOON_FILM, "w0003.webm", "w0005.webm"):
        shutil.copy(films / "videos" / name, folder)
    visit.excuse("422.*libraries|503")
    live = serve(config_of(tmp_path / "index", encoder="world"))
    page = visit(live.url)
    held: list[Route] = []
    page.route("**/v1/places*", lambda route: held.append(route))
    page.reload()
    expect(page.get_by_role("heading", name="Search your videos")).to_be_visible()
    expect(box(page)).to_have_count(0)
    field = page.get_by_role("textbox", name="Folder with videos")
    field.fill(str(tmp_path / "nowhere"))
    until(page, lambda: bool(held), what="the folders are asked for")
    held.pop().continue_()  # where to begin is answered late: it does not replace what was typed
    page.unroute("**/v1/places*")
    expect(page.get_by_role("list", name="Folders in")).to_be_visible()
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("no such folder")
    field.fill(str(folder))
    button(page, "Make searchable").click()
    expect(page.get_by_role("progressbar", name="Reading videos")).to_be_visible()
    expect(page.get_by_text("3 videos").first).to_be_visible()
    expect(page.get_by_role("region", name="Reading videos")).not_to_be_visible()
    search(page, MOON)
    expect(cards(page).first).to_contain_text(MOON_FILM)
    expect(page.get_by_role("article").first).to_contain_text("score")  # of three videos nobody can say how sure
    hits(page).first.click()
    showing(page, 42, 50, paused=False)


def test_without_scripts(visit: Visitor, site: Live) -> None:
    page = visit(site.url, java_script_enabled=False)
    page.get_by_role("searchbox", name="Describe what happens").fill(MOON)
    page.get_by_role("button", name="Search").click()
    first = page.get_by_role("listitem").first
    expect(first).to_contain_text(MOON_FILM)
    expect(first.get_by_role("link").first).to_have_attribute("href", re.compile(r"/stream#t=44,50$"))


def test_a_thousand_results_stay_light(visit: Visitor, serve: Serve, many: Path) -> None:
    """All of them are reached by scrolling, and the page never holds more than a part of them."""
    live = serve(config_of(many))
    page = visit(live.url)
    button(page, "Settings").click()
    page.get_by_role("switch", name="Fold similar results").uncheck()  # they are the same three dozen films
    page.keyboard.press("Escape")
    search(page, MOON)
    expect(hits(page).first).to_be_visible()
    page.evaluate(WATCH_FRAMES)
    seen: set[str] = set()
    elements = []

    def at_the_end() -> bool:
        found = page.evaluate(SCROLL_ON)
        seen.update(found["videos"])
        elements.append(found["elements"])
        return len(seen) == 1000 and page.get_by_text("End of the results").is_visible()

    until(page, at_the_end, what="the end of the list")
    assert max(elements) < 6000
    expect(page.get_by_role("main").get_by_role("listitem").last).to_have_attribute("aria-posinset", "1000")
    expect(page.locator("video")).to_have_count(1)
    assert len(visit.streams()) == 1
    assert sum(url.endswith("/v1/search") for url in visit.asked) == 20
    gaps = sorted(page.evaluate("window.gaps"))
    report = " / ".join(f"{gaps[int(len(gaps) * share)]:.0f}" for share in (0.5, 0.95, 0.99))
    print(f"\n{len(gaps)} frames while scrolling, {max(elements)} elements; gaps of 50 / 95 / 99 %: {report} ms")
    page.keyboard.press("Home")
    expect(hits(page).first).to_be_in_viewport()
    hits(page).nth(2).click()
    until(page, lambda: not film(page)["paused"])


WATCH_FRAMES = """
() => {
  window.gaps = []; let last = performance.now();
  const next = now => { window.gaps.push(now - last); last = now; requestAnimationFrame(next); };
  requestAnimationFrame(next);
}
"""
SCROLL_ON = """
async () => {
  scrollBy({top: innerHeight + 1000, behavior: "instant"});
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  return {videos: [...document.querySelectorAll("[data-video]")].map(one => one.dataset.video),
    elements: document.querySelectorAll("*").length};
}
"""


def test_the_page_below_a_path(visit: Visitor, serve: Serve, reel: Path) -> None:
    """Its files, what it asks, its pictures, its player and its own address."""
    live = serve(config_of(reel, root_path="/prvr"))
    page = visit(f"{live.url}/prvr")
    search(page, MOON)
    expect(opened(page)).to_have_text(MOON_FILM)
    showing(page, 0, 1000)
    until(page, lambda: page.evaluate("[...document.querySelectorAll('main img')].some((one) => one.naturalWidth)"))
    assert page.url.startswith(f"{live.url}/prvr/?q=")
    page.reload()
    expect(opened(page)).to_have_text(MOON_FILM)
    page.get_by_role("link", name="prvr").first.click()
    until(page, lambda: page.url == f"{live.url}/prvr/")
