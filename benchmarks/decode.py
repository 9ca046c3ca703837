"""How many seconds of video are read in a second, at one frame a second, beside converting every frame.

    .venv/bin/python benchmarks/decode.py [FILES]
    .venv/bin/python benchmarks/decode.py --against DIR [FILES]     # beside another checkout, turn by turn

Without files, one of 60 s is made (H.264, 640 x 360, 25 frames/s) in a temporary folder. One thread; best of three,
with --against of nine turns, in seconds of the processor.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from prvr.video.decode import sample_frames
from prvr.video.probe import probe

TURNS = 9


def make(path: Path, *, seconds: int = 60, rate: int = 25, width: int = 640, height: int = 360) -> Path:
    """A bright square that wanders over noise that stands still."""
    noise = np.random.default_rng(0).integers(60, 120, (height, width, 3), dtype=np.uint8)
    with av.open(path, "w") as out:
        stream = out.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(seconds * rate):
            image = noise.copy()
            top, left = i % (height - 60), 3 * i % (width - 60)
            image[top : top + 60, left : left + 60] = 255
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def sampled(path: Path) -> None:
    """What extraction does."""
    for _ in sample_frames(path, rate=1.0):
        pass


def every_frame(path: Path) -> None:
    """What a simple loop does: every frame to RGB, one in a second kept."""
    kept: list[object] = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            image = frame.to_ndarray(format="rgb24")
            if frame.time >= len(kept):
                kept.append(image)


def best_of_three(read: Callable[[Path], None], path: Path) -> float:
    """Seconds."""
    took = []
    for _ in range(3):
        start = time.perf_counter()
        read(path)
        took.append(time.perf_counter() - start)
    return min(took)


def against(files: list[Path], other: Path) -> None:
    """Print what this checkout and another need for each file, one after the other in turns."""
    script = (
        "import sys, time; from pathlib import Path; from prvr.video.decode import sample_frames as read\n"
        "for line in sys.stdin:\n"
        "    start = time.process_time(); sum(len(b.times) for b in read(Path(line.strip())))\n"
        "    print(time.process_time() - start, flush=True)"
    )
    here = Path(__file__).resolve().parents[1]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(folder / "src")},
        )
        for folder in (here, other.resolve())
    ]
    for path in files:
        took: list[list[float]] = [[], []]
        for turn in range(TURNS):
            for side in (0, 1) if turn % 2 else (1, 0):
                process = both[side]
                assert process.stdin
                assert process.stdout
                print(path, file=process.stdin, flush=True)
                took[side].append(float(process.stdout.readline()))
        ours, theirs = min(took[0]), min(took[1])
        print(f"{path.name[-36:]:<36} {ours:>8.3f} s here {theirs:>8.3f} s there   {100 * (ours / theirs - 1):+.1f} %")
    for process in both:
        process.kill()


def main() -> None:
    """Print a line a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = args.files or [make(Path(folder) / "made.mp4")]
        if args.against:
            against(files, args.against)
            return
        print(f"{'file':<36} {'seconds':>8} {'size':>10} {'sampled':>10} {'every frame':>12}   (x realtime)")
        for path in files:
            info = probe(path)
            ours, naive = (info.duration_s / best_of_three(read, path) for read in (sampled, every_frame))
            size = f"{info.width}x{info.height}"
            print(f"{path.name[-36:]:<36} {info.duration_s:>8.1f} {size:>10} {ours:>9.0f}x {naive:>11.0f}x")


if __name__ == "__main__":
    main()
