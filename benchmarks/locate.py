"""How surely a clip is placed in the film that it was cut from, and that one from no film is not placed.

    python -m benchmarks.locate [--encoder world] [--films 6] [--clips 150] [--strangers 1000] [--kept DIR] [--choose]

Films of twenty minutes are joined from generated videos; with the folder of recordings (`--real FOLDER`) these are one
film more. Clips of 3 to 20 seconds are cut out of them at random and changed as people change them; strangers are cut
and changed in the same way from generated videos of another seed, which have the same scenes, and other things in them.
`--choose` takes other clips and other strangers: thresholds are chosen on those, and told on the ones without it.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import av
import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from prvr.data.world.acts import RATE
from prvr.data.world.render import frame_times, render
from prvr.data.world.script import world_script
from prvr.encoders.loading import load_encoder
from prvr.search.engine import SearchEngine
from prvr.search.indexing import build_index
from prvr.search.origin import find_origin

FILM_S, SHORTEST_S, LONGEST_S, NEAR_S = 1200.0, 3.0, 20.0, 0.5
SIZE = "full"  # of the world that films are made of

Pixels = NDArray[Any]


class Change(NamedTuple):
    """What is done to a clip beside cutting it and encoding it again."""

    scale: float = 1.0
    mirrored: bool = False
    kept: float = 1.0  # share of each side that is left
    crf: int = 26


CHANGES = {
    "cut": Change(),
    "coarse": Change(crf=36),
    "smaller": Change(scale=0.5),
    "larger": Change(scale=1.8),
    "mirrored": Change(mirrored=True),
    "cropped": Change(kept=0.9),
    "all": Change(scale=0.75, mirrored=True, kept=0.9, crf=30),
}


class Cut(NamedTuple):
    """A clip that was made, and where from."""

    path: Path
    change: str
    film: str  # empty: none
    start_s: float


def world(seed: int, first: int) -> Iterator[Pixels]:
    """Generated videos end to end, from one of them on."""
    number = first
    while True:
        script = world_script(SIZE, seed, number)
        yield from (render(script, at_s) for at_s in frame_times(script))
        number += 1


def write(path: Path, frames: Iterator[Pixels], *, rate: Fraction | int, crf: int) -> None:
    """Frames as H.264."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as target:
        stream: VideoStream | None = None
        for image in frames:
            if stream is None:
                stream = target.add_stream("libx264", rate=rate, options={"crf": f"{crf}", "preset": "veryfast"})
                stream.height, stream.width = (side // 2 * 2 for side in image.shape[:2])
                stream.pix_fmt = "yuv420p"
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            target.mux(stream.encode(frame.reformat(stream.width, stream.height, "yuv420p")))
        if stream is not None:
            target.mux(stream.encode())


def recorded(folder: Path) -> Iterator[Pixels]:
    """The recordings of a folder end to end, ten pictures a second of one size."""
    for file in sorted(folder.glob("*.m[kp][v4]")):
        with av.open(file) as source:
            due = 0.0
            for frame in source.decode(video=0):
                if frame.time is not None and frame.time >= due:
                    due += 0.1
                    yield frame.reformat(640, 360, "rgb24").to_ndarray()


def film_frames(path: Path, start_s: float, end_s: float) -> Iterator[VideoFrame]:
    """The frames of a film that are shown from one second to another."""
    with av.open(path) as source:
        stream = source.streams.video[0]
        assert stream.time_base is not None
        source.seek(int(start_s / stream.time_base), stream=stream)
        for frame in source.decode(stream):
            if frame.time is None or frame.time < start_s - 1e-6:
                continue
            if frame.time >= end_s:
                return
            yield frame


def changed(frames: Iterator[VideoFrame], change: Change, dice: random.Random) -> Iterator[Pixels]:
    """Frames cropped somewhere, scaled and mirrored."""
    x, y, graph = dice.random(), dice.random(), Graph()
    for number, frame in enumerate(frames):
        if number == 0:
            width, height = (max(2, int(side * change.kept)) for side in (frame.width, frame.height))
            crop = f"{width}:{height}:{int(x * (frame.width - width))}:{int(y * (frame.height - height))}:exact=1"
            across, down = (int(side * change.scale) // 2 * 2 for side in (width, height))
            steps = [("format", "rgb24"), ("crop", crop), ("scale", f"{across}:{down}")]
            last = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
            )
            for name, said in [*steps, *([("hflip", "")] if change.mirrored else [])]:
                made = graph.add(name, said)
                last.link_to(made)
                last = made
            sink = graph.add("buffersink")
            last.link_to(sink)
            graph.configure()
        frame.pts, frame.time_base = number, Fraction(1, 1000)
        graph.push(frame)
        yield graph.vpull().to_ndarray(format="rgb24")


def films(root: Path, count: int, real: Path | None) -> list[Path]:
    """The library, made once."""
    root.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = root / f"film{number}.mp4"
        if not path.exists():
            frames = (image for _, image in zip(range(int(FILM_S * RATE)), world(0, 100 * number), strict=False))
            write(path, frames, rate=Fraction(RATE), crf=23)
    if real and not (root / "recordings.mp4").exists():
        write(root / "recordings.mp4", recorded(real), rate=Fraction(10), crf=23)
    return sorted(root.glob("*.mp4"))


def length_of(path: Path) -> float:
    """Seconds."""
    with av.open(path) as source:
        return float((source.duration or 0) / av.time_base)


def cuts(library: list[Path], root: Path, count: int, seed: str) -> Iterator[Cut]:
    """Clips out of the films, the changes in turn."""
    dice = random.Random(f"clips {seed}")
    root.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        film, change = library[number % len(library)], list(CHANGES)[number % len(CHANGES)]
        seconds = dice.uniform(SHORTEST_S, LONGEST_S)
        start = dice.uniform(0, length_of(film) - seconds)
        frames = list(film_frames(film, start, start + seconds))
        first = float(frames[0].time or 0)
        with av.open(film) as source:
            rate = Fraction(source.streams.video[0].average_rate or RATE)
        path, how = root / f"{number}.mp4", CHANGES[change]
        write(path, changed(iter(frames), how, dice), rate=rate, crf=how.crf)
        yield Cut(path, change, film.name, first)


def strangers(root: Path, count: int, seed: int) -> Iterator[Cut]:
    """Clips from no film of the library."""
    dice = random.Random(f"strangers {seed}")
    root.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        change = list(CHANGES)[number % len(CHANGES)]
        script = world_script(SIZE, seed, number)
        seconds = dice.uniform(SHORTEST_S, LONGEST_S)
        start = dice.uniform(0, max(0.0, script.duration_s - seconds))
        shown = [at_s for at_s in frame_times(script) if start <= at_s < start + seconds]
        frames = (VideoFrame.from_ndarray(render(script, at_s), format="rgb24") for at_s in shown)
        path, how = root / f"{number}.mp4", CHANGES[change]
        write(path, changed(frames, how, dice), rate=Fraction(RATE), crf=how.crf)
        yield Cut(path, change, "", 0.0)


def measure(engine: SearchEngine, clips: Iterator[Cut]) -> None:
    """Locate each; print how many of each kind were placed, how many rightly, and how long it took."""
    rows: dict[str, list[bool]] = {}
    placed, seconds, offs = 0, [], []
    for clip in clips:
        began = perf_counter()
        origins = find_origin(engine, clip.path).origins
        seconds.append(perf_counter() - began)
        placed += bool(origins)
        right = bool(origins) and origins[0].video_id == clip.film
        off = abs(origins[0].start_s - clip.start_s) if right else float("inf")
        offs += [off] if right else []
        rows.setdefault(clip.change, []).append(off <= NEAR_S)
        if origins and off > NEAR_S:
            print(f"wrong: {clip} -> {origins[0]}", flush=True)
    total = sum(map(len, rows.values()))
    print(f"{total} clips: {placed} placed, {sum(map(sum, rows.values()))} within {NEAR_S} s of where they were cut")
    print("; ".join(f"{change} {sum(hits)} of {len(hits)}" for change, hits in rows.items()))
    print(f"median {np.median(seconds):.2f} s a clip; median distance {np.median(offs or [np.nan]):.3f} s")


def main() -> None:
    """Make what is missing, index it, locate the clips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="world")
    parser.add_argument("--films", type=int, default=6)
    parser.add_argument("--clips", type=int, default=150)
    parser.add_argument("--strangers", type=int, default=1000)
    parser.add_argument("--real", type=Path, help="a folder of recordings")
    parser.add_argument("--kept", type=Path, help="where films and clips stay")
    parser.add_argument("--choose", action="store_true", help="the clips that thresholds are chosen on")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as nowhere:
        root = args.kept or Path(nowhere)
        library = films(root / "films", args.films, args.real)
        index = root / f"index-{args.encoder}"
        build_index([root / "films"], index, load_encoder(args.encoder, device="cpu"), workers=1)
        engine = SearchEngine.open(index, device="cpu")
        seed = "choose" if args.choose else "tell"
        measure(engine, cuts(library, root / f"clips-{seed}", args.clips, seed))
        measure(engine, strangers(root / f"strangers-{seed}", args.strangers, 1 if args.choose else 2))


if __name__ == "__main__":
    main()
