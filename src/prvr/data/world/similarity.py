"""How alike two queries truly are, from what they mean and not from how they are worded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from prvr.core.errors import DataError
from prvr.core.types import Query

WEIGHTS = {
    "action": 3.0,
    "shape": 2.0,
    "colour": 2.0,
    "texture": 1.0,
    "scene": 1.0,
    "second_shape": 1.0,
    "second_colour": 1.0,
    "second_texture": 0.5,
}
"""What an attribute counts. One that only one of the two queries has counts as different."""


def true_similarity(queries: Sequence[Query]) -> Tensor:
    """The weighted share of attributes that two queries agree in.

    Q queries with attributes -> (Q, Q) float32 in 0..1, symmetric, 1 where all attributes are the same.
    """
    for query in queries:
        if not query.attributes:
            raise DataError(
                f"query {query.query_id!r} has no attributes, so its true meaning is not known; "
                "true similarities exist for the generated world only"
            )
    agree = torch.zeros(len(queries), len(queries))
    either = torch.zeros_like(agree)
    for name, weight in WEIGHTS.items():
        values = [(query.attributes or {}).get(name, "") for query in queries]
        ids = {value: i for i, value in enumerate(sorted({*values, ""}))}  # "" sorts first: 0 is absent
        codes = torch.tensor([ids[value] for value in values])
        present = (codes[:, None] > 0) | (codes[None] > 0)  # (Q, Q)
        either += weight * present
        agree += weight * (present & (codes[:, None] == codes[None]))
    return agree / either.clamp(min=1e-9)
