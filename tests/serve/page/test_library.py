"""The library, its folders and its models, as a person meets them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import expect

from prvr.service.work import JobStep, index_folder
from tests.serve.conftest import Live, config_of, of, read, serving
from tests.serve.page.browser import (
    DESKTOP,
    MOON,
    MOON_FILM,
    NUM_FILMS,
    PHONE,
    Serve,
    Visitor,
    box,
    button,
    cards,
    hits,
    is_wide,
    judged,
    needs_chromium,
    opened,
    picture,
    search,
    until,
)

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def home(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of a person: an index, the demo's films, and a folder that is not in it yet."""
    root = tmp_path_factory.mktemp("home")
    shutil.copytree(films, root / "demo", ignore=shutil.ignore_patterns("serve"))
    (root / "Trips" / "2025").mkdir(parents=True)
    shutil.copy(films / "videos" / MOON_FILM, root / "Trips" / "2025" / "night.webm")
    return root


@pytest.fixture(scope="module")
def own(home: Path) -> Iterator[Live]:
    with serving(config_of(home / "demo", roots=(home,))) as found:
        yield found


def test_a_folder_is_found_added_browsed_and_removed(visit: Visitor, own: Live, home: Path, tmp_path: Path) -> None:
    page = visit(own.url, size=DESKTOP)
    button(page, "Library").click()
    expect(page.get_by_role("heading", name="Library", level=1)).to_be_focused()
    assert page.url.endswith("/?library")
    folders = page.locator(".folders > li")
    expect(folders).to_have_count(1)
    expect(folders.first).to_contain_text(f"{NUM_FILMS} videos")
    expect(page.get_by_role("button", name="Open w00", exact=False)).to_have_count(NUM_FILMS)
    judged(page)

    button(page, "Add a folder").click()
    dialog = page.get_by_role("dialog", name="Add a folder")
    expect(dialog.get_by_label("Folder with videos")).to_be_focused()
    expect(dialog.get_by_label("Folder with videos")).to_have_value(str(home))
    dialog.get_by_role("button", name="Trips").press("Enter")
    dialog.get_by_role("button", name="2025").click()
    expect(dialog).to_contain_text("1 video directly in this folder.")
    judged(page)
    picture(page, "add-folder", tmp_path)
    button(page, "Make searchable").click()
    expect(dialog).to_have_count(0)
    trip = folders.filter(has_text="2025")
    expect(trip).to_contain_text("1 video")
    expect(trip).to_contain_text("last read just now")
    expect(button(page, "Open night.webm")).to_be_visible()
    button(page, "Show the videos of 2025").click()
    expect(page.get_by_role("button", name="Open ", exact=False)).to_have_count(1)
    picture(page, "library", tmp_path)

    (home / "Trips" / "2025").rename(home / "Trips" / "away")
    page.reload()
    expect(trip).to_contain_text("This folder is not there.")
    button(page, "Remove 2025 from the library").click()
    button(page, "Cancel").click()
    expect(folders).to_have_count(2)
    button(page, "Remove 2025 from the library").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(folders).to_have_count(1)
    expect(page.get_by_role("status").filter(has_text="The files stay where they are")).to_be_visible()
    assert (home / "Trips" / "away" / "night.webm").exists()
    page.go_back()
    expect(page.get_by_role("heading", name="Describe a moment. Find it.")).to_be_visible()


def test_the_library_on_a_phone(visit: Visitor, own: Live) -> None:
    page = visit(f"{own.url}/?library", size=PHONE, has_touch=True, is_mobile=True, color_scheme="dark")
    expect(page.get_by_role("button", name="Open w00", exact=False).first).to_be_visible()
    page.get_by_label("Sort by").select_option("longest")
    expect(page.get_by_role("button", name="Open ", exact=False).first).to_have_accessible_name("Open w0011.webm")
    assert not is_wide(page)
    judged(page)


