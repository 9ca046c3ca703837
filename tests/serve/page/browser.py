"""A real browser in front of a real server: Debian's Chromium, a library of real files, and what a page may never do.

Every context that a test opens is watched: at its end there was no request to another origin, no error in the console
and nothing that the content security policy had to stop.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import av
import pytest
from av.filter import Graph
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page

from prvr.serve.settings import ServeConfig
from tests.serve.conftest import LIVE, Live, headers_of

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason=f"none of {', '.join(NAMES)} is installed: the page is tested in a real browser"
)
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
PATIENCE_MS = 120_000  # when a test gives up; a job beside other work takes its time
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
USUAL, DESKTOP, PHONE = (1280, 720), (1440, 900), (390, 844)
NARROW = (320, 640)  # CSS pixels of a window of 1280 at 400 %

Serve = Callable[[ServeConfig], Live]

NUM_FILMS, NUM_MANY = 36, 1008  # 30 videos are the fewest that can be calibrated; 1,000 hits the most that are paged to
UNPLAYABLE, UNPLAYABLE_FILM = 35, "w0035.avi"  # MPEG-4 part 2, which browsers do not play
MOON = "There is a golden moon that flies a loop in front of tall buildings."  # 43.1 to 49.5 s of w0002
MOON_FILM, MOON_AT = "w0002.webm", (43.125, 49.5)
CRESCENT = "A stripy azure crescent is spinning in the dark sky."  # 44.5 to 50.9 s of the .avi
NOWHERE = "two people dancing at a wedding"


@dataclass
class Visitor:
    """Opens pages, each in a context of its own, and hears what they do."""

    browser: Browser
    contexts: list[BrowserContext] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # addresses
    complaints: list[str] = field(default_factory=list)  # errors of the console and of scripts
    excused: list[str] = field(default_factory=list)  # patterns of complaints that a test brings about

    def __call__(self, url: str, *, size: tuple[int, int] = USUAL, **options: Any) -> Page:
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]}, locale="en-GB", accept_downloads=True, **options
        )
        context.set_default_timeout(PATIENCE_MS)
        self.contexts.append(context)
        context.on("request", lambda request: self.asked.append(request.url))
        context.on("console", self.hear)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        page = context.new_page()
        page.goto(invited(url))
        return page

    def hear(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.complaints.append(f"{said.text} ({said.location['url']})")

    def excuse(self, pattern: str) -> None:
        self.excused.append(pattern)

    def streams(self) -> list[str]:
        """Which videos were fetched, in order."""
        found = [re.search(r"/v1/videos/([^/]+)/stream", url) for url in self.asked]
        return list(dict.fromkeys(match[1] for match in found if match))

    def close(self) -> None:
        for context in self.contexts:
            context.close()

    def judge(self) -> None:
        """Raises AssertionError when something was done that never may be."""
        origins = {url.split("/")[2].split(":")[0] for url in self.asked if not url.startswith(("data:", "blob:"))}
        assert origins <= {"127.0.0.1"}, f"requests left the origin: {origins}"
        bad = [text for text in self.complaints if not any(re.search(pattern, text) for pattern in self.excused)]
        assert not bad, "\n".join(bad)


def invited(url: str) -> str:
    """The address as `prvr serve --link` prints it, where the server is one that every test may ask."""
    parts = urlsplit(url)
    live = LIVE.get(parts.port or 0)
    if live is None or not headers_of(live.app.state.prvr.config):
        return url
    given = f"token={live.sessions.invite()}"
    return parts._replace(path=parts.path or "/", query=f"{given}&{parts.query}" if parts.query else given).geturl()


def box(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Describe what happens in the video")


def search(page: Page, text: str) -> None:
    """As people do: into the box, then Enter."""
    box(page).fill(text)
    box(page).press("Enter")


def hits(page: Page) -> Locator:
    """The links of the results, in the order of the page."""
    return page.get_by_role("main", name="Results").get_by_role("article").get_by_role("heading").get_by_role("link")


def cards(page: Page) -> Locator:
    """The results as they are seen."""
    return page.get_by_role("main", name="Results").get_by_role("article")


def strip(page: Page) -> Locator:
    """The heat-strip of the player."""
    return page.get_by_role("slider", name="Relevance over time")


def button(page: Page, name: str, *, exact: bool = True) -> Locator:
    return page.get_by_role("button", name=name, exact=exact)


def weaker(page: Page) -> Locator:
    """What shows the hits that are no better than guesses."""
    return page.get_by_role("button", name=re.compile(r"^Show \d+ weak match(es)?$"))


def film(page: Page) -> dict[str, Any]:
    """What the one video element of the page does."""
    return dict(
        page.locator("video").evaluate(
            "v => ({time: v.currentTime, ready: v.readyState, seeking: v.seeking, paused: v.paused,"
            " length: v.duration, src: v.currentSrc})"
        )
    )


def until(page: Page, true: Callable[[], object], *, what: str = "it", seconds: float = PATIENCE_MS / 1000) -> None:
    """Wait for something that only a script of ours can see."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what} never came true"
        page.wait_for_timeout(50)


def showing(page: Page, low: float, high: float, *, paused: bool | None = None) -> dict[str, Any]:
    """Wait until a picture between two times is shown, then tell of it."""

    def there() -> bool:
        now = film(page)
        still = now["ready"] >= 3 and not now["seeking"]
        return low <= now["time"] <= high and still and paused in (None, now["paused"])

    until(page, there, what=f"a picture between {low} and {high} s")
    return film(page)


def judged(page: Page) -> None:
    """Raises AssertionError with everything that axe-core finds."""
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": WCAG}, "resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()


def picture(page: Page, name: str, folder: Path) -> None:
    """A picture of the page as it is seen, in 256 colours, so that it is small enough for a repository."""
    path = Path(os.environ.get("PRVR_SCREENSHOTS") or folder) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(fewer_colours(page.screenshot(animations="disabled", caret="hide")))
    size = path.stat().st_size
    assert 10_000 < size < 300_000, f"{path}: has {size} bytes"


def fewer_colours(png: bytes) -> bytes:
    """A PNG with the palette that suits it best."""
    with av.open(io.BytesIO(png), "r") as file:
        frame = next(file.decode(video=0))
    frame.pts, frame.time_base = 0, Fraction(1)
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    split, paint, sink = graph.add("split"), graph.add("paletteuse", "dither=none"), graph.add("buffersink")
    palette = graph.add("palettegen", "reserve_transparent=0")
    for one, other, outgoing, incoming in (
        (source, split, 0, 0),
        (split, palette, 0, 0),
        (split, paint, 1, 0),
        (palette, paint, 0, 1),
        (paint, sink, 0, 0),
    ):
        one.link_to(other, outgoing, incoming)
    graph.configure()
    source.push(frame)
    source.push(None)
    painted = sink.pull()
    assert isinstance(painted, av.VideoFrame)
    encoder = av.CodecContext.create("png", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = painted.width, painted.height, painted.format.name
    encoder.time_base, encoder.options = Fraction(1), {"compression_level": "9"}
    return b"".join(bytes(packet) for packet in [*encoder.encode(painted), *encoder.encode(None)])


def opened(page: Page) -> Locator:
    """The name of the film in the player."""
    return page.get_by_role("complementary", name="Player").get_by_role("heading", name=re.compile(r"\.(webm|avi)$"))


def place(page: Page) -> dict[str, str]:
    """What the address bar says."""
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def is_wide(page: Page) -> bool:
    """Whether the page has to be scrolled sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))
