"""A run asked what its videos do not show: every query of a split once of its own video and once of another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from prvr.core.errors import DataError
from prvr.data.dataset import RetrievalSet
from prvr.data.folder import DataFolder
from prvr.data.world import true_similarity
from prvr.encoders.devices import pick_device
from prvr.evaluation.absent import AbsentReport, absent_report, best_threshold
from prvr.evaluation.scoring import encode_queries, score_tokens
from prvr.evaluation.windows import Array, Windows
from prvr.ranker.ranker import Ranker
from prvr.runs.measure import Watched, check_features, load_split, meanings_known, queries_of

_SAME = 1 - 1e-6  # true similarity from which on two sentences say the same


class Asked(NamedTuple):
    """Scores of P queries whose moments are known."""

    present: Array  # (P,) in their own videos
    absent: Array  # (P,) in a video that does not show what they say
    library: tuple[Array, Array]  # (P,) the best of all videos, and of all but their own
    predicted: Windows  # moments in their own videos
    truth: Windows


def evaluate_absent(ranker: Ranker, data: DataFolder, split: str, *, device: str = "auto") -> AbsentReport:
    """Measure on one split; what is refused is chosen on the split that chooses the epoch.

    Of a query's other videos one is drawn, the same in every call, none of which a query says the very same (where
    meanings are known). Raises CheckpointError when the features are not those the run was trained on, DataError where
    no moments are annotated or there is a single video.
    """
    check_features(ranker, data)
    where = pick_device(device).name
    found = asked(ranker, load_split(ranker.prepared, data, split), device=where)
    chooses = data.chooses
    chosen = found if chooses == split else asked(ranker, load_split(ranker.prepared, data, chooses), device=where)
    return absent_report(
        split,
        found.present,
        found.absent,
        found.predicted,
        found.truth,
        library=found.library,
        threshold=best_threshold(chosen.present, chosen.absent),
        chosen_on=chooses,
        simulated=data.spec.simulated,
    )


@torch.no_grad()
def asked(ranker: Ranker, items: RetrievalSet, *, device: str) -> Asked:
    """What a model answers to each query of a split in its own video and in one that does not show what it says."""
    model, own = ranker.model, items.video_of_query
    if isinstance(model, nn.Module):
        model.to(device)
    queries = encode_queries(model, queries_of(items), device=device)
    watched = Watched(model, items, queries)
    fused = score_tokens(queries, watched.tokens(device), model=model).fused(model.clip_weight)  # (Q, V)
    others = other_videos(items)
    known = torch.from_numpy(watched.truth.valid.any(1)) & others.any(1)
    if not known.any():
        raise DataError(
            f"{items.name}: no query has annotated moments and another video that does not show what it says; "
            "--absent needs both"
        )
    draw = torch.rand(fused.shape, generator=torch.Generator().manual_seed(0)).masked_fill(~others, -1).argmax(1)
    without = fused.scatter(1, own[:, None], -torch.inf)
    columns = (
        fused.gather(1, own[:, None])[:, 0],
        fused.gather(1, draw[:, None])[:, 0],
        fused.amax(1),
        without.amax(1),
    )
    present, absent, best, rest = (column[known].double().numpy() for column in columns)
    rows = known.numpy()
    return Asked(present, absent, (best, rest), watched.windows.take(rows), watched.truth.take(rows))


def other_videos(items: RetrievalSet) -> Tensor:
    """Videos that do not show what a query says: (Q, V) bool. Where meanings are unknown, all but its own."""
    own = torch.nn.functional.one_hot(items.video_of_query, len(items)).bool()  # (Q, V)
    if not meanings_known(items.items):
        return ~own
    same = torch.as_tensor(np.asarray(true_similarity(items.items))) >= _SAME  # (Q, Q)
    return ~((same.float() @ own.float()) > 0) & ~own
