"""How fast an encoder reads pictures here."""

from __future__ import annotations

import time

import torch

from prvr.core.types import Encoder

BATCH = 8
SECONDS = 2.0  # of measuring, at least


def images_per_second(encoder: Encoder) -> float:
    """Pictures of 720p prepared and encoded a second, as this machine is loaded now; decoding comes on top."""
    frames = torch.randint(0, 256, (BATCH, 3, 720, 1280), dtype=torch.uint8)
    encoder.encode_images(encoder.prepare(frames))  # the first time also makes ready
    began, read = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        encoder.encode_images(encoder.prepare(frames))
        read += BATCH
    return read / (time.perf_counter() - began)
