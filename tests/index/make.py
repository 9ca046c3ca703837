"""Videos as indexes see them: clustered, so that there is something to find."""

from __future__ import annotations

import torch
from torch import Tensor

from prvr.core.facts import Cue, Facts
from prvr.core.types import Bank, EncoderSpec
from prvr.index.base import IndexHeader, Video

SPEC = EncoderSpec(
    name="test", revision="1" * 12, width=8, image_size=(8, 8), mean=(0, 0, 0), std=(1, 1, 1), crop=False, token_limit=9
)
WORDS = ("dog", "pool", "jump", "café", "naïve", "snow", "犬", "the")


def header(*, width: int = 8, clip_weight: float = 0.4) -> IndexHeader:
    return IndexHeader(encoder=SPEC, model="m", width=width, clip_weight=clip_weight)


def unit(*shape: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape), dim=-1)


def bank(frames: int, clips: int, width: int = 8, *, about: Tensor | None = None) -> Bank:
    """Random vectors, or such as lie near one direction."""
    noise = unit(frames + clips, width)
    tokens = noise if about is None else torch.nn.functional.normalize(about + 0.7 * noise, dim=1)
    return Bank(tokens, torch.rand(frames + clips, 2).sort(1).values * 60, frames)


def video(v: int, topics: Tensor, *, seed: int = 0) -> Video:
    """The same video for the same number and seed, whatever was drawn before."""
    generator = torch.Generator().manual_seed(1000 * seed + v)
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(1 << 30, (1,), generator=generator)))
        made = bank(6 + v % 5, 2 + v % 3, topics.shape[1], about=topics[v % len(topics)])
    facts = Facts(
        path=f"{'Holiday' if v % 3 else 'work'}/{v:03}[x].mp4",
        duration_s=10.0 + v,
        modified=1e9 + 3600 * v,
        tags=(*(("even",) if v % 2 == 0 else ()), *(("third",) if v % 3 == 0 else ())),
    )
    said = " ".join(WORDS[i] for i in range(len(WORDS)) if (v >> i) & 1)
    cues = (Cue(1.0, 2.5, f"{said} one"), Cue(3.0, 4.0, f"the {v}")) if v % 4 else ()
    return Video(f"{v:03}", made, f"{seed}.{v}", facts, cues)
