"""Where a video turns: its frames as a path through the encoder's space, cut where that path changes direction.

TF-PRVR (NeurIPS 2026), Section 3.1, as released: a signal of turning, its wavelet bands, and a cut at every peak of a
band that stands out. Everything is float64 and for many videos at once; frames behind a video's length are not looked
at.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.methods.tfprvr.wavelets import Wavelet, bands, depth_of

_REST = 1e-8  # a step shorter than this is none
_ROUNDING = 64 * 2.0**-52  # responses below this are noise of the arithmetic


def turning(frames: Tensor, lengths: Tensor) -> Tensor:
    """How sharply the path turns at each inner frame: 1 - cosine of two steps, 0 (straight, or at rest) to 2 (back).

    frames (V, T, D) unit length, T at least 3, lengths (V,) -> (V, T - 2), sample t about frame t + 1, 0 behind the
    length. One resting neighbour alone makes 1.
    """
    steps = frames.diff(dim=1)
    speed = steps.norm(dim=2)
    direction = steps / (speed + _REST)[..., None]
    signal: Tensor = 1 - (direction[:, :-1] * direction[:, 1:]).sum(2).clamp(-1, 1)
    rest = speed <= _REST
    place = torch.arange(signal.shape[1], device=frames.device)
    straight = (rest[:, :-1] & rest[:, 1:]) | (place >= lengths[:, None] - 2)
    return signal.masked_fill(straight, 0.0)


def cut_strength(signal: Tensor, lengths: Tensor, *, wavelet: Wavelet = "db4", threshold: float = 1.0) -> Tensor:
    """Before which frames each level cuts, and how strong the response is there; 0 = no cut.

    signal (V, T - 2) as `turning` makes it, lengths (V,) frames. A cut is a peak that exceeds the level's mean by more
    than `threshold` standard deviations -> (V, L, T), at least one level; levels that a video has not have no cuts.
    """
    samples = (lengths - 2).clamp(min=0)
    response = bands(signal, samples, wavelet).abs()
    if not response.shape[1]:
        response = signal.new_zeros(len(signal), 1, signal.shape[1])
    real = torch.arange(signal.shape[1], device=signal.device) < samples[:, None]
    inside, number = response * real[:, None], samples.clamp(min=1)[:, None, None]
    mean = inside.sum(2, keepdim=True) / number
    deviation = (((inside - mean) * real[:, None]).square().sum(2, keepdim=True) / number).sqrt()
    noise = _ROUNDING * signal.abs().amax(1).clamp(min=1)[:, None, None]
    stands = response > torch.maximum(mean + threshold * deviation, noise)
    found = response.where(stands & peaks(response, samples), 0.0)
    return F.pad(found, (2, 0))  # a peak at sample t cuts before frame t + 2


def levels_of(lengths: Tensor, wavelet: Wavelet) -> Tensor:
    """How many levels a video of so many frames is cut at: (V,) -> (V,), at least 1."""
    return depth_of((lengths - 2).clamp(min=0), wavelet).clamp(min=1)


def peaks(x: Tensor, lengths: Tensor) -> Tensor:
    """Samples higher than both neighbours; of a flat top the middle one, never one that reaches an end.

    x (V, L, n), lengths (V,) -> (V, L, n) bool.
    """
    place = torch.arange(x.shape[2], device=x.device)
    differs = x.diff(dim=2) != 0
    first, last = F.pad(differs, (1, 0), value=True), F.pad(differs, (0, 1), value=True)
    start = place.where(first, 0).cummax(2).values  # of the run of equal samples that each is in
    end = place.where(last, x.shape[2] - 1).flip(2).cummin(2).values.flip(2)
    inner = (start > 0) & (end < lengths[:, None, None] - 1)
    before, after = (start - 1).clamp(min=0), (end + 1).clamp(max=x.shape[2] - 1)
    higher = (x.gather(2, before) < x) & (x.gather(2, after) < x)
    return inner & higher & ((start + end) // 2 == place)
