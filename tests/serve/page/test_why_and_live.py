"""Why a result is one, word by word, and the search that does not wait for Enter."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import torch
from playwright.sync_api import Locator, Page, Route, expect

from prvr.core.facts import Facts
from prvr.core.types import Bank
from prvr.features.store import FeatureStore
from prvr.index.opening import header_of, make_index
from prvr.ranker.ranker import zero_shot
from prvr.search.engine import SearchEngine
from prvr.service.sessions import digest_of
from tests.serve.conftest import Live, config_of
from tests.serve.page.browser import (
    CRESCENT,
    MOON,
    MOON_FILM,
    Serve,
    Visitor,
    box,
    button,
    cards,
    film,
    hits,
    needs_chromium,
    opened,
    place,
    search,
    showing,
    until,
)

pytestmark = needs_chromium


def why(page: Page) -> Locator:
    return page.get_by_text("Why this result?")


def rows(page: Page) -> Locator:
    """The words that are taken apart, in the order of the page."""
    return page.locator(".each").get_by_role("listitem")


def said(page: Page) -> dict[str, float]:
    """Each word with its number."""
    found = [
        re.fullmatch(r"(\S+)\s*([+−]?)(\d\.\d{3})\s*(lowers the score)?", text) for text in rows(page).all_inner_texts()
    ]
    assert all(found), rows(page).all_inner_texts()
    assert all((one[2] == "−") == bool(one[4]) for one in found if one)
    return {one[1]: float(one[3]) * (-1 if one[2] == "−" else 1) for one in found if one}


def asked_why(visit: Visitor) -> list[tuple[str, str]]:
    """Which video was asked about, and by which question, in order."""
    urls = [urlsplit(url) for url in visit.asked if "/why?" in url]
    return [(url.path.split("/")[3], parse_qs(url.query)["q"][0]) for url in urls]


def test_every_word_says_what_it_adds(visit: Visitor, site: Live, films: Path) -> None:
    page = visit(site.url)
    search(page, MOON)
    expect(opened(page)).to_have_text(MOON_FILM)
    assert asked_why(visit) == []  # nobody looks
    why(page).click()
    expect(rows(page)).to_have_count(14)
    want = SearchEngine.open(films).why(MOON, MOON_FILM)
    found = said(page)
    assert list(found) == list(dict.fromkeys(word.text for word in want.words))  # in the order of the sentence
    assert found["golden"] == pytest.approx(want.words[3].adds, abs=6e-4)
    assert sorted(found, key=lambda word: -found[word])[:2] == ["golden", "moon"]
    bars = [row.locator("rect").bounding_box() for row in rows(page).all()]
    wide = {word: bar["width"] for word, bar in zip([one.text for one in want.words], bars, strict=True) if bar}
    assert wide["golden"] / wide["moon"] == pytest.approx(found["golden"] / found["moon"], rel=0.05)
    expect(page.get_by_role("heading", name=re.compile("What each word adds to the score at 0:4[3-9]"))).to_be_visible()
    expect(page.locator(".each")).not_to_contain_text("longer clips")  # the bare encoder has one branch


def test_words_follow_the_video_and_the_question_while_they_are_open(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    search(page, MOON)
    why(page).click()
    expect(rows(page)).to_have_count(14)
    hits(page).nth(1).click()
    expect(opened(page)).not_to_have_text(MOON_FILM)
    other = opened(page).inner_text()
    expect(rows(page)).to_have_count(14)
    search(page, "a crescent then star")
    expect(rows(page)).to_have_text([re.compile("^a"), re.compile("^crescent"), re.compile("^star–.*nothing is left")])
    assert asked_why(visit)[:2] == [(MOON_FILM, MOON), (other, MOON)]
    assert [q for _, q in asked_why(visit)[2:]] == ["a crescent then star"]
    why(page).click()
    search(page, CRESCENT)
    expect(cards(page).first).to_contain_text("w0035")
    assert len(asked_why(visit)) == 3  # closed, it asks nothing


@pytest.fixture
def two_branches(films: Path, tmp_path: Path) -> Path:
    """The same films, every four frames a clip as well, which counts for a quarter."""
    header, store = header_of(films), FeatureStore.open(films / "features")
    assert header is not None
    entries = list(store.entries())[:12]
    made = zero_shot(header.encoder).banks([store.read(entry.video_id) for entry in entries])
    with make_index(tmp_path / "two", replace(header, clip_weight=0.25)) as index:
        for entry, (tokens, spans, num_frames) in zip(entries, made, strict=True):
            fours = range(0, num_frames, 4)
            clips = torch.stack([tokens[at : at + 4].mean(0) for at in fours])
            lengths = torch.stack([torch.stack([spans[at : at + 4].min(), spans[at : at + 4].max()]) for at in fours])
            both = torch.cat([tokens, torch.nn.functional.normalize(clips, dim=1)])
            path = films / "videos" / entry.video_id
            facts = Facts(path=str(path), duration_s=entry.duration_s, modified=path.stat().st_mtime)
            index.add(entry.video_id, Bank(both, torch.cat([spans, lengths]), num_frames), facts=facts)
        index.save(tmp_path / "two")
    return tmp_path / "two"


def test_both_branches_have_their_share(visit: Visitor, serve: Serve, two_branches: Path) -> None:
    page = visit(serve(config_of(two_branches)).url)
    search(page, MOON)
    expect(opened(page)).to_have_text(MOON_FILM)
    why(page).click()
    want = SearchEngine.open(two_branches).why(MOON, MOON_FILM).branches
    assert want is not None
    share = round(100 * want.frame / (want.frame + want.clip))
    assert 70 <= share <= 80
    expect(page.locator(".each")).to_contain_text(
        f"single frames +{want.frame:.3f} ({share} %), longer clips +{want.clip:.3f} ({100 - share} %)"
    )


def test_words_that_cannot_be_had_say_so(visit: Visitor, site: Live) -> None:
    """Seventy words in steps can be searched, but not be taken apart."""
    visit.excuse("400.*why")
    page = visit(site.url)
    search(page, " then ".join(["a golden ball bounces in the green city at night"] * 7))
    expect(hits(page).first).to_be_visible()
    why(page).click()
    expect(page.locator(".why .wrong")).to_contain_text("has 70 words, and at most 64 can be left out")
    expect(rows(page)).to_have_count(0)
    search(page, MOON)
    expect(rows(page)).to_have_count(14)
    expect(page.locator(".why .wrong")).to_have_count(0)


def live(page: Page) -> None:
    """Switch it on as people do, then stop the clock: from here on time passes only as a test says."""
    expect(box(page)).to_be_visible()
    button(page, "Settings").click()
    switch = page.get_by_role("switch", name="Search while typing")
    expect(switch).not_to_be_checked()
    switch.check()
    button(page, "Close").click()
    page.clock.install()
    page.clock.pause_at(page.evaluate("Date.now()") + 1000)
    box(page).focus()


def questions(visit: Visitor) -> int:
    return sum(url.endswith("/v1/search") for url in visit.asked)


def entries(page: Page) -> int:
    return int(page.evaluate("history.length"))


def remembered(page: Page) -> list[str]:
    return list(page.evaluate("JSON.parse(localStorage.getItem('prvr.history') ?? '[]')"))


def announced(page: Page) -> str:
    return page.locator("[aria-live=polite].unseen").inner_text()


def test_a_pause_in_typing_searches(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    live(page)
    before = entries(page)
    page.keyboard.type("There is a golden mo")
    page.clock.run_for(399)
    assert questions(visit) == 0
    with page.expect_response("**/v1/search") as answer:
        page.clock.run_for(1)
    assert '"There is a golden mo"' in (answer.value.request.post_data or "")
    page.clock.run_for(100)
    expect(hits(page).first).to_be_visible()
    expect(box(page)).to_be_focused()
    until(page, lambda: place(page).get("q") == "There is a golden mo")
    assert entries(page) == before + 1
    expect(page.get_by_text("The model does not know")).to_have_count(0)  # half a word is none that it should
    page.keyboard.type("on in the city, ")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    with page.expect_response("**/v1/search"):
        page.clock.run_for(400)
    until(page, lambda: "moon" in place(page).get("q", ""))
    expect(opened(page)).to_be_visible()
    expect(box(page)).to_have_value("There is a golden moon in the city, ")  # the space at its end too
    assert box(page).evaluate("input => [input.selectionStart, document.activeElement === input]") == [1, True]
    assert entries(page) == before + 1
    assert (remembered(page), announced(page)) == ([], "")
    page.clock.run_for(999)
    assert announced(page) == ""
    page.clock.run_for(100)
    assert "good" in announced(page)
    page.keyboard.press("Enter")
    until(page, lambda: remembered(page) == ["There is a golden moon in the city,"])
    assert entries(page) == before + 1
    assert questions(visit) == 4  # the half word once more without it
    page.go_back()
    expect(page.get_by_role("heading", name="Describe a moment. Find it.")).to_be_visible()


def test_the_first_hit_comes_into_the_player_as_after_enter(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    search(page, MOON)
    showing(page, 42, 51, paused=True)
    at = film(page)["time"]
    fresh = visit(site.url)
    live(fresh)
    fresh.keyboard.type(MOON)
    fresh.clock.run_for(400)
    expect(opened(fresh)).to_have_text(MOON_FILM)
    until(fresh, lambda: film(fresh)["ready"] >= 3)
    assert film(fresh)["time"] == pytest.approx(at, abs=0.01)
    assert film(fresh)["paused"]


def test_what_is_not_asked(visit: Visitor, site: Live) -> None:
    """Too short, or what was asked last; and Enter alone, where the setting is off."""
    page = visit(site.url)
    live(page)
    page.keyboard.type("go ")
    page.clock.run_for(5000)
    assert questions(visit) == 0
    page.keyboard.type("ld")
    with page.expect_response("**/v1/search"):
        page.clock.run_for(400)
    until(page, lambda: place(page).get("q") == "go ld")
    for key in ("Space", "Backspace", "x", "Backspace"):
        page.keyboard.press(key)
    assert page.get_by_text("The model does not know").count() == 0
    page.clock.run_for(5000)
    expect(page.get_by_text("The model does not know")).to_be_visible()  # nobody types on
    assert questions(visit) == 1
    page.evaluate("localStorage.clear()")
    page.reload()
    box(page).focus()
    page.keyboard.type("en moon")
    page.clock.run_for(5000)
    assert questions(visit) == 2  # that of the address
    page.keyboard.press("Enter")
    until(page, lambda: questions(visit) == 3)


def test_only_the_newest_answer_is_shown(visit: Visitor, site: Live) -> None:
    page = visit(site.url)
    held: list[Route] = []
    page.route("**/v1/search", lambda route: held.append(route))
    live(page)
    page.keyboard.type("a crescent in the dark sky")
    page.clock.run_for(400)
    until(page, lambda: len(held) == 1)
    first = held[0].request
    with page.expect_event("requestfailed", lambda failed: failed == first):  # the next letter takes it back
        page.keyboard.type(" x")
    page.keyboard.press("Control+A")
    page.keyboard.type(MOON)
    page.clock.run_for(400)
    until(page, lambda: len(held) == 2)
    held[1].continue_()
    expect(opened(page)).to_have_text(MOON_FILM)
    held[0].fulfill(json={})  # too late: nobody waits for it
    page.clock.run_for(2000)
    expect(cards(page).first).to_contain_text(MOON_FILM)
    assert place(page)["q"] == MOON


def test_half_a_sentence_that_cannot_be_asked_changes_nothing(visit: Visitor, site: Live) -> None:
    visit.excuse("400.*search")
    page = visit(site.url)
    live(page)
    page.keyboard.type(MOON)
    page.clock.run_for(400)
    expect(opened(page)).to_have_text(MOON_FILM)
    page.keyboard.type(" longer:")
    with page.expect_response("**/v1/search") as answer:
        page.clock.run_for(400)
    assert answer.value.status == 400
    page.clock.run_for(3000)
    expect(cards(page).first).to_contain_text(MOON_FILM)
    assert place(page)["q"] == MOON
    assert page.get_by_role("alert").count() == 0
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("nothing follows the colon")


def test_a_server_that_is_asked_too_much_is_left_alone_for_a_while(visit: Visitor, serve: Serve, films: Path) -> None:
    """From another machine: the limit says when to come back, and nothing is said or lost until then."""
    visit.excuse("429")
    token = {"Authorization": "Bearer the right token of this test"}
    away = {**token, "X-Forwarded-For": "203.0.113.7"}
    server = serve(config_of(films, token=digest_of("the right token of this test"), shared=True, rate_per_minute=2))
    page = visit(server.url, extra_http_headers=token)
    live(page)
    page.keyboard.type(MOON)
    page.context.set_extra_http_headers(away)
    until(page, lambda: page.request.get(f"{server.url}/readyz", headers=away).status == 429)
    with page.expect_response("**/v1/search") as answer:
        page.clock.run_for(400)
    assert answer.value.status == 429
    wait = int(answer.value.headers["retry-after"])
    assert wait > 10
    page.clock.run_for(wait * 1000 - 1)
    assert questions(visit) == 1
    assert page.get_by_role("alert").count() == 0
    page.context.set_extra_http_headers(token)
    page.clock.run_for(1000)
    expect(cards(page).first).to_contain_text(MOON_FILM)
    assert questions(visit) == 2
