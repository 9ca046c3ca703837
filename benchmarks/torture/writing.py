"""An index that is written all the time, of vectors that follow from their versions: no video is read for it.

A run brings the index from whatever it finds to what is wanted now (additions, replacements, removals, joined segments,
derived neighbours), saying after each commit what is safe. When what is wanted is reached, the next generation is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.index import header
from prvr.core.facts import Cue, Facts
from prvr.core.types import Bank
from prvr.index import embedded, upkeep, view
from prvr.index.embedded import EmbeddedIndex

VIDEOS, WIDTH = 240, 16
HEADER = header(WIDTH)
QUERIES = torch.randn(8, WIDTH, generator=torch.Generator().manual_seed(9))


def wanted(generation: int) -> dict[str, str]:
    """Id -> version: a third of the videos changes with each generation, a few come and go."""
    return {f"{v:03}": f"{(generation + v % 3) // 3}.{v}" for v in range(VIDEOS) if (v + generation) % 11}


def bank_of(version: str) -> Bank:
    """Follows from the version alone; exact in float16."""
    generator = torch.Generator().manual_seed(hash(tuple(map(int, version.split(".")))) % 2**31)
    frames = 6 + int(version.split(".")[1]) % 7
    tokens = torch.nn.functional.normalize(torch.randn(frames + 3, WIDTH, generator=generator), dim=1)
    return Bank(tokens.half().float(), torch.rand(frames + 3, 2, generator=generator).sort(1).values, frames)


def write(folder: Path, generation: int, safe: Callable[[str], None]) -> None:
    """Bring the index to what is wanted; `safe` is told every id and version that is on the disk."""
    embedded.BATCH, upkeep.MANY, view.EXACT = 8, 5, 100
    goal = wanted(generation)
    with EmbeddedIndex.create(folder, HEADER) as index:
        known = dict(index.versions)
        index.remove(*(known.keys() - goal.keys()))
        missing = [video_id for video_id, version in goal.items() if known.get(video_id) != version]
        for at in range(0, len(missing), 24):
            for video_id in missing[at : at + 24]:
                version = goal[video_id]
                cues = (Cue(0.0, 1.0, f"version {version}"),)
                index.add(video_id, bank_of(version), version=version, facts=Facts(path=version), cues=cues)
            index.save(folder)
            safe(json.dumps({video_id: goal[video_id] for video_id in missing[at : at + 24]}))