def test_filters_write_what_one_could_have_typed(visit: Visitor, own: Live) -> None:
    page = visit(own.url)
    box(page).fill("a golden moon")
    button(page, "Filters").click()
    form = page.get_by_role("form", name="Filters")
    form.get_by_label("In folder or file").fill("w00 02")
    form.get_by_label("At least").select_option("30s")
    form.get_by_label("Tag").select_option("shapes")
    form.get_by_label("Without").fill("a tree")
    judged(page)
    form.get_by_role("button", name="Apply").click()
    expect(box(page)).to_have_value('a golden moon -"a tree" path:"w00 02" longer:30s tag:shapes')
    chips = page.get_by_role("list", name="Filters of this search").get_by_role("listitem")
    expect(chips).to_have_text(["without a tree", "in w00 02", "at least 30s", "tag shapes"])
    button(page, "Filters").click()
    expect(form.get_by_label("In folder or file")).to_have_value("w00 02")
    form.get_by_role("button", name="Clear filters").click()
    expect(box(page)).to_have_value("a golden moon")
    expect(chips).to_have_count(0)


def test_what_was_understood_is_said_and_old_results_are_dimmed(visit: Visitor, own: Live) -> None:
    page = visit(own.url)
    search(page, "a golden moon then a red star within 30s")
    steps = page.get_by_role("list", name="In this order").first.get_by_role("listitem")
    expect(steps).to_have_text(["Aa golden moon", "Ba red starwithin 30 s"])
    found = page.locator(".found")
    expect(found).not_to_have_class(re.compile("outdated"))
    box(page).fill("something else")
    expect(found).to_have_class(re.compile("outdated"))
    expect(page.get_by_text("Press Enter to search")).to_be_visible()
    box(page).fill("a golden moon then a red star within 30s")
    expect(found).not_to_have_class(re.compile("outdated"))


def test_the_keyboard_skips_to_the_results_and_numbers_are_places(visit: Visitor, own: Live) -> None:
    page = visit(own.url)
    search(page, MOON)
    expect(opened(page)).to_be_visible()
    page.keyboard.press("Tab")  # from the results, where Enter has led
    expect(button(page, "Save this search")).to_be_focused()
    page.keyboard.press("Tab")
    expect(button(page, "List")).to_be_focused()
    page.keyboard.press("j")
    expect(hits(page).first).to_be_focused()
    page.reload()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the results")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    expect(opened(page)).to_be_visible()  # the results are there again
    page.keyboard.press("x")
    expect(page.get_by_text("There are no labels here")).to_be_visible()
    expect(cards(page).first.locator(".rank")).to_have_text("1")
    undo = button(page, "Undo")
    expect(undo).to_be_visible()
    search(page, "a red circle")
    expect(undo).to_have_count(0)


def test_a_pointer_over_a_picture_goes_through_the_video(visit: Visitor, own: Live) -> None:
    page = visit(own.url)
    search(page, MOON)
    still = cards(page).first.locator(".thumb img")
    best = still.get_attribute("src")
    cards(page).first.locator(".thumb").hover(position={"x": 8, "y": 20})
    until(page, lambda: still.get_attribute("src") != best)
    page.mouse.move(0, 0)
    until(page, lambda: still.get_attribute("src") == best)
    assert len(visit.streams()) == 1


def test_an_export_says_what_it_gives_and_never_gives_what_was_before(
    visit: Visitor, own: Live, home: Path, tmp_path: Path
) -> None:
    page = visit(own.url)
    search(page, MOON)
    expect(opened(page)).to_be_visible()
    page.keyboard.press("e")
    dialog = page.get_by_role("dialog", name="Export")
    expect(dialog.get_by_role("radio").first).to_be_focused()
    expect(dialog).to_contain_text("A clip of 0:06, cut from the original, encoded again only where needed.")
    dialog.get_by_label("Format").select_option("json")
    dialog.get_by_label("The best moment of each").check()
    expect(dialog).to_contain_text(re.compile(r"You get there-is-a-golden-moon.*\.json\."))
    button(page, "Make the file").click()
    link = dialog.get_by_role("link", name="Download")
    expect(link).to_be_focused()
    picture(page, "export", tmp_path)
    with page.expect_download() as download:
        link.click()
    told = json.loads(Path(download.value.path()).read_text())
    first = told["clips"][0]
    assert first["confidence"] == "related"
    assert first["score"] > 0.1
    assert first["path"] == str(home / "demo" / "videos" / MOON_FILM)
    dialog.get_by_label("Format").select_option("csv")
    expect(link).to_have_count(0)
    button(page, "Cancel").click()
    expect(dialog).to_have_count(0)


