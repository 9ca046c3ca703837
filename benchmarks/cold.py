"""One `prvr search` as a whole process: alone, and where `prvr serve` holds the same index; CPU seconds, in turns.

python -m benchmarks.cold                       # 400 videos, a random CLIP of ViT-B/32's shape
python -m benchmarks.cold --against DIR         # beside the sources of another checkout
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import torch

from benchmarks.encode import random_clip
from prvr.core.facts import Facts
from prvr.core.types import Bank
from prvr.encoders.loading import load_encoder
from prvr.index.base import ZERO_SHOT, IndexHeader
from prvr.index.embedded import EmbeddedIndex
from prvr.search.engine import calibrate_folder

HERE = Path(__file__).parents[1]
FRAMES = 60  # vectors of each video
QUERY = "a person opens a door"


def make_index(folder: Path, checkpoint: Path, videos: int) -> None:
    """Videos of which only vectors are known, drawn at random; calibrated."""
    encoder = load_encoder(str(checkpoint), device="cpu")
    width = encoder.spec.width
    draw = torch.Generator().manual_seed(0)
    spans = torch.stack((torch.arange(FRAMES), torch.arange(FRAMES) + 1), 1).float()
    header = IndexHeader(encoder=encoder.spec, model=ZERO_SHOT, width=width, clip_weight=0.0)
    with EmbeddedIndex.create(folder, header) as index:
        for number in range(videos):
            tokens = torch.nn.functional.normalize(torch.randn(FRAMES, width, generator=draw), dim=1)
            index.add(f"v{number:04}.mp4", Bank(tokens, spans, FRAMES), facts=Facts(duration_s=float(FRAMES)))
        index.save(folder)
    calibrate_folder(folder, encoder)


def cpu_s(source: Path, index: Path, home: Path) -> tuple[float, str]:
    """CPU seconds of one search by the sources in a folder, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    call = [sys.executable, "-m", "prvr", "search", QUERY, "--index", str(index), "--all"]
    out = subprocess.run(call, env=environment(source, home), capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, out


def environment(source: Path, home: Path) -> dict[str, str]:
    """One thread, and a place of its own to keep and to meet."""
    places = {"PYTHONPATH": str(source / "src"), "PRVR_DATA": str(home), "XDG_RUNTIME_DIR": str(home)}
    return {**os.environ, **places, "OMP_NUM_THREADS": "1"}


def main() -> None:
    """Print CPU seconds, then the ratios."""
    parser = argparse.ArgumentParser(description="CPU seconds of one search on the command line.")
    parser.add_argument("--videos", type=int, default=400)
    parser.add_argument("--size", choices=("small", "base"), default="base")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--against", type=Path, help="another checkout, whose sources answer in turns with these")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        home = Path(made)
        random_clip(home / "clip", arguments.size)
        make_index(home / "index", home / "clip", arguments.videos)
        sources = {"alone": HERE} | ({"the other checkout, alone": arguments.against} if arguments.against else {})
        took: dict[str, list[float]] = {name: [] for name in (*sources, "beside a server")}
        printed = set()
        for _ in range(arguments.repeats + 1):  # the first hashes the weights
            for name, source in sources.items():
                seconds, out = cpu_s(source, home / "index", home)
                took[name].append(seconds)
                printed |= {out} if source == HERE else set()
        serve = [sys.executable, "-m", "prvr", "serve", "--index", str(home / "index"), "--no-open", "--json"]
        with subprocess.Popen(serve, env=environment(HERE, home), stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout
            server.stdout.readline()  # it answers
            for _ in range(arguments.repeats + 1):
                seconds, out = cpu_s(HERE, home / "index", home)
                took["beside a server"].append(seconds)
                printed.add(out)
            server.send_signal(signal.SIGINT)
        assert len(printed) == 1, "both ways print the same"
        for name, values in took.items():
            print(f"{name:28} {median(values[1:]):6.2f} CPU s   ({min(values[1:]):.2f} to {max(values[1:]):.2f})")
        alone, served = median(took["alone"][1:]), median(took["beside a server"][1:])
        print(f"alone / beside a server: {alone / served:.1f} x")
        if arguments.against:
            print(f"the other checkout / ours, alone: {median(took['the other checkout, alone'][1:]) / alone:.2f} x")


if __name__ == "__main__":
    main()
