"""Why a result is one, word by word, and the search that does not wait for Enter."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import torch
from playwright.sync_api import Locator, Page, expect

from prvr.core.types import Bank
from prvr.features.store import FeatureStore
from prvr.index.base import Facts
from prvr.index.opening import header_of, make_index
from prvr.recipes.runs import zero_shot
from prvr.search.engine import SearchEngine
from prvr.search.indexing import banks
from tests.serve.conftest import Live, config_of
from tests.serve.page.browser import (
    CRESCENT,
    MOON,
    MOON_FILM,
    Serve,
    Visitor,
    hits,
    needs_chromium,
    opened,
    search,
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
    expect(hits(page).first).to_contain_text("w0035")
    assert len(asked_why(visit)) == 3  # closed, it asks nothing


@pytest.fixture
def two_branches(films: Path, tmp_path: Path) -> Path:
    """The same films, every four frames a clip as well, which counts for a quarter."""
    header, store = header_of(films), FeatureStore.open(films / "features")
    assert header is not None
    entries = list(store.entries())[:12]
    made = banks(zero_shot(header.encoder), [store.read(entry.video_id) for entry in entries])
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
    search(page, " then ".join(["a red ball over the green city moon one two"] * 7))
    expect(hits(page).first).to_be_visible()
    why(page).click()
    expect(page.locator(".why .wrong")).to_contain_text("has 70 words, and at most 64 can be left out")
    expect(rows(page)).to_have_count(0)
    search(page, MOON)
    expect(rows(page)).to_have_count(14)
    expect(page.locator(".why .wrong")).to_have_count(0)
