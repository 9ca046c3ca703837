"""How the reference arrays of MS-SL's family are read: their batches, and triplet losses with recorded draws."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from prvr.objectives.triplet import query_triplet, video_triplet
from tests.parity.arrays import Arrays, close

Loss = Callable[[Tensor], Tensor]


def pieces(file: Arrays, name: str, lengths: str) -> list[Tensor]:
    """What was stored end to end, one tensor a video or a query."""
    return list(torch.split(file[f"raw/{name}"], file[f"raw/{lengths}"].tolist()))


def file_order(file: Arrays) -> tuple[Tensor, Tensor]:
    """For queries and videos in the order of the file: where each is in the batch -> (Q,), (V,)."""
    order = file["batch/video_order"]
    videos = order.argsort()
    counts = file["raw/caps_per_video"]
    starts = counts[order].cumsum(0) - counts[order]  # of each video's captions in the batch
    queries = torch.cat([starts[v] + torch.arange(int(n)) for v, n in zip(videos, counts, strict=True)])
    return queries, videos


def rank_among(scores: Tensor, own: Tensor, chosen: Tensor) -> Tensor:
    """How many of a row's negatives score higher than the chosen one: scores, own (R, C), chosen (R,) -> (R,)."""
    value = scores.gather(1, chosen[:, None])
    assert not own.gather(1, chosen[:, None]).any()
    return ((scores > value) & ~own).sum(1)


def video_modes(file: Arrays, name: str) -> Iterator[str]:
    """`clip_trip_hard_pool3` and the like, all whose name begins so and goes on with a mode."""
    modes = ("hard_pool1", "hard_pool3", "hard_pool20", "easy")
    for mode in modes:
        assert f"loss/{name}_{mode}_f64" in file, f"{name}_{mode}"
        yield mode


def check_triplet(file: Arrays, name: str, scores: Tensor, own: Tensor, margin: float) -> None:
    """Queries against videos: value and gradient with the recorded negatives, and within bounds with our own draws."""
    member = own[:, None] == torch.arange(scores.shape[1])  # (Q, V)
    for mode in video_modes(file, name):
        by_query = rank_among(scores, member, file[f"draw/{name}_{mode}/t2v_neg_video"])
        by_video = rank_among(scores.T, member.T, file[f"draw/{name}_{mode}/v2t_neg_query"])
        pool = pool_of(mode)
        hardest = None if pool is None else 1
        assert hardest is None or not by_video.any()

        def recorded(x: Tensor, q: Tensor = by_query, v: Tensor = by_video) -> Tensor:
            one = query_triplet(x, own, margin=margin, pool=None, ranks=q).mean()
            return one + video_triplet(x, own, margin=margin, pool=None, ranks=v).mean()

        def drawn(x: Tensor, q: int | None = pool, v: int | None = hardest) -> Tensor:
            one = query_triplet(x, own, margin=margin, pool=q).mean()
            return one + video_triplet(x, own, margin=margin, pool=v).mean()

        check_loss(file, f"{name}_{mode}", scores, recorded)
        check_bounds(file, f"{name}_{mode}", scores, drawn)


def check_pair_triplet(file: Arrays, name: str, scores: Tensor, margin: float) -> None:
    """Rows and columns of a square matrix: value and gradient with the recorded negatives, and within bounds."""
    own = torch.arange(len(scores))
    member = torch.eye(len(scores), dtype=torch.bool)
    for mode in video_modes(file, name):
        rows = rank_among(scores, member, file[f"draw/{name}_{mode}/row_neg_col"])
        columns = rank_among(scores.T, member, file[f"draw/{name}_{mode}/col_neg_row"])

        def recorded(x: Tensor, r: Tensor = rows, c: Tensor = columns) -> Tensor:
            one = query_triplet(x, own, margin=margin, pool=None, ranks=r).mean()
            return one + query_triplet(x.T, own, margin=margin, pool=None, ranks=c).mean()

        def drawn(x: Tensor, pool: int | None = pool_of(mode)) -> Tensor:
            return sum((query_triplet(y, own, margin=margin, pool=pool).mean() for y in (x, x.T)), x.new_zeros(()))

        check_loss(file, f"{name}_{mode}", scores, recorded)
        check_bounds(file, f"{name}_{mode}", scores, drawn)


def pool_of(mode: str) -> int | None:
    """`hard_pool3` -> 3, `easy` -> None."""
    return int(mode.removeprefix("hard_pool")) if mode.startswith("hard") else None


def full_sizes(file: Arrays, system: str) -> Iterator[tuple[str, int, int]]:
    """Names of parameter counts of a system, with the widths of video and text that they are of."""
    for name in file:
        if (
            name.startswith(f"{system}/")
            and (widths := re.search(r"(\d+)_(\d+)(_used)?$", name))
            and "shapes" not in name
        ):
            yield name, int(widths[1]), int(widths[2])


def check_loss(file: Arrays, name: str, scores: Tensor, loss: Loss) -> None:
    """The loss of a stored matrix in float64, and its gradient."""
    leaf = scores.double().requires_grad_()
    value = loss(leaf)
    close(value, file[f"loss/{name}_f64"])
    close(torch.autograd.grad(value, leaf)[0], file[f"grad/{name}_f64"])


def check_bounds(file: Arrays, name: str, scores: Tensor, loss: Loss) -> None:
    """Whatever we draw lies between the least and the greatest loss that any draw gives."""
    if f"bound/{name}_f64" not in file:
        return
    least, most = file[f"bound/{name}_f64"].tolist()
    for _ in range(5):
        assert least - 1e-9 <= float(loss(scores.double())) <= most + 1e-9
