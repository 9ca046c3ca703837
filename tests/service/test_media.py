"""The files behind the videos, without HTTP: states, pictures made once, a cache that stays small."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from prvr.core.errors import ConfigError, VideoError
from prvr.service import media as module
from prvr.service.cache import Cache
from prvr.service.media import Media
from prvr.video.proxy import make_proxy
from tests.features import killers
from tests.serve.conftest import until
from tests.video.make import draw_clock, steps, write_sound, write_video
from tests.video.test_thumbnail import clock, opened


@pytest.fixture
def media(tmp_path: Path) -> Iterator[Media]:
    made = Media(tmp_path / "index", threads=1)
    yield made
    made.close()


def known(media: Media, file: Path) -> str:
    until(lambda: media.glance(file)[0] != "unknown")
    return media.glance(file)[0]


def test_every_state(media: Media, tmp_path: Path) -> None:
    write_video(tmp_path / "plays.mp4", steps(1, 10))
    write_video(tmp_path / "film.avi", steps(1, 10), codec="mpeg4")
    (tmp_path / "junk.mp4").write_bytes(b"junk")
    (tmp_path / "folder.mp4").mkdir()
    write_sound(tmp_path / "sound.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")  # opening it would wait for ever
    assert media.glance(None)[0] == "features_only"
    assert media.glance(tmp_path / "nowhere" / "a.mp4")[0] == "missing"
    assert media.glance(tmp_path / "plays.mp4" / "a.mp4")[0] == "missing"
    assert media.glance(tmp_path / "pipe.mp4")[0] == "unreadable"
    assert media.glance(tmp_path / "folder.mp4")[0] == "unreadable"
    assert media.glance(tmp_path / "plays.mp4")[0] == "unknown"  # until it was opened
    assert known(media, tmp_path / "plays.mp4") == "playable"
    assert known(media, tmp_path / "film.avi") == "needs_proxy"
    assert known(media, tmp_path / "junk.mp4") == known(media, tmp_path / "sound.mp4") == "unreadable"
    shape = media.shape(tmp_path / "film.avi")
    assert shape is not None
    assert (shape.width, shape.height, shape.codec) == (160, 48, "mpeg4")
    make_proxy(tmp_path / "film.avi", media.cache.room("proxies", media.proxy_place(tmp_path / "film.avi").name))
    assert media.glance(tmp_path / "film.avi")[0] == "proxy"
    assert media.proxy(tmp_path / "film.avi") == media.proxy_place(tmp_path / "film.avi")


def test_another_file_under_the_same_name(media: Media, tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    write_video(file, steps(1, 10))
    assert known(media, file) == "playable"
    tag, place = media.tag(file), media.proxy_place(file)
    write_video(file, steps(2, 10), codec="mpeg4")
    assert media.glance(file)[0] == "unknown"
    assert known(media, file) == "needs_proxy"
    assert media.tag(file) != tag
    assert media.proxy_place(file) != place
    file.unlink()
    assert media.glance(file)[0] == "missing"
    assert media.tag(file) == ""
    with pytest.raises(VideoError, match=r"a\.mp4: is not there any more"):
        media.proxy(file)


def test_what_was_opened_once_is_known_after_a_restart(media: Media, tmp_path: Path) -> None:
    write_video(tmp_path / "a\udcff.mp4", steps(1, 10))  # a name that is no UTF-8
    write_video(tmp_path / "b.mp4", steps(1, 10))
    for name in ("a\udcff.mp4", "b.mp4"):
        assert known(media, tmp_path / name) == "playable"
    listed = tmp_path / "index" / "serve" / "probes.jsonl"
    until(lambda: listed.read_text().count("\n") == 2)
    with listed.open("a") as file:
        file.write('not JSON\n[1]\n{"path": 3}\n["b.mp4", 1, 2, false, ""]\n["cut off')  # the last but one is of before
    again = Media(tmp_path / "index")
    assert again.glance(tmp_path / "a\udcff.mp4")[0] == again.glance(tmp_path / "b.mp4")[0] == "playable"
    assert again.shape(tmp_path / "b.mp4") == media.shape(tmp_path / "b.mp4")
    again.close()


def test_pictures_are_kept_by_file_time_and_width(media: Media, tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(3, 10))

    async def ask() -> list[bytes]:
        return [await media.thumbnail(tmp_path / "a.mp4", time, width) for time, width in wanted]

    wanted = [(1.0, 160), (1.0004, 160), (2.0, 160), (1.0, 80)]
    pictures = asyncio.run(ask())
    assert [clock(picture) for picture in pictures[:3]] == [1.0, 1.0, 2.0]
    assert pictures[0] == pictures[1] != pictures[3]
    kept = list((tmp_path / "index" / "serve" / "thumbs").rglob("*.jpg"))
    assert len(kept) == 3
    for path in kept:
        path.write_bytes(b"from the disk")
    assert set(asyncio.run(ask())) == {b"from the disk"}


def test_a_picture_is_made_once_for_all_who_wait(media: Media, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "a.mp4", steps(3, 10))
    made: list[float] = []
    go = threading.Event()

    def slow(function: Callable[..., bytes], path: Path, time_s: float, **how: int) -> bytes:
        made.append(time_s)
        assert go.wait(20)
        return function(path, time_s, **how)

    monkeypatch.setattr(module, "ask", slow)

    async def ask() -> list[bytes | BaseException]:
        first = [asyncio.create_task(media.thumbnail(tmp_path / "a.mp4", 1.0, 160)) for _ in range(5)]
        left = asyncio.create_task(media.thumbnail(tmp_path / "a.mp4", 2.0, 160))
        shared = [asyncio.create_task(media.thumbnail(tmp_path / "a.mp4", 2.5, 160)) for _ in range(2)]
        while not made:
            await asyncio.sleep(0.01)
        for task in (left, shared[0], first[0]):  # they go: one picture nobody wants any more, two others still do
            task.cancel()
        while any(not task.cancelled() for task in (left, shared[0], first[0])):
            await asyncio.sleep(0)
        go.set()
        return await asyncio.gather(*first, left, *shared, return_exceptions=True)

    answers = asyncio.run(ask())
    assert made == [1.0, 2.5]
    assert len({answer for answer in answers if isinstance(answer, bytes)}) == 2
    assert sum(isinstance(answer, asyncio.CancelledError) for answer in answers) == 3
    assert media._making == {}


def test_pictures_that_cannot_be_made(media: Media, tmp_path: Path) -> None:
    (tmp_path / "junk.mp4").write_bytes(b"junk")
    with pytest.raises(VideoError, match=r"junk\.mp4: is not a video"):
        asyncio.run(media.thumbnail(tmp_path / "junk.mp4", 1.0, 160))
    with pytest.raises(VideoError, match=r"gone\.mp4: is not there any more"):
        asyncio.run(media.thumbnail(tmp_path / "gone.mp4", 1.0, 160))


def test_a_cache_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_video(tmp_path / "a.mp4", steps(3, 10))
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "serve").write_bytes(b"in the way")
    media = Media(tmp_path / "index")
    for time_s in (1.0, 2.0):
        assert clock(asyncio.run(media.thumbnail(tmp_path / "a.mp4", time_s, 160))) == time_s
    assert known(media, tmp_path / "a.mp4") == "playable"
    assert caplog.text.count("cannot keep what is made here") == 1
    with pytest.raises(ConfigError, match="proxies: cannot be written"):
        media.cache.room("proxies", "a.mp4")
    assert media.export("0" * 32) is None
    media.close()


def test_the_least_recently_used_make_room(tmp_path: Path) -> None:
    cache, key = Cache(tmp_path, limit=1000), "0123456789abcdef" * 2
    mine = [tmp_path / "thumbs" / "holiday.jpg", tmp_path / "exports" / "goals" / ".notes.tmp"]  # somebody's own
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(5000))
        os.utime(path, (1, 1))
    now, used, more = time.time(), tmp_path / "proxies" / f"{key}.mp4", tmp_path / "thumbs" / "bb" / f"{key}-1-80.jpg"

    def files() -> set[Path]:
        return {path for path in tmp_path.rglob("*") if path.is_file()} - set(mine)

    for age, (kind, name) in enumerate(
        [
            ("thumbs", f"aa/{key}-1-160.jpg"),
            ("proxies", f"{key}.mp4"),
            ("exports", f"{key}/old.csv"),
            ("thumbs", f"aa/{key}-2-160.jpg"),
        ]
    ):
        place = cache.room(kind, name)  # type: ignore[arg-type]
        place.write_bytes(bytes(300))
        os.utime(place, (now - 1000 * age, now - 1000 * age))
    young, abandoned = tmp_path / "proxies" / f".{key}.tmp", tmp_path / "proxies" / f".{key}.mp4"
    for part in (young, abandoned):
        part.write_bytes(bytes(5000))
    os.utime(abandoned, (now - 9000, now - 9000))
    cache.touch(tmp_path / "exports" / key / "old.csv")
    cache.tidy(now=True)
    assert files() == {young, tmp_path / f"thumbs/aa/{key}-1-160.jpg", tmp_path / f"exports/{key}/old.csv", used}
    cache.write("thumbs", f"bb/{key}-1-80.jpg", bytes(300))
    cache.tidy(now=True)
    assert files() == {young, more, tmp_path / f"thumbs/aa/{key}-1-160.jpg", tmp_path / f"exports/{key}/old.csv"}
    assert cache.read("thumbs", f"bb/{key}-1-80.jpg") == bytes(300)
    assert cache.read("thumbs", f"aa/{key}-2-160.jpg") is None
    os.utime(tmp_path / "exports" / key / "old.csv", (1, 1))
    cache.write("thumbs", f"bb/{key}-2-80.jpg", bytes(700))
    cache.tidy(now=True)
    assert not (tmp_path / "exports" / key).exists()
    assert all(path.exists() for path in mine)


def test_subtitles_beside_a_video(media: Media, tmp_path: Path) -> None:
    spoken = media.spoken
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()
    assert not spoken.is_any("a.mp4", tmp_path / "a.mp4")
    assert not spoken.is_any("a.mp4", tmp_path / "nowhere" / "a.mp4")
    (tmp_path / "a.de.srt").write_text("1\n00:00:01,000 --> 00:00:02,500\nHallo\n")
    os.utime(tmp_path, (1, 1))  # whatever the file system's clock is like
    assert spoken.is_any("a.mp4", tmp_path / "a.mp4")
    assert spoken.webvtt("a.mp4", tmp_path / "a.mp4") == "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nHallo\n"
    (tmp_path / "a.srt").write_text(
        "2\n00:01:01,000 --> 00:01:02,500\n<i>Tom & Jerry</i>\na & b\n\n1\n00:00:01,000 --> 00:00:02,500\nfirst\n"
    )
    os.utime(tmp_path, (2, 2))
    assert spoken.webvtt("a.mp4", tmp_path / "a.mp4") == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nfirst\n\n00:01:01.000 --> 00:01:02.500\nTom &amp; Jerry a &amp; b\n"
    )
    assert not spoken.is_any("b.mp4", tmp_path / "b.mp4")
    assert spoken.webvtt("b.mp4", tmp_path / "b.mp4") is None


def test_a_picture_has_its_shape_before_the_file_was_opened(media: Media, tmp_path: Path) -> None:
    """The page asks for pictures at once; what is painted then is kept for good."""
    write_video(
        tmp_path / "tv.ts", steps(1, 10), draw=lambda t: draw_clock(t, height=120), pixel_aspect=Fraction(16, 11)
    )
    assert media.shape(tmp_path / "tv.ts") is None
    picture = opened(asyncio.run(media.thumbnail(tmp_path / "tv.ts", 0.5, 160)))
    assert picture.shape == (82, 160, 3)


def test_a_file_that_kills_who_opens_it_kills_no_server(
    media: Media, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Probes and pictures are made apart, and the next file's are there at once."""
    monkeypatch.setattr(module, "probe", killers.probe_of)
    monkeypatch.setattr(module, "thumbnail", killers.thumbnail_of)
    good, bad = tmp_path / "good.mp4", tmp_path / "kill.mp4"
    write_video(good, steps(3, 10))
    bad.write_bytes(good.read_bytes())
    state, known = asyncio.run(media.look(bad))
    assert state == "unreadable"
    assert known
    assert "ended the process that read it (signal 9, SIGKILL)" in known.problem
    with pytest.raises(VideoError, match="ended the process that read it"):
        asyncio.run(media.thumbnail(bad, 1.0, 160))
    assert asyncio.run(media.look(good))[0] == "playable"
    assert clock(asyncio.run(media.thumbnail(good, 1.0, 160))) == 1.0
    assert (tmp_path / "index" / "serve").stat().st_mode & 0o777 == 0o700, "stills are for nobody else"
