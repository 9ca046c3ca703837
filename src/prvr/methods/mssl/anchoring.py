"""Which moment each query of a video is about, and what follows from it: scores, and an alignment of all (BGM-Net).

Either each query takes the moment that it likes best, or the queries of a video share its moments out among themselves,
one each, so that the sum of their cosines is as high as it can be.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.types import BranchScores, Made
from prvr.methods.family import Compared
from prvr.methods.mssl.network import Guides
from prvr.parts.matching import assign, place_in_video
from prvr.parts.proposals import guided_means, proposal_scores, window_table, window_valid

Anchored = Compared[Tensor, Tensor]
"""What the terms read, once it is settled which moment each query is about: queries (Q, D), and as `video` the moment
of each (Q, D).

Column k of a frame score (Q, Q) is what the frames of the video of query k look like from the moment of query k.
"""


def anchored(made: Made[Tensor, Guides], video_of_query: Tensor, *, matching: bool) -> Anchored:
    """Settle the moments, greedily or by `matching`, and score by them.

    Queries (Q, D), C clips a video, which make C (C + 1) / 2 moments, video_of_query (Q,). Matched moments take the
    place of the best ones in the score of a query with its own video.
    """
    query, video = made
    best, place = proposal_scores(query, video.clips, video.clip_valid), place_in_video(video_of_query)
    table = window_table(video.clips.shape[1], video.clips)  # (P, C)
    rows = query.new_zeros(len(video.clips), int(place.max()) + 1, query.shape[1])
    rows = rows.index_put((video_of_query, place), query)  # (V, R, D) queries by video
    moment = own_moments(rows, video.clips, video.clip_valid, table, matching=matching, place=(video_of_query, place))
    shares = table.new_zeros(*rows.shape[:2], table.shape[1]).index_put((video_of_query, place), table[moment])
    looked = guided_means(shares @ video.looks_for, video.frames, video.values, video.frame_valid)
    anchors, seen = (x[video_of_query, place] for x in (shares @ video.clips, looked))  # (Q, D) each
    unit, unit_anchors = F.normalize(query, dim=1), F.normalize(anchors, dim=1)
    cosine, dot = best.cosine, best.dot
    if matching:
        own = video_of_query[:, None]
        cosine = cosine.scatter(1, own, (unit * unit_anchors).sum(1, keepdim=True))
        dot = dot.scatter(1, own, (query * anchors).sum(1, keepdim=True))
    return Compared(
        query=query,
        video=anchors,
        cosine=BranchScores(frame=unit @ F.normalize(seen, dim=1).T, clip=cosine),
        dot=BranchScores(frame=query @ seen.T, clip=dot),
    )


@torch.no_grad()
def own_moments(
    rows: Tensor, clips: Tensor, clip_valid: Tensor, table: Tensor, *, matching: bool, place: tuple[Tensor, Tensor]
) -> Tensor:
    """The moment of each query in its own video.

    rows (V, R, D) queries by video, clips (V, C, D), clip_valid (V, C), table (P, C) what a moment takes of each clip,
    place: video and row of each query, (Q,) each -> (Q,) int64. Queries without a moment of their own, where there are
    fewer moments than queries, take the one that they like best.
    """
    valid = window_valid(clip_valid)  # (V, P)
    length = ((table @ (clips @ clips.mT)) * table).sum(2).clamp(min=1e-24).sqrt()
    cosine = (F.normalize(rows, dim=2) @ clips.mT) @ table.T / length[:, None]  # (V, R, P)
    best = cosine.masked_fill(~valid[:, None], -torch.inf).argmax(2)[place]
    if not matching:
        return best
    there = torch.zeros(rows.shape[:2], dtype=torch.bool, device=rows.device).index_put(
        place, torch.ones_like(best) > 0
    )
    given = assign(-cosine, there, valid)[place]
    return given.where(given >= 0, best)


def alignment(query: Tensor, anchors: Tensor) -> Tensor:
    """How far the cosine of two queries is from that of their moments.

    query, anchors (Q, D). Returns (Q, Q), not averaged, 0 on the diagonal.
    """
    ours, theirs = F.normalize(query, dim=1), F.normalize(anchors, dim=1)
    return (ours @ ours.T - theirs @ theirs.T).abs()
