"""How the world encoder's weights were made.

The shipped file came from::

    python -m prvr.reproduce.world_encoder --out src/prvr/encoders/world.safetensors --seed 0 --minutes 13

on two cores that had other work (1,056 steps). Of 1,024 held-out events it finds the sentence of a frame first in
23.9 % and among the first ten in 73.4 %, and the frame of a sentence in 19.8 % and 71.8 %.

Frames and sentences of events in made-up videos are pulled together by a symmetric InfoNCE loss, as CLIP was trained:
one frame, the whole sentence, the action in it although no frame can show it. These videos have scripts of their own:
they are drawn from other seeds than any world, and their events from no world's prototypes.
`--minutes` stops by the clock; `--steps` repeats a run exactly.
"""

from __future__ import annotations

import argparse
import logging
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from prvr.core.processes import fresh_processes, leave_with_parent
from prvr.data.world.acts import VERSION, Act
from prvr.data.world.grammar import describe, vocabulary
from prvr.data.world.render import render
from prvr.data.world.script import any_event, between, make_script
from prvr.encoders.images import normalise_images, resize_images
from prvr.encoders.world import (
    MEAN,
    STD,
    WorldConfig,
    WorldEncoder,
    WorldNet,
    channels_last,
    read_world_encoder,
    save_world_encoder,
)

log = logging.getLogger(__name__)
HELD_OUT = 1024  # frames with their sentences
AHEAD = 4  # batches being drawn while one is learnt from


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How long and how."""

    seed: int = 0
    minutes: float = 10.0
    steps: int | None = None  # instead of minutes
    batch: int = 128
    lr: float = 2e-3
    weight_decay: float = 0.02
    warm_up: float = 0.03  # share of the run
    threads: int = 1


class Drawn(NamedTuple):
    """Frames with a sentence each."""

    frames: NDArray[np.uint8]  # (B, 3, h, w)
    texts: list[str]
    meanings: list[str]  # equal where the meaning is


def draw(key: str, batch: int) -> Drawn:
    """A batch of frames out of events, with their descriptions; `key` decides everything."""
    rng = Random(f"world encoder {VERSION} {key}")
    frames: list[NDArray[np.uint8]] = []
    events: list[Act] = []
    while len(frames) < batch:
        pool = [any_event(rng) for _ in range(12)]
        script = make_script("encoder", f"world encoder {VERSION} {key} {len(frames)}", pool)
        for event in script.events:
            frames.append(render(script, between(rng, event.start + 0.25, event.end - 0.25)))
            events.append(event)
    texts = [describe(event, rng) for event in events[:batch]]
    meanings = [str(sorted(event.attributes.items())) for event in events[:batch]]
    return Drawn(np.ascontiguousarray(np.stack(frames[:batch]).transpose(0, 3, 1, 2)), texts, meanings)


def draw_ahead(seed: int, batch: int) -> Iterator[Drawn]:
    """Batches without end, drawn by a process of their own."""
    with ProcessPoolExecutor(1, mp_context=fresh_processes([__name__]), initializer=leave_with_parent) as pool:
        waiting: deque[Future[Drawn]] = deque(pool.submit(draw, f"{seed} {i}", batch) for i in range(AHEAD))
        step = AHEAD
        try:
            while True:
                ready = waiting.popleft().result()
                waiting.append(pool.submit(draw, f"{seed} {step}", batch))
                step += 1
                yield ready
        finally:
            pool.shutdown(cancel_futures=True)


def clip_loss(images: Tensor, texts: Tensor, same: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE in which equal meanings are no negatives of each other.

    images, texts (B, E), same (B, B) bool, scale () -> (B,).
    """
    logits = scale * F.normalize(images, dim=1) @ F.normalize(texts, dim=1).T  # (B, B)
    logits = logits.masked_fill(same & ~torch.eye(len(same), dtype=torch.bool), -torch.inf)
    own = torch.arange(len(logits))
    forth: Tensor = F.cross_entropy(logits, own, reduction="none")
    back: Tensor = F.cross_entropy(logits.T, own, reduction="none")
    return (forth + back) / 2


