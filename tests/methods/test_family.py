"""What retrieval methods share."""

from __future__ import annotations

import pytest
import torch

from prvr.core.types import BranchScores
from prvr.methods.family import Branch, Compared, RetrievalLoss, triplet_term
from prvr.parts.triplet import query_triplet, video_triplet
from tests.methods.make import batch


@pytest.mark.parametrize("branch", ["frame", "clip"])
def test_a_querys_negative_is_of_the_pool_and_a_videos_the_hardest(branch: Branch) -> None:
    given, loss = batch(6, 20), RetrievalLoss(hard_pool=4, hard_from_epoch=5)
    found = Compared(None, None, *(BranchScores(torch.rand(20, 6), torch.rand(20, 6)) for _ in range(2)))
    scores, own = getattr(found.cosine, branch), given.video_of_query
    hardest = [0.2 + scores[own != v, v].max() - scores[own == v, v].mean() for v in range(6)]
    by_video = torch.stack(hardest).clamp(min=0)

    def term(epoch: int) -> float:
        torch.manual_seed(2)
        return float(triplet_term(loss, branch, found, given, epoch))

    torch.manual_seed(2)
    hard = query_triplet(scores, own, margin=0.2, pool=4).mean() + by_video.mean()
    assert term(5) == pytest.approx(float(hard))
    torch.manual_seed(2)
    random = [float(of(scores, own, margin=0.2, pool=None).mean()) for of in (query_triplet, video_triplet)]
    assert term(4) == pytest.approx(sum(random))
