"""Where a clip fits into a stretch of film, by small grey pictures of both: a square each, at even steps of time.

The clip may be mirrored, and may show only a part of what the film does, down to three quarters of each side. Its
pictures are laid over every such part of the film's, at every offset in time: coarsely first, then closely around the
best. How alike two pictures are is the correlation of their details; what is light and dark at large says little, since
half of all pictures are light above. Two films may share a set or a title, with somebody else before it: so every block
of a picture has to fit, not just most of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

SIDE = 64  # pixels of a picture
COARSE = 16  # of the first look
SMALLEST = 12  # of these a side of the clip has at least
EVERY = 2  # steps between two offsets of the first look
LOOKS = ((32, 4), (64, 1), (64, 1))  # the closer ones: pixels, and steps that they go to either side
HOPELESS = 0.4  # correlation at the first look: not worth a second
DETAIL = 0.25  # of a side: the surroundings of a pixel whose mean is taken from it
FLAT = 4.0  # grey levels (standard deviation of the details); a picture with less shows nothing
BLOCKS = 4  # parts of a side
FAINT = 0.25  # of what a block has on average: what is fainter than this need not agree in full


class PicturePart(NamedTuple):
    """The part of a film's picture that a clip shows, pixels."""

    top: int
    left: int
    height: int
    width: int


class ClipFit(NamedTuple):
    """The best place of a clip in a stretch of film."""

    offset: int  # steps of the film before the clip's first picture
    mirrored: bool
    window: PicturePart
    alike: float  # -1..1, mean correlation of the clip's pictures with those of the film
    weakest: float = -1.0  # at most 1, how well the worst block of a picture fits, the median over the pictures


