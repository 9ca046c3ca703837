"""What a video's prototypes must give back, where they must look, and that they differ (ProtoPRVR, our reconstruction).

Diversity and guidance have the paper's form; what exactly is read back, and from where, is ours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def words_missed(guesses: Tensor, words: Tensor, places: Tensor) -> Tensor:
    """How far each guessed word is from the one that was hidden, squared.

    guesses (Q, M, E), words (Q, W, E), places (Q, M) int64 in the sentence, -1 = none. Returns (Q, M), not averaged, 0
    where there was none.
    """
    hidden = words.gather(1, places.clamp(min=0)[..., None].expand(-1, -1, words.shape[2]))
    return (guesses - hidden).square().sum(2).masked_fill(places < 0, 0.0)


def frames_missed(rebuilt: Tensor, frames: Tensor, valid: Tensor) -> Tensor:
    """How far rebuilt frames are from those that were there: the mean square over their D numbers.

    rebuilt, frames (V, T, D), valid (V, T). Returns (V, T), not averaged, 0 where there is none. The frames get no
    gradient.
    """
    return (rebuilt - frames.detach()).square().mean(2).masked_fill(~valid, 0.0)


def guided_attention(
    query: Tensor, prototypes: Tensor, share: Tensor, video_of_query: Tensor, *, margin: float
) -> Tensor:
    """Of two videos in one, the prototype that a query likes best should have looked at the query's own.

    -ln(share + margin), 0 from a share of 1 - margin on. query (Q, D), prototypes (V, L, D) of the mixture that each
    video is part of, share (V, L) of what they looked at that lies in it, video_of_query (Q,). Returns (Q,), not
    averaged.
    """
    cosine = torch.einsum("qd,qld->ql", query, F.normalize(prototypes, dim=2)[video_of_query])
    own = share[video_of_query].gather(1, cosine.argmax(1, keepdim=True)).squeeze(1)
    return -(own + margin).clamp(min=1e-6, max=1.0).log()


def prototype_overlap(prototypes: Tensor) -> Tensor:
    """How alike a video's prototypes are: |max(0, cosines of any two)| / (L (L - 1)), the Frobenius norm.

    prototypes (V, L, D). Returns (V,), not averaged; 0 for a single one.
    """
    unit, number = F.normalize(prototypes, dim=2), prototypes.shape[1]
    same = torch.eye(number, dtype=torch.bool, device=unit.device)
    alike = (unit @ unit.mT).clamp(min=0).masked_fill(same, 0.0)
    length: Tensor = torch.linalg.vector_norm(alike, dim=(1, 2))
    return length / max(number * (number - 1), 1)


@torch.no_grad()
def prototypes_used(query: Tensor, prototypes: Tensor, video_of_query: Tensor) -> Tensor:
    """How many prototypes the queries find in their own videos, as if used evenly: exp(entropy of the winners).

    query (Q, D), prototypes (V, L, D), video_of_query (Q,) -> a scalar from 1 to L.
    """
    cosine = torch.einsum("qd,qld->ql", query, F.normalize(prototypes, dim=2)[video_of_query])
    winners = F.one_hot(cosine.argmax(1), prototypes.shape[1])
    entropy: Tensor = torch.special.entr(winners.to(query).mean(0)).sum()
    return entropy.exp()