def test_a_saved_search_says_what_came(visit: Visitor, own: Live, home: Path, tmp_path: Path) -> None:
    page = visit(own.url)
    search(page, MOON)
    button(page, "Save this search").click()
    expect(page.get_by_role("status").filter(has_text="Search saved")).to_be_visible()
    expect(button(page, "Do not save this search any more")).to_have_attribute("aria-pressed", "true")
    mark = page.get_by_role("button", name="Saved searches")
    expect(mark).to_have_accessible_name("Saved searches")
    shutil.copytree(home / "demo" / "videos", tmp_path / "came", ignore=lambda _, all_: {*all_} - {MOON_FILM})
    (tmp_path / "came" / MOON_FILM).rename(tmp_path / "came" / "again.webm")
    read(tmp_path / "came", home / "demo")
    with own.client() as client:
        until(page, lambda: client.get("/v1/saved").json()["data"][0]["num_new"], what="what is new")
        page.reload()
        expect(mark).to_have_accessible_name("Saved searches, 1 new")
        mark.click()
        dialog = page.get_by_role("dialog", name="Saved searches")
        expect(dialog.get_by_role("listitem")).to_have_text([f"{MOON}1 new"])
        judged(page)
        picture(page, "saved", tmp_path)
        dialog.get_by_role("button", name=MOON, exact=True).click()
        expect(mark).to_have_accessible_name("Saved searches")
        page.get_by_text("+1 similar").click()
        expect(cards(page).filter(has_text="again.webm").get_by_text("new", exact=True)).to_be_visible()
        mark.click()
        dialog.get_by_role("button", name=f"Remove {MOON}").click()
        expect(mark).to_have_count(0)
        assert client.get("/v1/saved").json()["data"] == []
        assert client.delete(of("again.webm")).status_code == 204


def test_the_first_folder_needs_a_model(
    visit: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    """Nothing is fetched before a button is pressed; without a network one line says so, and nothing is lost."""
    monkeypatch.setenv("PRVR_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    page = visit(serve(config_of(tmp_path / "none")).url, size=DESKTOP)
    models = page.get_by_role("region", name="Choose a model").get_by_role("listitem")
    expect(models.first).to_contain_text("recommended")
    expect(models.first).to_contain_text(re.compile(r"languages · .* GB · Apache"))
    expect(page.get_by_label("Folder with videos")).to_have_count(0)
    judged(page)
    picture(page, "model", tmp_path)
    models.first.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_contain_text("siglip2")
    assert page.get_by_role("alert").inner_text().count("\n") == 0
    button(page, "Use a model from a folder…").click()
    field = page.get_by_label("Folder of the model")
    expect(field).to_be_focused()
    field.fill(str(tmp_path))
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text(str(tmp_path))
    judged(page)
    button(page, "Settings").click()
    page.get_by_role("radio", name="Deutsch").check(force=True)
    page.keyboard.press("Escape")
    models = page.get_by_role("region", name="Wähle ein Modell").get_by_role("listitem")
    expect(models.first).to_contain_text("Menschen, Dinge, Handlungen")
    expect(models.first).to_contain_text(re.compile(r"109 Sprachen · 1,5 GB · Apache"))


def test_a_server_of_two_libraries_has_a_switch(visit: Visitor, home: Path, tmp_path: Path) -> None:
    seen: list[JobStep] = []
    index_folder(seen.append, [home / "Trips"], tmp_path / "trips", "world", "cpu", False, [])
    with ExitStack() as held:
        live = held.enter_context(serving(config_of(home / "demo"), beside=[tmp_path / "trips"]))
        page = visit(live.url)
        expect(page.get_by_text(f"{NUM_FILMS} videos").first).to_be_visible()
        page.get_by_label("Switch library").select_option("trips")
        expect(page.get_by_role("contentinfo")).to_contain_text("1 video")
        assert page.url.endswith("/l/trips/")
        search(page, MOON)
        expect(cards(page).first).to_contain_text("night.webm")
        assert "/l/trips/v1/videos/" in (cards(page).first.locator("img").get_attribute("src") or "")
        page.reload()
        expect(cards(page).first).to_contain_text("night.webm")
        page.close()  # what it still asks is asked of a server that is there
