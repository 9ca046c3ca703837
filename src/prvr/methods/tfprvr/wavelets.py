"""Discrete wavelets of many signals at once: what each level of detail says, as signals of the old length.

Decimated transform, half-sample symmetric at both ends (… x1 x0 | x0 x1 …).
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Wavelet = Literal["haar", "db4", "db8", "sym4"]
"""A family with its number of vanishing moments: Daubechies' shortest, or the least asymmetric of that length."""
FAMILIES: tuple[Wavelet, ...] = get_args(Wavelet)

_ANALYSIS: dict[str, tuple[float, ...]] = {  # low-pass; the other three filters follow from it
    "haar": (0.7071067811865476, 0.7071067811865476),
    "db4": (
        *(-0.010597401785069032, 0.0328830116668852, 0.030841381835560764, -0.18703481171909309),
        *(-0.027983769416859854, 0.6308807679298589, 0.7148465705529157, 0.2303778133088965),
    ),
    "db8": (
        *(-0.00011747678400228192, 0.0006754494059985568, -0.0003917403729959771, -0.00487035299301066),
        *(0.008746094047015655, 0.013981027917015516, -0.04408825393106472, -0.01736930100202211),
        *(0.128747426620186, 0.00047248457399797254, -0.2840155429624281, -0.015829105256023893),
        *(0.5853546836548691, 0.6756307362980128, 0.3128715909144659, 0.05441584224308161),
    ),
    "sym4": (
        *(-0.07576571478927333, -0.02963552764599851, 0.49761866763201545, 0.8037387518059161),
        *(0.29785779560527736, -0.09921954357684722, -0.012603967262037833, 0.0322231006040427),
    ),
}


class WaveletFilters(NamedTuple):
    """The four filters of a wavelet, float64."""

    low: Tensor  # (F,) analysis
    high: Tensor  # (F,) analysis
    low_back: Tensor  # (F,) synthesis
    high_back: Tensor  # (F,) synthesis


def filters(wavelet: Wavelet, device: torch.device | None = None) -> WaveletFilters:
    """The filters of one wavelet; its synthesis is its analysis read backwards."""
    low = torch.tensor(_ANALYSIS[wavelet], dtype=torch.float64, device=device)
    signs = torch.ones_like(low)
    signs[::2] = -1
    high = low.flip(0) * signs
    return WaveletFilters(low=low, high=high, low_back=low.flip(0), high_back=high.flip(0))


def depth_of(lengths: Tensor, wavelet: Wavelet) -> Tensor:
    """How many levels a signal of so many samples has: the most with (F - 1) · 2^levels <= length. (V,) -> (V,)."""
    taps = len(_ANALYSIS[wavelet])
    least = (taps - 1) * 2 ** torch.arange(1, 32, device=lengths.device)
    return (lengths[:, None] >= least).sum(1)


def bands(signal: Tensor, lengths: Tensor, wavelet: Wavelet) -> Tensor:
    """What a signal would be if it had the details of one level alone, for every level.

    signal (V, n) float64, lengths (V,) its real samples -> (V, L, n), level 0 the finest, L of the deepest signal.
    Rows of levels that a signal has not are zero; what stands behind its length means nothing.
    """
    found, depth = filters(wavelet, signal.device), depth_of(lengths, wavelet)
    taps, number = len(found.low), int(depth.amax())
    details, smooth, lengths = [], signal, lengths.clamp(min=1)
    for level in range(number):
        smooth, detail = _analyse(smooth, lengths, found)
        lengths = (lengths + taps - 1) // 2
        details.append(detail * (depth > level)[:, None])
    widths = [signal.shape[1], *(detail.shape[1] for detail in details)]
    made = signal.new_zeros(len(signal), 0, widths[-1])
    for level in reversed(range(number)):
        coarser, own = _synthesise(made, found.low_back), _synthesise(details[level][:, None], found.high_back)
        made = torch.cat([own, coarser], dim=1)[..., : widths[level]]
    return made


def _analyse(x: Tensor, lengths: Tensor, by: WaveletFilters) -> tuple[Tensor, Tensor]:
    """One step down: x (V, m), lengths (V,) -> approximation and detail, (V, (m + F - 1) // 2) each."""
    taps = len(by.low)
    steps = 2 * ((x.shape[1] + taps - 1) // 2 - 1) + taps
    period = 2 * lengths[:, None]
    place = torch.arange(2 - taps, 2 - taps + steps, device=x.device) % period
    mirrored = x.gather(1, torch.minimum(place, period - 1 - place))
    both = torch.stack([by.low, by.high]).flip(1)[:, None]
    smooth, detail = F.conv1d(mirrored[:, None], both, stride=2).unbind(1)
    return smooth, detail


def _synthesise(x: Tensor, taps: Tensor) -> Tensor:
    """One step up: coefficients (V, B, m) -> (V, B, 2m - F + 2)."""
    out = F.conv_transpose1d(x.flatten(0, 1)[:, None], taps[None, None], stride=2, padding=len(taps) - 2)
    return out.view(*x.shape[:2], out.shape[2])
