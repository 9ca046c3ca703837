"""Angles of all triples of points, some vertices at a time: no (Q, Q, Q) tensor and no difference of points is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_CPU_CHUNK_BYTES = 2 << 20  # of angles at a time: what fits a processor's cache
_CHUNK_BYTES = 256 << 20  # elsewhere


def angle_losses(student: Tensor, teacher: Tensor, *, delta: float = 1.0, chunk: int | None = None) -> Tensor:
    """See `prvr.methods.msc.tcpl.tcpl_angle`.

    `chunk` vertices at a time: (chunk, Q, Q) is the largest tensor in either direction.
    """
    with torch.no_grad():
        teacher_products, teacher_inverse = _relations(teacher)
    products, inverse = _relations(student)
    dtype = products.dtype
    theirs = (teacher_products.to(dtype), teacher_inverse.to(dtype))
    losses: Tensor = _Angles.apply(products, inverse, *theirs, delta, chunk)  # type: ignore[no-untyped-call]
    return losses


def _relations(x: Tensor) -> tuple[Tensor, Tensor]:
    """Inner products, and 1 / distance of each pair (0 for equal points): x (Q, D) -> (Q, Q) each."""
    # distances come from differences of products, which loses half the digits: so they get twice as many
    centred = x - x.mean(0)
    wide = centred if x.device.type == "mps" else centred.double()
    gram = wide @ wide.T
    sizes = gram.diag()[:, None] + gram.diag()
    square = sizes - 2 * gram
    equal = square <= sizes * torch.finfo(wide.dtype).eps ** 0.75
    inverse = square.where(~equal, 1.0).rsqrt().masked_fill(equal, 0.0)
    return gram.to(x.dtype), inverse.to(x.dtype)


class _Angles(torch.autograd.Function):
    """⟨x_j - x_i, x_k - x_i⟩ = G_jk - a_ij - a_ik with a_ij = G_ij - G_ii/2, so no difference vector is ever made."""

    @staticmethod
    def forward(
        ctx: Any,
        gram: Tensor,
        inverse: Tensor,
        teacher_gram: Tensor,
        teacher_inverse: Tensor,
        delta: float,
        chunk: int | None,
    ) -> Tensor:
        ctx.save_for_backward(gram, inverse, teacher_gram, teacher_inverse)
        ctx.delta, ctx.chunk = delta, chunk
        losses = gram.new_empty(len(gram))
        for part in _chunks(gram, chunk):
            ours, theirs = _cosines(gram, inverse, part), _cosines(teacher_gram, teacher_inverse, part)
            losses[part] = F.huber_loss(ours, theirs, reduction="none", delta=delta).mean((1, 2))
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        gram, inverse, teacher_gram, teacher_inverse = ctx.saved_tensors
        grad_gram, grad_inverse = torch.zeros_like(gram), torch.zeros_like(inverse)
        grad = grad / len(gram) ** 2
        for part in _chunks(gram, ctx.chunk):
            ours = _cosines(gram, inverse, part)
            flow = _cosines(teacher_gram, teacher_inverse, part).neg_().add_(ours).clamp_(-ctx.delta, ctx.delta)
            flow.mul_(grad[part, None, None])  # d loss / d cosine, symmetric in j and k
            weight = inverse[part]
            # cosine = product · weight_j · weight_k: its slope in weight_j is cosine / weight_j; equal points stay out
            grad_inverse[part] = 2 * ours.mul_(flow).sum(2) / weight.where(weight > 0, torch.inf)
            flow.mul_(weight[:, :, None]).mul_(weight[:, None, :])  # d loss / d product
            by_row = flow.sum(2)  # (v, Q)
            grad_gram += flow.sum(0)
            grad_gram[part] -= 2 * by_row
            grad_gram.diagonal()[part] += by_row.sum(1)
        return grad_gram, grad_inverse, None, None, None, None


def _cosines(gram: Tensor, inverse: Tensor, part: slice) -> Tensor:
    """Cosines of the angles at some vertices: gram, inverse (Q, Q) -> (v, Q, Q)."""
    offset = gram[part] - gram.diag()[part, None] / 2  # (v, Q)
    ones = torch.ones_like(offset)
    left, right = torch.stack([offset, ones], dim=2), torch.stack([ones, offset], dim=1)
    products = torch.baddbmm(gram.expand(len(offset), -1, -1), left, right, alpha=-1)  # (v, Q, Q)
    return products.mul_(inverse[part, :, None]).mul_(inverse[part, None, :])


def _chunks(gram: Tensor, chunk: int | None) -> Iterator[slice]:
    most = _CPU_CHUNK_BYTES if gram.device.type == "cpu" else _CHUNK_BYTES
    step = chunk or max(1, most // max(gram.numel() * gram.element_size(), 1))
    for start in range(0, len(gram), step):
        yield slice(start, min(start + step, len(gram)))
