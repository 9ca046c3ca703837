"""What the spans that a network draws for itself should be: different from each other, and worth more than the whole
(AMDNet).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mask_diversity(masks: Tensor, *, diagonal: float) -> Tensor:
    """How far masks of one video overlap, and how far they are from a common width: |diagonal · I - M Mᵀ|².

    masks (V, H, N), which are divided by their sums. Returns (V,), not averaged. A diagonal of 0.15 corresponds to
    windows of about half the video.
    """
    share = masks / masks.sum(2, keepdim=True)
    wanted = diagonal * torch.eye(masks.shape[1], dtype=masks.dtype, device=masks.device)
    return (wanted - share @ share.mT).square().sum((1, 2))


def moment_relevance(query: Tensor, whole: Tensor, moments: Tensor, video_of_query: Tensor, *, margin: float) -> Tensor:
    """Each query: the best moment of its video must beat the video as a whole by the margin, by cosine.

    query (Q, D), whole (V, D), moments (V, H, D), video_of_query (Q,). Returns (Q,), not averaged.
    """
    unit = F.normalize(query, dim=1)
    to_whole = (unit * F.normalize(whole, dim=1)[video_of_query]).sum(1)
    to_moment = torch.einsum("qd,qhd->qh", unit, F.normalize(moments, dim=2)[video_of_query])
    return (margin + to_whole - to_moment.amax(1)).clamp(min=0)
