"""BGM-Net: what it adds to MS-SL. The network and its retrieval are tested there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from prvr.core.errors import CheckpointError, ConfigError
from prvr.core.types import Batch, BranchScores, FeatureSpec, Made
from prvr.methods.bgmnet import runs as bgmnet
from prvr.methods.bgmnet.loss import BGMNetLoss, Settings, objective
from prvr.methods.bgmnet.network import METHOD, prepare_interpolated
from prvr.methods.bgmnet.official import OFFICIAL
from prvr.methods.family import Compared
from prvr.methods.mssl.anchoring import Anchored, alignment, anchored
from prvr.methods.mssl.network import MSSL, Guides, MSSLConfig
from prvr.methods.recipe import OptimConfig, load_recipe
from prvr.parts.proposals import window_table
from prvr.parts.uniform import UniformConfig
from prvr.parts.videos import ClipVideos
from tests.methods import family
from tests.methods.family import CLIPS, FRAMES, TINY, VIDEO, check_order, check_padding, learned, roused
from tests.parts.make import video_features

SMALL = MSSLConfig(**TINY, clips=CLIPS + 2)
CUT = UniformConfig(frames=FRAMES, clips=CLIPS)


def network() -> MSSL:
    return roused(MSSL(SMALL))


def batch(lengths: tuple[int, ...] = (30, 9, 1, 4), queries: int = 11) -> Batch[Any]:
    return family.batch(lengths, queries, prepare=prepare_interpolated)


def settings(align: float = 1.0) -> Settings:
    loss = BGMNetLoss(hard_from_epoch=0, hard_pool=1, match_from_epoch=1, align=align)
    return Settings(model=SMALL, prepare=CUT, loss=loss, batch_videos=4)


def interpolated(features: Tensor, clips: int = CLIPS) -> ClipVideos:
    return prepare_interpolated([video_features(features)], replace(CUT, clips=clips))


def loop(model: MSSL, given: Batch[Any], *, matching: bool) -> Anchored:
    """The same, a video and a query at a time, by SciPy's assignment."""
    query, seen = model.encode_queries(given.queries), model.contextual(given.videos)
    moments = [window_table(len(clips), clips) @ clips for clips in seen.clips]
    own = given.video_of_query.tolist()
    place = [int(F.cosine_similarity(q[None], moments[v]).argmax()) for q, v in zip(query, own, strict=True)]
    if matching:
        for v in range(len(moments)):
            rows = [i for i, video in enumerate(own) if video == v]
            cosine = F.cosine_similarity(query[rows][:, None], moments[v][None], dim=2)
            for row, column in zip(*linear_sum_assignment(-cosine.detach().numpy()), strict=True):
                place[rows[row]] = int(column)
    anchors = torch.stack([moments[v][p] for v, p in zip(own, place, strict=True)])
    looked = []
    for v, anchor in zip(own, anchors, strict=True):
        frames = seen.frames[v][seen.frame_valid[v]]
        share = (model.guide_key(frames) @ anchor).softmax(0)
        looked.append(share @ model.guide_value(frames))
    content = torch.stack(looked)
    dot = torch.stack([torch.stack([(q @ m.T).amax() for m in moments]) for q in query])
    cosine = torch.stack([torch.stack([F.cosine_similarity(q[None], m).amax() for m in moments]) for q in query])
    if matching:
        for i, v in enumerate(own):
            dot[i, v], cosine[i, v] = query[i] @ anchors[i], F.cosine_similarity(query[i], anchors[i], dim=0)
    return Compared(
        query=query,
        video=anchors,
        cosine=BranchScores(frame=F.normalize(query, dim=1) @ F.normalize(content, dim=1).T, clip=cosine),
        dot=BranchScores(frame=query @ content.T, clip=dot),
    )