def worn(images: Tensor, generator: torch.Generator) -> Tensor:
    """What a codec does to a picture, roughly: less sharp, a little noisy, a little darker or lighter.

    images (B, 3, H, W) -> the same shape.
    """
    blurred = F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    share, loud, light = torch.unbind(torch.rand(3, len(images), 1, 1, 1, generator=generator))
    noise = torch.randn(images.shape[1:], generator=generator)  # one for all: what matters is that it changes
    softer: Tensor = images + 0.4 * share * (blurred - images)
    return softer * (0.92 + 0.16 * light) + 0.04 * loud * noise


def train(config: TrainingConfig) -> tuple[WorldNet, int]:
    """A world encoder from nothing -> its net and the number of steps."""
    torch.manual_seed(config.seed)
    torch.set_num_threads(config.threads)
    generator = torch.Generator().manual_seed(config.seed)
    net = channels_last(WorldNet(WorldConfig(vocabulary=vocabulary())))
    scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
    matrices = [p for p in net.parameters() if p.ndim > 1]
    rest = [p for p in net.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": matrices}, {"params": [*rest, scale], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98), weight_decay=config.weight_decay)
    began, running = time.perf_counter(), 0.0
    for step, drawn in enumerate(draw_ahead(config.seed, config.batch)):
        done = step / config.steps if config.steps else (time.perf_counter() - began) / (60 * config.minutes)
        if done >= 1:
            return net.eval(), step
        for group in optimizer.param_groups:
            group["lr"] = config.lr * min(1.0, done / config.warm_up + 0.01, (1 + math.cos(math.pi * done)) / 2 + 0.01)
        images, tokens, same = tensors(net, drawn, generator)
        loss = clip_loss(net.image(images), net.encode_sentences(tokens), same, scale.exp().clamp(max=100)).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        running = loss.item() if step == 0 else 0.95 * running + 0.05 * loss.item()
        if step % 50 == 0:
            log.info("step %d, %.0f s, loss %.3f", step, time.perf_counter() - began, running)
    raise AssertionError("batches have no end")


def tensors(net: WorldNet, drawn: Drawn, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """A batch as both towers want it: images (B, 3, H, W), tokens (B, W), same (B, B)."""
    frames = resize_images(torch.from_numpy(drawn.frames), net.config.image_size, crop=False)
    images = worn(normalise_images(frames, MEAN, STD), generator)
    ids = {meaning: i for i, meaning in enumerate(drawn.meanings)}
    codes = torch.tensor([ids[meaning] for meaning in drawn.meanings])
    return images.contiguous(memory_format=torch.channels_last), net.tokenize(drawn.texts), codes[:, None] == codes


def held_out_recall(encoder: WorldEncoder, *, seed: int, number: int = HELD_OUT) -> dict[str, float]:
    """Recall in percent among frames and sentences of events that training never drew, both ways."""
    drawn = draw(f"held out {seed}", number)
    frames = torch.split(torch.from_numpy(drawn.frames), 256)
    images = F.normalize(torch.cat([encoder.encode_images(encoder.prepare(part)) for part in frames]), dim=1)
    texts = F.normalize(encoder.encode_texts(drawn.texts).sentence, dim=1)
    scores = images @ texts.T  # (frames, sentences)
    found: dict[str, float] = {}
    for name, matrix in (("frame to sentence", scores), ("sentence to frame", scores.T)):
        rank = (matrix >= matrix.diag()[:, None]).sum(dim=1)  # ties count against us
        found |= {f"{name} R@{k}": (rank <= k).float().mean().item() * 100 for k in (1, 10)}
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, save, and say how good it became."""
    parser = argparse.ArgumentParser(prog="python -m prvr.reproduce.world_encoder", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=10.0, help="train this long (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="train this many steps instead: the same weights every time")
    parser.add_argument("--batch", type=int, default=TrainingConfig.batch, help="frames a step (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help="frames to judge it by (default: %(default)s)")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = TrainingConfig(
        seed=given.seed, minutes=given.minutes, steps=given.steps, batch=given.batch, threads=given.threads
    )
    net, steps = train(config)
    made = {"seed": str(config.seed), "steps": str(steps), "batch": str(config.batch), "generator": str(VERSION)}
    save_world_encoder(net, given.out, training=made)
    recall = held_out_recall(read_world_encoder(given.out), seed=config.seed, number=given.held_out)
    log.info("%s: %d steps, %d events held out: %s", given.out, steps, given.held_out, recall)


if __name__ == "__main__":
    main()
