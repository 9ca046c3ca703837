"""What every test of the page starts from: a library of real files, a server over it, one browser a module."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from prvr.runs.runs import zero_shot

from prvr.data.annotations import write_queries
from prvr.data.world.film import film_to
from prvr.data.world.generate import script_queries
from prvr.data.world.render import frame_times, render
from prvr.data.world.script import split_of, world_script
from prvr.encoders.world import load_world_encoder
from prvr.features.store import FeatureStore
from prvr.index.base import Facts
from prvr.index.opening import header_of, make_index
from prvr.search.engine import calibrate_folder
from prvr.search.indexing import banks, build_index
from tests.serve.conftest import Live, config_of, serving
from tests.serve.page.browser import (
    ARGS,
    CHROMIUM,
    NUM_FILMS,
    NUM_MANY,
    PATIENCE_MS,
    UNPLAYABLE,
    UNPLAYABLE_FILM,
    Serve,
    Visitor,
)
from tests.video.make import write_video


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index folder with three dozen real files of the demo world below it; copy it before changing it."""
    root = tmp_path_factory.mktemp("films") / "demo"
    (root / "videos").mkdir(parents=True)
    (root / "annotations").mkdir()
    queries = []
    for number in range(NUM_FILMS):
        script = world_script("demo", 0, number)
        queries += script_queries(script) if split_of(number) == "test" else []
        if number == UNPLAYABLE:
            path = root / "videos" / UNPLAYABLE_FILM
            write_video(
                path, frame_times(script), draw=partial(render, script), codec="mpeg4", options={"b": "2000000"}
            )
        else:
            film_to(script, root / "videos" / f"w{number:04d}.webm")
    write_queries(root / "annotations" / "test.jsonl", queries)
    encoder = load_world_encoder()
    build_index([root / "videos"], root, encoder, tags=["shapes"])
    assert calibrate_folder(root, encoder).enough
    return root


@pytest.fixture
def reel(films: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(films, tmp_path / "demo", ignore=shutil.ignore_patterns("serve")))


@pytest.fixture(scope="session")
def many(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same files under a thousand names; not calibrated, so that all of them are above the line."""
    root = tmp_path_factory.mktemp("many")
    header, store = header_of(films), FeatureStore.open(films / "features")
    assert header is not None
    entries = list(store.entries())
    made = banks(zero_shot(header.encoder), [store.read(entry.video_id) for entry in entries])
    with make_index(root, header) as index:
        for number in range(NUM_MANY):
            entry, bank = entries[number % NUM_FILMS], made[number % NUM_FILMS]
            path = films / "videos" / entry.video_id
            facts = Facts(path=str(path), duration_s=entry.duration_s, modified=path.stat().st_mtime)
            index.add(f"{number:04d}-{path.name}", bank, facts=facts)
        index.save(root)
    return root


@pytest.fixture(scope="session")
def site(films: Path) -> Iterator[Live]:
    with serving(config_of(films)) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for a module. Not longer: while Playwright runs, nothing else can start an event loop in this thread."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield found
        found.close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers, which stop when the pages are closed."""
    with ExitStack() as held:
        yield lambda config: held.enter_context(serving(config))


@pytest.fixture
def visit(browser: Browser, serve: Serve) -> Iterator[Visitor]:
    """Opens pages, and says at the end whether they did what no page may."""
    expect.set_options(timeout=PATIENCE_MS)
    visitor = Visitor(browser)
    yield visitor
    visitor.close()
    visitor.judge()
