"""Copies of a film in real files: one card, the others under it, reached with a pointer and without one."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.video.stream import VideoStream
from playwright.sync_api import Locator, Page, expect

from prvr.cli import main
from prvr.encoders.world import load_world_encoder
from prvr.search.engine import calibrate_folder
from prvr.search.indexing import build_index
from tests.serve.conftest import Live, asking, config_of, serving
from tests.serve.page.browser import (
    DESKTOP,
    MOON,
    MOON_FILM,
    NUM_FILMS,
    NUM_MANY,
    Serve,
    Visitor,
    button,
    hits,
    judged,
    needs_chromium,
    picture,
    search,
    until,
)

pytestmark = needs_chromium
SMALL, CUT = "backup/small.mp4", "backup/cut.mp4"
ALL = {MOON_FILM, SMALL, CUT}


@pytest.fixture(scope="module")
def copies(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three dozen films; one of them lies there again in half its size, and again without its first seconds.

    Copy it before changing it.
    """
    root = tmp_path_factory.mktemp("copies") / "demo"
    shutil.copytree(films, root, ignore=shutil.ignore_patterns("serve"))
    film = root / "videos" / MOON_FILM
    (root / "videos" / "backup").mkdir()
    encode_again(film, root / "videos" / SMALL, size=0.5)
    encode_again(film, root / "videos" / CUT, start_s=4.3)
    encoder = load_world_encoder()
    build_index([root / "videos"], root, encoder)
    assert calibrate_folder(root, encoder).enough
    return root


@pytest.fixture(scope="module")
def site(copies: Path) -> Iterator[Live]:
    with serving(config_of(copies)) as found:
        yield found


