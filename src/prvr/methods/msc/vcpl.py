"""VCPL: what TCPL does for queries, done for videos (the variants of the paper's Table 2, which CBVA is set against).

Some tokens of a branch are chosen, and keep the relations to each other that the frozen features at the same places
have. The relations are those of TCPL: `tcpl_distance` and `tcpl_angle` of the two tensors that come back here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from prvr.parts.scoring import best_cosine


def retrieved_segments(
    tokens: Tensor, features: Tensor, valid: Tensor, *, query: Tensor, video_of_query: Tensor
) -> tuple[Tensor, Tensor]:
    """For each query the token of its own video that it is most like, and the frozen features there.

    tokens (V, N, D), features (V, N, E), valid (V, N), query (Q, D), video_of_query (Q,) -> (Q, D), (Q, E). The choice
    carries no gradient.
    """
    with torch.no_grad():
        winners = best_cosine(query, tokens, valid)[1]  # (Q, V)
    place = winners.gather(1, video_of_query[:, None]).squeeze(1)
    return tokens[video_of_query, place], features[video_of_query, place]


def spread_segments(tokens: Tensor, features: Tensor, valid: Tensor, *, count: int) -> tuple[Tensor, Tensor]:
    """`count` tokens of each video, in the middle of as many equal stretches of it, and the frozen features there.

    tokens (V, N, D), features (V, N, E), valid (V, N), padding behind -> (V · count, D), (V · count, E).
    """
    halves = 2 * torch.arange(count, device=tokens.device) + 1
    place = valid.sum(1, keepdim=True) * halves // (2 * count)  # (V, count)
    video = torch.arange(len(tokens), device=tokens.device)[:, None]
    return tokens[video, place].flatten(0, 1), features[video, place].flatten(0, 1)