@pytest.mark.parametrize("matching", [True, False])
def test_it_equals_the_loop_over_videos(matching: bool) -> None:
    model, given = network(), batch()
    got = anchored(model.embed(given), given.video_of_query, matching=matching)
    want = loop(model, given, matching=matching)
    for one, other in ((got.cosine, want.cosine), (got.dot, want.dot)):
        torch.testing.assert_close(one.frame, other.frame)
        torch.testing.assert_close(one.clip, other.clip)
    torch.testing.assert_close(got.video, want.video)
    weights = [torch.randn_like(x) for x in (*want.dot, *want.cosine, want.video)]
    gradients = []
    for outputs in (got, want):
        parts = zip((*outputs.dot, *outputs.cosine, outputs.video), weights, strict=True)
        loss = torch.stack([(x * w).sum() for x, w in parts]).sum()
        gradients.append(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True))
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def crossed() -> tuple[Made[Tensor, Guides], Tensor]:
    """Two clips, so three moments: east, north, and the mean of both. Both queries like east best, the second less."""
    clips = torch.tensor([[[2.0, 0.0], [0.0, 2.0]]])
    query = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    there = torch.ones(1, 2, dtype=torch.bool)
    guides = Guides(clips, there, looks_for=clips, frames=clips, values=clips, frame_valid=there)
    return Made(query * torch.tensor([[1.0], [3.0]]), guides), torch.zeros(2, dtype=torch.int64)


def test_queries_share_the_moments_out_by_hand() -> None:
    """Cosines: east 1 and 0.8, north 0 and 0.6, mean 0.707 and 0.990. Alone the second takes the mean already."""
    found, own = crossed()
    matched = anchored(found, own, matching=True)
    assert matched.video.tolist() == [[2, 0], [1, 1]]
    torch.testing.assert_close(matched.cosine.clip, torch.tensor([[1.0], [1.4 / 2**0.5]]))
    assert matched.dot.clip.flatten().tolist() == pytest.approx([2.0, 3 * 1.4])
    alone = anchored(found, own, matching=False)
    torch.testing.assert_close(alone.cosine.clip, torch.tensor([[1.0], [1.4 / 2**0.5]]))
    assert alone.dot.clip.flatten().tolist() == pytest.approx([2.0, 4.8])  # of east, which is not the nearest
    rival = found._replace(queries=torch.tensor([[1.0, 0.1], [1.0, 0.0]]))
    assert anchored(rival, own, matching=False).video.tolist() == [[2, 0], [2, 0]]
    shared = anchored(rival, own, matching=True)
    assert shared.video.tolist() == [[1, 1], [2, 0]]


def test_content_is_seen_from_the_anchor_by_hand() -> None:
    """East looks at frames (2, 0) and (0, 2) with logits 4 and 0."""
    found, own = crossed()
    share = torch.tensor([4.0, 0.0]).softmax(0)
    content = torch.stack([2 * share, torch.tensor([1.0, 1.0])])
    torch.testing.assert_close(anchored(found, own, matching=True).dot.frame, found.queries @ content.T)


def test_matched_moments_are_all_different() -> None:
    model, given = network(), batch(queries=40)
    for matching in (True, False):
        made = anchored(model.embed(given), given.video_of_query, matching=matching).video.detach()
        different = [len(torch.unique(made[given.video_of_query == v].round(decimals=5), dim=0)) for v in range(4)]
        assert (different == [10, 10, 10, 10]) == matching


def test_more_queries_than_moments() -> None:
    """15 moments for 22 queries: each moment is taken, and whoever has none takes what it likes best."""
    model, given = network(), batch((20,), queries=22)
    made = anchored(model.embed(given), given.video_of_query, matching=True).video.detach()
    assert len(torch.unique(made.round(decimals=5), dim=0)) == 15


def test_one_query_a_video_needs_no_matching() -> None:
    """But the own-video dot product is that of the moment with the best cosine, where greedily it is the best one."""
    model, given = network(), batch(queries=4)
    on, off = (anchored(model.embed(given), given.video_of_query, matching=matching) for matching in (True, False))
    torch.testing.assert_close(on.video, off.video)
    torch.testing.assert_close(on.cosine.clip, off.cosine.clip)
    torch.testing.assert_close(on.cosine.frame, off.cosine.frame)
    assert bool((on.dot.clip.diagonal() <= off.dot.clip.diagonal() + 1e-5).all())


def test_alignment_by_hand() -> None:
    query = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    torch.testing.assert_close(alignment(query, query * 5), torch.zeros(2, 2))
    moved = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    torch.testing.assert_close(alignment(query, moved), torch.tensor([[0.0, 0.6], [0.6, 0.0]]))


