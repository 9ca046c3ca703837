"""Whoever comes, with whatever they see, hear and press: WCAG 2.2 AA as far as a machine can tell, and pictures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from prvr.service.sessions import digest_of
from tests.serve.conftest import Live, config_of
from tests.serve.page.browser import (
    DESKTOP,
    MOON,
    NARROW,
    NOWHERE,
    PHONE,
    Serve,
    Visitor,
    box,
    button,
    film,
    hits,
    invited,
    is_wide,
    judged,
    needs_chromium,
    opened,
    picture,
    search,
    showing,
    strip,
    until,
    weaker,
)

pytestmark = needs_chromium
OUT = "nobody is asked for a token of this length"


def overview(page: Page) -> None:
    expect(page.get_by_role("region", name="Longest").get_by_role("button").first).to_be_visible()


def results(page: Page) -> None:
    search(page, MOON)
    expect(opened(page)).to_be_visible()
    weaker(page).click()


def playing(page: Page) -> None:
    search(page, MOON)
    hits(page).first.click()
    showing(page, 42, 51, paused=False)
    strip(page).focus()
    button(page, "Set start").click()
    button(page, "Search inside").click()
    page.get_by_text("Why this result?").click()
    expect(page.get_by_role("heading", name="What each word adds", exact=False)).to_be_visible()


def no_match(page: Page) -> None:
    search(page, NOWHERE)
    expect(page.get_by_role("heading", name="No good match")).to_be_visible()
    weaker(page).click()
    expect(hits(page).first).to_be_visible()


def filtered(page: Page) -> None:
    search(page, f"{MOON} -crowd after:2099")
    expect(page.get_by_role("heading", name="No videos match these filters")).to_be_visible()


def menu(page: Page) -> None:
    search(page, MOON)
    button(page, "More for w0002.webm").click()
    expect(page.get_by_role("menu")).to_be_visible()


def settings(page: Page) -> None:
    button(page, "Settings").click()
    expect(page.get_by_role("dialog", name="Settings")).to_be_visible()


def shortcuts(page: Page) -> None:
    expect(box(page)).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Help and shortcuts")).to_be_visible()


def export(page: Page) -> None:
    search(page, MOON)
    expect(opened(page)).to_be_visible()
    page.keyboard.press("e")
    expect(page.get_by_role("dialog", name="Export")).to_be_visible()


def suggestions(page: Page) -> None:
    button(page, "Add what happens next").click()
    box(page).press_sequentially("a moon ta")
    expect(page.get_by_role("option", name="tag:")).to_be_visible()


STATES = [overview, results, playing, no_match, filtered, menu, settings, shortcuts, export, suggestions]


@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing(visit: Visitor, site: Live, state: Callable[[Page], None]) -> None:
    page = visit(site.url)
    state(page)
    judged(page)


@pytest.mark.parametrize("state", [overview, playing, no_match, settings])
def test_axe_finds_nothing_in_the_dark(visit: Visitor, site: Live, state: Callable[[Page], None]) -> None:
    page = visit(site.url, color_scheme="dark")
    state(page)
    judged(page)


@pytest.mark.parametrize("state", [overview, playing, menu])
def test_axe_finds_nothing_on_a_phone(visit: Visitor, site: Live, state: Callable[[Page], None]) -> None:
    page = visit(site.url, size=PHONE, has_touch=True, is_mobile=True)
    state(page)
    judged(page)
    assert not is_wide(page), page.evaluate(TOO_WIDE)


def test_axe_finds_nothing_before_the_library(visit: Visitor, serve: Serve, films: Path, tmp_path: Path) -> None:
    visit.excuse("401|503")
    live = serve(config_of(films, token=digest_of(OUT), shared=True))
    page = visit(live.url)
    expect(page.get_by_label("Token")).to_be_visible()
    judged(page)
    for named, seen in ((None, "Choose a model"), ("world", "Search your videos")):
        page = visit(serve(config_of(tmp_path / "none", encoder=named)).url)
        expect(page.get_by_role("heading", name=seen)).to_be_visible()
        expect(page.get_by_role("list").get_by_role("listitem").first).to_be_visible()
        judged(page)


@pytest.mark.parametrize("state", [overview, playing, no_match, filtered, settings, shortcuts, export])
def test_nothing_has_to_be_scrolled_sideways(visit: Visitor, site: Live, state: Callable[[Page], None]) -> None:
    page = visit(site.url, size=NARROW)
    state(page)
    assert not is_wide(page), page.evaluate(TOO_WIDE)


def test_a_phone_keeps_the_player_in_sight(visit: Visitor, site: Live) -> None:
    page = visit(site.url, size=PHONE, has_touch=True, is_mobile=True)
    search(page, MOON)
    weaker(page).tap()
    hits(page).nth(4).tap()
    until(page, lambda: not film(page)["paused"])
    hits(page).nth(12).scroll_into_view_if_needed()
    page.mouse.wheel(0, 1500)
    expect(page.locator("video")).to_be_in_viewport(ratio=0.9)
    area = page.locator("video").bounding_box()
    assert area is not None
    assert area["height"] <= 0.4 * PHONE[1] + 1


def test_the_landmarks_and_headings(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    search(page, MOON)
    expect(opened(page)).to_be_visible()
    for role in ("banner", "search", "main", "complementary", "contentinfo"):
        expect(page.locator(f"[role={role}]").or_(page.get_by_role(role))).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    results = page.get_by_role("main").get_by_role("list").filter(has=page.get_by_role("article"))
    expect(results.get_by_role("listitem")).to_have_count(hits(page).count())


def test_what_is_found_is_said_once(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    search(page, "a golden moon")
    live = page.locator("[aria-live=polite]").filter(has_text=re.compile(r"^\d+ match(es)?, 1 of them good$"))
    expect(live).to_have_count(1)
    search(page, NOWHERE)
    expect(page.locator("[aria-live=polite]").filter(has_text="No good match")).to_have_count(1)


def test_a_dialog_keeps_and_returns_the_focus(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    button(page, "Settings").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Settings")
    expect(dialog).to_be_visible()
    for _ in range(20):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    expect(button(page, "Settings")).to_be_focused()


def test_the_focus_stays_where_it_is_when_the_library_comes(visit: Visitor, site: Live) -> None:
    page = visit("about:blank")
    held: list[Route] = []
    page.route("**/v1/libraries", lambda route: held.append(route))
    page.goto(invited(site.url))
    until(page, lambda: held)
    button(page, "Settings").focus()
    for route in held:
        route.continue_()
    expect(box(page)).to_be_visible()
    expect(button(page, "Settings")).to_be_focused()


def test_focus_can_be_seen(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    search(page, MOON)
    hits(page).first.click()
    for target in (hits(page).first, strip(page), button(page, "Copy link"), button(page, "Settings")):
        target.focus()
        page.keyboard.press("Shift")  # the browser shows focus once a key was pressed
        seen = target.evaluate(
            "e => [e, ...e.querySelectorAll('*'), e.closest('article')].filter(Boolean).some(one => {"
            " const s = getComputedStyle(one); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2 })"
        )
        assert seen, target


def test_single_keys_can_be_switched_off(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    button(page, "Settings").click()
    page.get_by_role("switch", name="Single-key shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.press("?")
    expect(box(page)).not_to_be_focused()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_keys_do_nothing_while_somebody_types(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    box(page).press_sequentially("nope? [/] cx")
    expect(box(page)).to_have_value("nope? [/] cx")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_less_motion_is_no_motion(visit: Visitor, site: Live) -> None:
    page = visit(site.url, reduced_motion="reduce")
    expect(box(page)).to_be_visible()
    page.evaluate("localStorage.setItem('prvr.settings', JSON.stringify({autoplay: true}))")
    page.reload()
    held: list[object] = []
    page.route("**/v1/search", lambda route: held.append(route))
    search(page, MOON)
    expect(page.get_by_text("Searching…")).to_be_visible()
    moving = "document.getAnimations().filter(one => one.effect.getComputedTiming().duration > 0).length"
    assert page.evaluate(moving) == 0
    page.unroute("**/v1/search")
    search(page, MOON)
    showing(page, 42, 51, paused=True)
    page.wait_for_timeout(300)
    assert film(page)["paused"]


def test_the_first_hit_plays_by_itself_only_if_that_is_wanted(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    button(page, "Settings").click()
    switch = page.get_by_role("switch", name="Play the first match after a search, muted")
    expect(switch).not_to_be_checked()
    switch.check()
    page.keyboard.press("Escape")
    search(page, MOON)
    showing(page, 42, 51, paused=False)
    assert page.locator("video").evaluate("v => v.muted")


def test_a_dialog_gives_the_focus_back_however_it_is_left(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    search(page, MOON)
    more = button(page, "More for w0002.webm")
    for leave in ("Cancel", "Close"):
        more.click()
        page.get_by_role("menuitem", name="Remove from library").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        button(page, leave).click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(more).to_be_focused()


def test_colours_follow_the_system_or_the_choice(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    light = page.evaluate(BRIGHTNESS)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(BRIGHTNESS)
    assert light > 200
    assert dark < 60
    button(page, "Settings").click()
    page.get_by_role("radio", name="Light").check(force=True)
    assert page.evaluate(BRIGHTNESS) == light
    page.reload()
    assert page.evaluate(BRIGHTNESS) == light


def test_another_language(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    button(page, "Settings").click()
    page.get_by_role("radio", name="Deutsch").check(force=True)
    expect(page.get_by_role("dialog", name="Einstellungen")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "de"


def test_pictures_of_the_page(visit: Visitor, site: Live, tmp_path: Path) -> None:
    """Where PRVR_SCREENSHOTS says, else nowhere that stays."""
    for name, size, scheme, state in (
        ("desktop", DESKTOP, "light", showing_the_moment),
        ("dark", DESKTOP, "dark", showing_the_moment),
        ("phone", PHONE, "light", showing_the_moment),
        ("empty", DESKTOP, "light", overview),
        ("no-match", DESKTOP, "light", no_match),
    ):
        page = visit(site.url, size=size, color_scheme=scheme)
        state(page)
        until(page, lambda page=page: page.evaluate(ALL_PICTURES))  # type: ignore[misc]
        picture(page, name, tmp_path)


def showing_the_moment(page: Page) -> None:
    search(page, MOON)
    expect(opened(page)).to_be_visible()
    page.keyboard.press("ArrowRight")
    showing(page, 44, 46, paused=True)
    page.mouse.move(0, 0)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


TOO_WIDE = """
() => [...document.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.tagName + "." + e.className).slice(0, 10)
"""
BRIGHTNESS = """
() => { const [r, g, b] = getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number);
  return 0.2 * r + 0.7 * g + 0.1 * b; }
"""
ALL_PICTURES = """
() => [...document.images].filter(one => one.getBoundingClientRect().top < innerHeight)
  .every(one => one.complete && one.naturalWidth > 0)
"""