def encode_again(film: Path, path: Path, *, size: float = 1.0, start_s: float = 0.0) -> None:
    with av.open(film) as source, av.open(path, "w") as target:
        stream = source.streams.video[0]
        made = target.add_stream("libx264", rate=25, options={"crf": "30", "preset": "veryfast"})
        assert isinstance(made, VideoStream)
        made.width, made.height = (int(side * size) // 2 * 2 for side in (stream.width, stream.height))
        made.pix_fmt, made.time_base = "yuv420p", Fraction(1, 1000)
        for frame in source.decode(stream):
            assert frame.time is not None
            if frame.time >= start_s:
                small = frame.reformat(made.width, made.height, "yuv420p")
                small.pts, small.time_base = round((frame.time - start_s) * 1000), Fraction(1, 1000)
                target.mux(made.encode(small))
        target.mux(made.encode())


def searched(visit: Visitor, server: Live) -> Page:
    found = visit(server.url, size=DESKTOP)
    search(found, MOON)
    expect(playing(found)).to_be_visible()
    return found


@pytest.fixture
def page(visit: Visitor, site: Live) -> Page:
    return searched(visit, site)


def shown(page: Page) -> list[str]:
    """The videos of the cards, in their order."""
    found: list[str] = page.locator("[data-video]").evaluate_all("all => all.map(one => one.dataset.video)")
    return found


def playing(page: Page) -> Locator:
    """The name of the film in the player."""
    return page.get_by_role("complementary", name="Player").get_by_role("heading", level=2)


def test_one_card_for_a_film_and_its_copies(page: Page, tmp_path: Path) -> None:
    fold = button(page, "+2 similar to", exact=False)
    expect(fold).to_have_attribute("aria-expanded", "false")
    before = shown(page)
    assert len(ALL & set(before)) == 1
    assert before[0] in ALL
    summary = page.get_by_role("main").locator(".summary").inner_text()
    counts = [int(number) for number in re.findall(r"\d+", summary)]
    assert sum(counts[:-1]) == len(before) + 2, "all videos count"
    fold.click()
    expect(fold).to_have_attribute("aria-expanded", "true")
    expect(fold).to_be_focused()
    expect(hits(page)).to_have_count(len(before) + 2)
    assert set(shown(page)[:3]) == ALL
    assert [shown(page)[0], *shown(page)[3:]] == before
    assert page.get_by_role("article").locator(".rank").all_inner_texts()[:3] == ["1", "2", "3"]
    expect(page.get_by_role("listitem").nth(1)).to_have_attribute("aria-posinset", "2")
    judged(page)
    box = fold.bounding_box()
    assert box is not None
    assert box["height"] >= 24
    picture(page, "similar", tmp_path)
    assert page.get_by_role("main").locator(".summary").inner_text() == summary
    fold.click()
    expect(hits(page)).to_have_count(len(before))
    assert shown(page) == before


def test_keys_walk_over_what_is_seen(page: Page) -> None:
    names = shown(page)
    page.keyboard.press("j")
    expect(hits(page).first).to_be_focused()
    page.keyboard.press("j")
    if len(names) > 1:
        expect(hits(page).nth(1)).to_be_focused()
        page.keyboard.press("k")
    expect(hits(page).first).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(button(page, "+2 similar to", exact=False)).to_be_focused()
    page.keyboard.press("Enter")
    expect(hits(page)).to_have_count(len(names) + 2)
    second = shown(page)[1]
    page.keyboard.press("j")
    expect(hits(page).nth(1)).to_be_focused()
    page.keyboard.press("2")
    expect(playing(page)).to_have_text(Path(second).name)
    page.keyboard.press("k")
    expect(hits(page).first).to_be_focused()


def test_a_new_question_begins_folded_and_a_setting_shows_all(page: Page) -> None:
    button(page, "+2 similar to", exact=False).click()
    expect(button(page, "+2 similar to", exact=False)).to_have_attribute("aria-expanded", "true")
    search(page, MOON.removesuffix("."))
    expect(button(page, "+2 similar to", exact=False)).to_have_attribute("aria-expanded", "false")
    folded = len(shown(page))
    button(page, "Settings").click()
    page.get_by_role("switch", name="Fold similar results").uncheck()
    page.keyboard.press("Escape")
    expect(hits(page)).to_have_count(folded + 2)
    assert set(shown(page)) >= ALL
    expect(button(page, "+2 similar to", exact=False)).to_have_count(0)


def test_the_first_that_leaves_the_index_leaves_the_others_a_card(
    visit: Visitor, serve: Serve, copies: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(copies, tmp_path / "demo", ignore=shutil.ignore_patterns("serve")))
    page = searched(visit, serve(config_of(own)))
    first = shown(page)[0]
    button(page, f"More for {Path(first).name}").click()
    page.get_by_role("menuitem", name="Remove from library").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove from library").click()
    expect(button(page, "+1 similar to", exact=False)).to_be_visible()
    assert shown(page)[0] in ALL - {first}


def test_the_command_line_and_the_api_say_the_same(copies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", MOON, "--index", str(copies), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)[0]["hits"]
    first = told[0]["video_id"]
    assert {hit["video_id"] for hit in told if hit["same_as"]} == ALL - {first}
    assert main(["search", MOON, "--index", str(copies)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[2].startswith("    +2 similar: ")
    assert all(Path(name).name in table[2] for name in ALL - {first})
    with asking(config_of(copies)) as client:
        found: list[dict[str, Any]] = []
        token = None
        for _ in range(3):
            asked = {"query_text": MOON, "page_limit": 1} | ({"page_token": token} if token else {})
            answer = client.post("/v1/search", json=asked).json()
            found, token = found + answer["data"], answer["next_page_token"]
        assert [(hit["video_id"], hit["same_as"]) for hit in found] == [
            (hit["video_id"], hit["same_as"]) for hit in told[:3]
        ]


def test_a_thousand_copies_fold_to_the_films(visit: Visitor, serve: Serve, many: Path) -> None:
    """Three dozen films under a thousand names; a fold that is opened is as light as the list."""
    page = visit(serve(config_of(many)).url)
    search(page, MOON)
    expect(hits(page).first).to_be_visible()
    expect(page.get_by_role("main").locator(".summary")).to_contain_text(f"in {NUM_MANY:,} videos")

    def at_the_end() -> bool:
        page.evaluate("scrollTo({top: document.documentElement.scrollHeight, behavior: 'instant'})")
        return page.get_by_text("End of the results").is_visible()

    until(page, at_the_end, what="the end of the list")
    last = page.get_by_role("main").get_by_role("listitem").last
    expect(last).to_have_attribute("aria-setsize", str(NUM_FILMS))
    page.keyboard.press("Home")
    others = NUM_MANY // NUM_FILMS - 1
    button(page, f"+{others} similar to", exact=False).first.click()
    expect(last).to_have_attribute("aria-setsize", str(NUM_FILMS + others))
    names = shown(page)[:20]
    assert len(names) == 20
    assert len({name.partition("-")[2] for name in names}) == 1
