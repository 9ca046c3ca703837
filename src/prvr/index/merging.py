"""Fewer frames to keep: neighbours that show the same become one."""

from __future__ import annotations

import torch

from prvr.core.types import Bank


def merge_alike(bank: Bank, alike: float) -> Bank:
    """Every run of frames of which each has a cosine of at least `alike` with the next -> their mean, over their span.

    Clips stay as they are. The mean is made of unit length again.
    """
    frames, clips = bank.tokens[: bank.num_frames], bank.tokens[bank.num_frames :]
    if len(frames) < 2:
        return bank
    opens = (frames[1:] * frames[:-1]).sum(1) < alike  # (T-1,) where something new begins
    run = torch.cat([opens.new_zeros(1), opens]).cumsum(0)  # (T,)
    count = int(run[-1]) + 1
    means = frames.new_zeros(count, frames.shape[1]).index_add(0, run, frames)
    start = torch.full((count,), torch.inf).scatter_reduce(0, run, bank.spans[: len(frames), 0], "amin")
    end = torch.full((count,), -torch.inf).scatter_reduce(0, run, bank.spans[: len(frames), 1], "amax")
    spans = torch.cat([torch.stack([start, end], 1), bank.spans[len(frames) :]])
    return Bank(torch.cat([torch.nn.functional.normalize(means, dim=1), clips]), spans, count)