def test_epochs_before_the_matching() -> None:
    model, given = network(), batch()
    early, late = (float(learned(objective(settings()), model, given, epoch).terms["align"]) for epoch in (0, 1))
    want = [
        float(alignment(one.query, one.video).mean().detach())
        for one in (loop(model, given, matching=m) for m in (False, True))
    ]
    assert [early, late] == pytest.approx(want, abs=1e-5)
    assert early != late
    assert "align" not in learned(objective(settings(align=0.0)), model, given).terms


@pytest.mark.parametrize("epoch", [0, 1])
def test_padding_and_order_change_nothing(epoch: int) -> None:
    """Before the matching, and with it."""
    model, given = network(), batch()
    check_padding(model, objective(settings()), given, epoch)
    check_order(model, objective(settings()), given, epoch)


def test_one_of_each_and_every_parameter_learns() -> None:
    total, parts = learned(objective(settings()), network(), batch((1,), queries=1), 1)
    assert bool(total.isfinite())
    assert float(parts["triplet_frame"]) == float(parts["triplet_clip"]) == 0
    given, made = batch(), bgmnet.recipe(bgmnet.tvr, replace(settings(), optim=OptimConfig(lr=3e-3)), "BGM-Net")
    fresh = made.build().eval()
    assert made.method is METHOD
    assert made.optimizer is not None
    optimizer = made.optimizer(made.settings, fresh, 3)
    losses = []
    for _ in range(30):
        total = learned(objective(settings()), fresh, given, 1).total
        optimizer.zero_grad()
        torch.autograd.backward(total)
        assert all(parameter.grad is not None for parameter in fresh.parameters())
        optimizer.step()
        losses.append(float(total.detach()))
    assert losses[-1] < losses[0] - 0.1


def test_clips_that_no_frame_reaches_take_part() -> None:
    made = interpolated(torch.randn(2, VIDEO), clips=8)
    assert (made.clips[0] == 0).all(1).tolist() == [True, *[False] * 6, True]
    assert bool((made.clip_size > 0).all())
    single = interpolated(torch.randn(1, VIDEO))
    torch.testing.assert_close(single.clips[0], single.frames[0, :1].expand(5, -1))


def test_official_names_are_those_of_ms_sl() -> None:
    state = network().state_dict()
    theirs = OFFICIAL.write(state)
    assert len(theirs) == 54
    back = OFFICIAL.read(theirs)
    assert all(torch.equal(back[name], state[name]) for name in state)
    with pytest.raises(CheckpointError, match="BGM-Net: it has unknown 'x'"):
        OFFICIAL.read(theirs | {"x": torch.zeros(1)})


@pytest.mark.parametrize(
    ("name", "clips", "batch_videos", "margin", "clip_weight", "match_from_epoch"),
    [("tvr", 32, 128, 0.1, 0.7, 0), ("activitynet", 48, 128, 0.2, 0.7, 20), ("charades", 48, 16, 0.2, 0.6, 5)],
)
def test_recipes_are_as_released(
    name: str, clips: int, batch_videos: int, margin: float, clip_weight: float, match_from_epoch: int
) -> None:
    recipe = load_recipe(f"prvr.methods.bgmnet.runs:{name}_i3d")
    plan = recipe.settings
    assert (plan.model.clips, plan.prepare.clips, plan.prepare.frames) == (clips, clips, 128)
    assert (plan.batch_videos, plan.loss.margin, plan.model.clip_weight) == (batch_videos, margin, clip_weight)
    assert (plan.loss.match_from_epoch, plan.loss.hard_from_epoch, plan.loss.hard_pool) == (match_from_epoch, 20, 20)
    assert (plan.loss.nce_clip, plan.loss.nce_frame, plan.loss.align) == (0.02, 0.04, 1.0)
    assert (plan.model.dropout, plan.model.input_dropout, plan.model.max_words) == (0.1, 0.1, 30)
    assert (plan.optim.lr, plan.optim.warmup, plan.schedule_epochs) == (2.5e-4, 0.01, 100)
    assert (plan.train.epochs, plan.train.patience, plan.train.seed) == (100, 10, 2018)
    with pytest.raises(ConfigError, match="model.clips=8"):
        recipe.with_settings(["model.clips=8"]).fit(
            FeatureSpec(name="p", revision="0", video_width=plan.model.video_width, text_width=plan.model.text_width)
        )
    with pytest.raises(ConfigError, match="match_from_epoch"):
        replace(plan.loss, match_from_epoch=-1)
