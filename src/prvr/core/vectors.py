"""Rows of unit length, as everything published divides them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from prvr.core.errors import FeatureError
from prvr.core.types import QueryBatch, TextFeatures


def unit_rows(x: Tensor) -> Tensor:
    """x (..., E) with each row divided by its length + 1e-5, as published."""
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / (length + 1e-5)


def check_finite(rows: Tensor, where: str, fix: str) -> None:
    """rows (n, E). Raises FeatureError, with where and what to do, for NaN or infinity: a network spreads them."""
    if math.isfinite(float(rows.sum())):  # nearly always, and ten times faster than to look at each number
        return
    wrong = ~rows.isfinite().all(1)
    if wrong.any():
        raise FeatureError(
            f"{where} holds NaN or infinity in {int(wrong.sum())} of {len(rows)} rows (first: row "
            f"{int(wrong.nonzero()[0])}); {fix}"
        )


def unit_queries(texts: TextFeatures) -> QueryBatch:
    """Padded text features -> unit rows, padded with zeros to the longest sentence."""
    longest = int(texts.valid.sum(1).max()) if len(texts.valid) else 0
    valid = texts.valid[:, :longest]  # real words come first
    words = unit_rows(texts.words[:, :longest].float()).masked_fill(~valid[..., None], 0)
    return QueryBatch(words=words, valid=valid, sentence=unit_rows(texts.sentence.float()))