def details(greys: Tensor) -> Tensor:
    """(N, h, w) -> float32, each without what its surroundings have in common."""
    pictures, (down, across) = greys.float()[:, None], [max(1, int(side * DETAIL) // 2) for side in greys.shape[1:]]
    padded, (height, width) = (
        functional.pad(pictures, [across, across, down, down], mode="reflect"),
        (2 * down + 1, 2 * across + 1),
    )
    return (pictures - _boxes(_summed(padded), height, width) / (height * width))[:, 0]


def shows_something(greys: Tensor) -> Tensor:
    """(N, S, S) uint8 -> (N,) whether there is anything in a picture to know it by."""
    return details(greys).flatten(1).std(1) >= FLAT


def fit(clip: Tensor, at: Tensor, film: Tensor) -> ClipFit:
    """clip (P, S, S) uint8, shown `at` (P,) steps after the clip's beginning, film (M, S, S) uint8 -> the best place.

    The film has a picture for every step, more of them than the clip lasts.
    """
    last, few = len(film) - 1 - int(at.max()), slice(None, None, 2 if len(at) > 4 else 1)
    every, sizes = torch.arange(0, last + 1, EVERY), range(SMALLEST, COARSE + 1)
    shown = details(_shrunk(film, COARSE))[every[:, None] + at[few]]  # (O, P, s, s)
    wanted = details(_shrunk(clip[few], COARSE))
    whole = PicturePart(0, 0, COARSE, COARSE)
    best = _best(
        _laid_over(wanted, shown, every, whole, (height, width), mirrored)
        for height, width in product(sizes, sizes)
        for mirrored in (False, True)
    )
    if best.alike < HOPELESS:
        return best
    side = COARSE
    for pixels, steps in LOOKS:
        top, left, height, width = (value * pixels // side for value in best.window)
        side = pixels
        near = torch.arange(max(0, best.offset - steps), min(last, best.offset + steps) + 1)
        shown, wanted = details(_shrunk(film, side)), details(_shrunk(clip, side))
        shown = shown[near[:, None] + at]
        best = _best(
            _laid_over(wanted, shown, near, _around(top, left, h, w, side), (h, w), best.mirrored)
            for h, w in product(range(height - 1, height + 2), range(width - 1, width + 2))
            if max(h, w) <= side
        )
    return _judged(clip, film[best.offset + at], best)


def _best(found: Iterable[ClipFit]) -> ClipFit:
    return max(found, key=lambda one: one.alike)


def _around(top: int, left: int, height: int, width: int, side: int) -> PicturePart:
    """The part of a picture in which windows of one size begin a pixel beside a place, or at it."""
    row, column = (min(max(0, at - 1), side - size) for at, size in ((top, height), (left, width)))
    return PicturePart(row, column, min(side - row, height + 2), min(side - column, width + 2))


def _laid_over(
    clip: Tensor, film: Tensor, offsets: Tensor, part: PicturePart, size: tuple[int, int], mirrored: bool
) -> ClipFit:
    """The best of the offsets (O,) and of the windows of one size in a part of the film's pictures.

    Given are details: clip (P, s, s), film (O, P, s, s).
    """
    height, width = size
    wanted = _unit(_resized(clip.flip(2) if mirrored else clip, height, width).flatten(1)).view(-1, *size)
    shown = film[:, :, part.top : part.top + part.height, part.left : part.left + part.width]
    both = torch.einsum("opijhw,phw->opij", shown.unfold(2, height, 1).unfold(3, width, 1), wanted)
    total, squares = (_boxes(one, height, width) for one in (_summed(shown), _summed(shown.square())))
    length = (squares - total.square() / (height * width)).clamp(min=1.0).sqrt()
    alike = (both / length).mean(1)  # (O, rows, columns)
    value, place = alike.flatten().max(0)
    offset, row, column = (int(one) for one in torch.unravel_index(place, alike.shape))
    window = PicturePart(part.top + row, part.left + column, height, width)
    return ClipFit(int(offsets[offset]), mirrored, window, float(value))


def _judged(clip: Tensor, film: Tensor, found: ClipFit) -> ClipFit:
    """How well a clip (P, S, S) fits the film's pictures beside it (P, S, S), once its window is known."""
    top, left, height, width = found.window
    clip = _resized((clip.flip(2) if found.mirrored else clip).float(), height, width)
    film = film[:, top : top + height, left : left + width]
    mine, theirs = (_unit(details(one).flatten(1)) for one in (clip, film))  # (P, h w)
    apart, there = (
        functional.adaptive_avg_pool2d(one.view(-1, height, width), BLOCKS).flatten(1) * height * width
        for one in ((mine - theirs).square(), mine.square() + theirs.square())
    )  # (P, B); a picture has 2 a block on average where nothing fits
    agrees = (1 - apart / there.clamp(min=2 * FAINT)).amin(1)
    return found._replace(alike=float((mine * theirs).sum(1).mean()), weakest=float(agrees.median()))


def _summed(values: Tensor) -> Tensor:
    """(..., h, w) -> (..., h + 1, w + 1), the sum of all that is above and to the left."""
    return functional.pad(values.cumsum(-1).cumsum(-2), [1, 0, 1, 0])


def _boxes(summed: Tensor, height: int, width: int) -> Tensor:
    """The sum within every window of one size."""
    rows = summed[..., height:, :] - summed[..., :-height, :]
    return rows[..., width:] - rows[..., :-width]


def _shrunk(pictures: Tensor, side: int) -> Tensor:
    """(N, S, S) uint8 -> (N, side, side) float32."""
    return functional.avg_pool2d(pictures.float()[:, None], SIDE // side)[:, 0]


def _resized(pictures: Tensor, height: int, width: int) -> Tensor:
    """(N, s, s) float32 -> (N, h, w), no larger."""
    return functional.interpolate(pictures[:, None], (height, width), mode="bilinear", antialias=True)[:, 0]


def _unit(values: Tensor) -> Tensor:
    """(..., K) -> mean 0 and length 1."""
    return functional.normalize(values - values.mean(-1, keepdim=True), dim=-1, eps=1.0)
