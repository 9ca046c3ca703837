"""A clip leads to its place in a film: real files, cut, changed and encoded again."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

import av
import pytest
import torch
from av.video.frame import VideoFrame
from PIL import Image

from benchmarks.locate import CHANGES, changed, film_frames, world, write
from prvr.cli.front import main
from prvr.core.errors import QueryError
from prvr.data.world.acts import RATE
from prvr.encoders.world import load_world_encoder
from prvr.search.aligning import SIDE, fit, shows_something
from prvr.search.engine import SearchEngine
from prvr.search.indexing import build_index
from prvr.search.origin import Origins, find_origin
from prvr.video.small import small_pictures
from tests.video.make import steps, write_video

FILM_S = 90


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films of a minute and a half, and an index of them."""
    root = tmp_path_factory.mktemp("films")
    for number in range(2):
        write(root / "films" / f"film{number}.mp4", islice(world(0, 50 * number), FILM_S * RATE), rate=RATE, crf=23)
    build_index([root / "films"], root / "index", load_world_encoder(), workers=1)
    return root


def trace(films: Path, clip: Path) -> Origins:
    return find_origin(SearchEngine.open(films / "index", device="cpu"), clip)


def cut(films: Path, clip: Path, change: str, *, start_s: float = 41.0, lasts_s: float = 6.0) -> Path:
    frames = film_frames(films / "films" / "film1.mp4", start_s, start_s + lasts_s)
    write(clip, changed(frames, CHANGES[change], random.Random(1)), rate=RATE, crf=CHANGES[change].crf)
    return clip


@pytest.mark.parametrize("change", CHANGES)
def test_a_clip_is_placed_however_it_was_changed(films: Path, tmp_path: Path, change: str) -> None:
    (origin,) = trace(films, cut(films, tmp_path / "clip.mp4", change)).origins
    assert origin.video_id == "film1.mp4"
    assert origin.start_s == pytest.approx(41, abs=0.5)
    assert origin.end_s == pytest.approx(47, abs=0.5)
    assert origin.mirrored == CHANGES[change].mirrored


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_picture_is_placed(films: Path, tmp_path: Path, suffix: str) -> None:
    frame = next(film_frames(films / "films" / "film0.mp4", 63.0, 64.0))
    Image.fromarray(frame.to_ndarray(format="rgb24")).save(tmp_path / f"picture{suffix}")
    (origin,) = trace(films, tmp_path / f"picture{suffix}").origins
    assert origin.video_id == "film0.mp4"
    assert origin.start_s == pytest.approx(63, abs=0.5)


def test_a_clip_from_no_film_is_not_placed(films: Path, tmp_path: Path) -> None:
    write(tmp_path / "stranger.mp4", islice(world(7, 0), 6 * RATE), rate=RATE, crf=23)
    traced = trace(films, tmp_path / "stranger.mp4")
    assert traced.looked_at
    assert not traced.origins


def test_a_film_that_is_gone_is_named_and_not_guessed(films: Path, tmp_path: Path) -> None:
    clip, film, away = cut(films, tmp_path / "clip.mp4", "cut"), films / "films" / "film1.mp4", films / "away.mp4"
    film.rename(away)
    try:
        traced = trace(films, clip)
    finally:
        away.rename(film)
    assert not traced.origins
    assert "film1.mp4 is gone: it cannot be compared" in traced.unseen["film1.mp4"]


def test_a_blank_clip_and_a_file_that_is_none_are_refused(films: Path, tmp_path: Path) -> None:
    grey = VideoFrame.from_ndarray(torch.full((144, 192, 3), 90, dtype=torch.uint8).numpy(), format="rgb24")
    write(tmp_path / "blank.mp4", (grey.to_ndarray() for _ in range(16)), rate=RATE, crf=23)
    with pytest.raises(QueryError, match="shows nothing to know it by"):
        trace(films, tmp_path / "blank.mp4")
    (tmp_path / "words.txt").write_text("no video")
    with pytest.raises(QueryError, match=r"words\.txt: cannot be read as a clip or a picture"):
        trace(films, tmp_path / "words.txt")


def test_the_command_says_where(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, index = cut(films, tmp_path / "clip.mp4", "mirrored"), str(films / "index")
    assert main(["locate", str(clip), "--index", index]) == 0
    out = capsys.readouterr().out
    assert "film1.mp4  (mirrored)" in out
    write(tmp_path / "stranger.mp4", islice(world(7, 0), 6 * RATE), rate=RATE, crf=23)
    assert main(["locate", str(tmp_path / "stranger.mp4"), "--index", index, "--fail-if-none"]) == 4
    assert capsys.readouterr().out == "From none of these films.\n"


def test_small_pictures_stand_where_a_player_shows_them(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(4, 10), offset_s=1.0)
    small = small_pictures(tmp_path / "a.mp4", 0.0, 3.0, step_s=0.25, side=SIDE)
    assert small.start_s == pytest.approx(1.0)
    assert len(small.greys) == 8
    with av.open(tmp_path / "a.mp4") as source:
        shown = {round(frame.time or 0, 3): frame.to_ndarray(format="gray") for frame in source.decode(video=0)}
    for number, grey in enumerate(small.greys):
        standing = max(time for time in shown if time <= 1 + number * 0.25 + 1e-6)
        assert abs(float(grey.mean()) - float(shown[standing].mean())) < 2


def test_a_clip_fits_where_it_was_cut() -> None:
    film = torch.nn.functional.interpolate(torch.rand(40, 1, 8, 8) * 255, (SIDE, SIDE), mode="bicubic")[:, 0]
    film = film.clamp(0, 255).byte()
    at = torch.tensor([0, 3, 6])
    part = torch.nn.functional.interpolate(film[16 + at, 4:60, 8:64].float()[:, None], (SIDE, SIDE), mode="bilinear")
    found = fit(part[:, 0].flip(2).byte(), at, film)
    assert (found.offset, found.mirrored) == (16, True)
    assert found.alike > 0.95
    assert fit(torch.rand(3, SIDE, SIDE).mul(255).byte(), at, film).alike < 0.4


def test_blank_pictures_show_nothing() -> None:
    slope = torch.linspace(0, 255, SIDE).byte().expand(SIDE, SIDE)
    noise = torch.rand(SIDE, SIDE).mul(255).byte()
    assert shows_something(torch.stack([torch.zeros_like(slope), noise])).tolist() == [False, True]
