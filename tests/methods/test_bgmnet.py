"""BGM-Net: what it adds to MS-SL. The network and its retrieval are tested there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from prvr.core.errors import CheckpointError, ConfigError
from prvr.core.types import (
    Batch,
    BranchScores,
    FeatureSpec,
    Outputs,
    QueryBatch,
    RetrievalModel,
    VideoBatch,
    VideoTokens,
)
from prvr.methods.bgmnet import runs as bgmnet
from prvr.methods.bgmnet.network import BGMNet, BGMNetConfig, from_official, official_names, prepare_interpolated
from prvr.methods.bgmnet.runs import BGMNetLoss, BGMNetSettings, objective
from prvr.methods.mssl.anchoring import AnchoredOutputs, alignment, anchored
from prvr.methods.official import export_weights
from prvr.methods.recipe import load_recipe
from prvr.parts.proposals import window_table
from prvr.parts.uniform import UniformConfig
from prvr.parts.videos import cat_videos
from prvr.training.step import TwoTower
from tests.parts.make import video_features

SMALL = BGMNetConfig(
    video_width=10,
    text_width=6,
    hidden=16,
    heads=2,
    max_words=7,
    frames=12,
    clips=5,
    input_dropout=0.0,
    dropout=0.0,
)
CUT = UniformConfig(frames=12, clips=5)


def network(config: BGMNetConfig = SMALL) -> BGMNet:
    """With weights large enough that every part of it matters."""
    torch.manual_seed(5)
    model = BGMNet(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def batch(lengths: tuple[int, ...] = (30, 9, 1, 4), queries: int = 11) -> Batch:
    words = torch.randn(queries, 5, SMALL.text_width)
    return Batch(
        videos=cat_videos(
            [prepare_interpolated(video_features(torch.randn(n, SMALL.video_width)), CUT) for n in lengths]
        ),
        queries=QueryBatch(
            words=words, valid=torch.arange(5) < torch.arange(queries)[:, None] % 5 + 1, sentence=words[:, 0]
        ),
        video_of_query=torch.arange(queries) % len(lengths),
    )


def settings(align: float = 1.0) -> BGMNetSettings:
    loss = BGMNetLoss(hard_from_epoch=0, hard_pool=1, match_from_epoch=1, align=align)
    return BGMNetSettings(model=SMALL, prepare=CUT, loss=loss, batch_videos=4)


def loop(model: BGMNet, given: Batch, *, matching: bool) -> AnchoredOutputs:
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
    return AnchoredOutputs(
        query=query,
        video=seen,
        cosine=BranchScores(frame=F.normalize(query, dim=1) @ F.normalize(content, dim=1).T, clip=cosine),
        dot=BranchScores(frame=query @ content.T, clip=dot),
        aligned_frames=seen.frames,
        aligned_clips=anchors,
    )


@pytest.mark.parametrize("matching", [True, False])
def test_it_equals_the_loop_over_videos(matching: bool) -> None:
    model, given = network(), batch()
    got = anchored(model(given), given.video_of_query, matching=matching)
    want = loop(model, given, matching=matching)
    for one, other in ((got.cosine, want.cosine), (got.dot, want.dot)):
        torch.testing.assert_close(one.frame, other.frame)
        torch.testing.assert_close(one.clip, other.clip)
    torch.testing.assert_close(got.anchors, want.anchors)
    weights = [torch.randn_like(x) for x in (*want.dot, *want.cosine, want.anchors)]
    gradients = []
    for outputs in (got, want):
        parts = zip((*outputs.dot, *outputs.cosine, outputs.anchors), weights, strict=True)
        loss = torch.stack([(x * w).sum() for x, w in parts]).sum()
        gradients.append(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True))
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def crossed() -> tuple[Outputs, Tensor]:
    """Two clips, so three moments: east, north, and the mean of both. Both queries like east best, the second less."""
    clips = torch.tensor([[[2.0, 0.0], [0.0, 2.0]]])
    query = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    nothing, there = query.new_empty(2, 0), torch.ones(1, 2, dtype=torch.bool)
    found = Outputs(
        query=query * torch.tensor([[1.0], [3.0]]),
        video=VideoTokens(clips, there, clips, there),
        cosine=BranchScores(nothing, torch.tensor([[1.0], [0.99]])),
        dot=BranchScores(nothing, torch.tensor([[2.0], [4.8]])),
        aligned_frames=clips,
        aligned_clips=clips,
    )
    return found, torch.zeros(2, dtype=torch.int64)


def test_queries_share_the_moments_out_by_hand() -> None:
    """Cosines: east 1 and 0.8, north 0 and 0.6, mean 0.707 and 0.990. Alone the second takes the mean already."""
    found, own = crossed()
    matched = anchored(found, own, matching=True)
    assert matched.anchors.tolist() == [[2, 0], [1, 1]]
    torch.testing.assert_close(matched.cosine.clip, torch.tensor([[1.0], [1.4 / 2**0.5]]))
    assert matched.dot.clip.flatten().tolist() == pytest.approx([2.0, 3 * 1.4])
    rival = found._replace(query=torch.tensor([[1.0, 0.1], [1.0, 0.0]]))
    assert anchored(rival, own, matching=False).anchors.tolist() == [[2, 0], [2, 0]]
    shared = anchored(rival, own, matching=True)
    assert shared.anchors.tolist() == [[1, 1], [2, 0]]
    assert torch.equal(anchored(found, own, matching=False).cosine.clip, found.cosine.clip)


def test_content_is_seen_from_the_anchor_by_hand() -> None:
    """East looks at frames (2, 0) and (0, 2) with logits 4 and 0."""
    found, own = crossed()
    share = torch.tensor([4.0, 0.0]).softmax(0)
    content = torch.stack([2 * share, torch.tensor([1.0, 1.0])])
    torch.testing.assert_close(anchored(found, own, matching=True).dot.frame, found.query @ content.T)


def test_matched_moments_are_all_different() -> None:
    model, given = network(), batch(queries=40)
    for matching in (True, False):
        made = anchored(model(given), given.video_of_query, matching=matching).anchors.detach()
        different = [len(torch.unique(made[given.video_of_query == v].round(decimals=5), dim=0)) for v in range(4)]
        assert (different == [10, 10, 10, 10]) == matching


def test_more_queries_than_moments() -> None:
    """15 moments for 22 queries: each moment is taken, and whoever has none takes what it likes best."""
    model, given = network(), batch((20,), queries=22)
    made = anchored(model(given), given.video_of_query, matching=True).anchors.detach()
    assert len(torch.unique(made.round(decimals=5), dim=0)) == 15


def test_one_query_a_video_needs_no_matching() -> None:
    """But the own-video dot product is that of the moment with the best cosine, where greedily it is the best one."""
    model, given = network(), batch(queries=4)
    on, off = (anchored(model(given), given.video_of_query, matching=matching) for matching in (True, False))
    torch.testing.assert_close(on.anchors, off.anchors)
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
    learned = objective(settings())
    early, late = (float(learned(model(given), given, epoch)[1]["align"]) for epoch in (0, 1))
    want = [
        float(alignment(one.query, one.anchors).mean().detach())
        for one in (loop(model, given, matching=m) for m in (False, True))
    ]
    assert [early, late] == pytest.approx(want, abs=1e-5)
    assert early != late
    assert "align" not in objective(settings(align=0.0))(model(given), given, 0)[1]


def test_padding_and_order_change_nothing() -> None:
    model, given = network(replace(SMALL, frames=15)), batch()
    videos, queries = given.videos, given.queries
    rubbish = torch.full((len(videos), 3, SMALL.video_width), 7.0)
    padded = VideoBatch(
        **vars(videos)
        | {
            "frames": torch.cat([videos.frames.masked_fill(~videos.frame_valid[..., None], -3.0), rubbish], dim=1),
            "frame_valid": F.pad(videos.frame_valid, (0, 3)),
        }
    )
    order = torch.randperm(len(given.video_of_query))
    shuffled = QueryBatch(**{name: value[order] for name, value in vars(queries).items()})
    gradients = []
    for one in (
        given,
        replace(given, videos=padded),
        Batch(videos=videos, queries=shuffled, video_of_query=given.video_of_query[order]),
    ):
        total, _ = objective(settings())(model(one), one, 1)
        gradients.append((total, *torch.autograd.grad(total, list(model.parameters()))))
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(gradients[2], gradients[0], atol=1e-4, rtol=1e-4)


def test_one_of_each_and_every_parameter_learns() -> None:
    model = network()
    fits: RetrievalModel = model
    assert fits.clip_weight == 0.7
    assert isinstance(model, TwoTower)
    assert model.needs_query
    one = batch((1,), queries=1)
    total, parts = objective(settings())(model(one), one, 1)
    assert bool(total.isfinite())
    assert float(parts["triplet_frame"]) == float(parts["triplet_clip"]) == 0
    given, plan = batch(), settings()
    made = bgmnet.recipe("here", "BGM-Net", plan)
    fresh = made.build(plan).eval()
    assert made.optimizer is not None
    optimizer = made.optimizer(replace(plan, optim=replace(plan.optim, lr=3e-3)), fresh, 3)
    losses = []
    for _ in range(30):
        total, _ = objective(plan)(fresh(given), given, 1)
        optimizer.zero_grad()
        torch.autograd.backward(total)
        assert all(parameter.grad is not None for parameter in fresh.parameters())
        optimizer.step()
        losses.append(float(total.detach()))
    assert losses[-1] < losses[0] - 0.1


def test_clips_that_no_frame_reaches_take_part() -> None:
    made = prepare_interpolated(video_features(torch.randn(2, 10)), UniformConfig(frames=12, clips=8))
    assert (made.clips[0] == 0).all(1).tolist() == [True, *[False] * 6, True]
    assert bool((made.clip_size > 0).all())
    single = prepare_interpolated(video_features(torch.randn(1, 10)), CUT)
    torch.testing.assert_close(single.clips[0], single.frames[0, :1].expand(5, -1))


def test_official_names_are_those_of_ms_sl() -> None:
    state = network().state_dict()
    theirs = export_weights(state, official_names())
    assert len(theirs) == 54
    back = from_official(theirs)
    assert all(torch.equal(back[name], state[name]) for name in state)
    with pytest.raises(CheckpointError, match="BGM-Net: it has unknown 'x'"):
        from_official(theirs | {"x": torch.zeros(1)})


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
    assert (plan.optim.lr, plan.optim.warmup, plan.optim.schedule_epochs) == (2.5e-4, 0.01, 100)
    assert (plan.train.epochs, plan.train.patience, plan.train.seed) == (100, 10, 2018)
    with pytest.raises(ConfigError, match="model.clips=8"):
        recipe.with_settings(["model.clips=8"]).fit(
            replace(plan, model=replace(plan.model, clips=8)),
            FeatureSpec(name="p", revision="0", video_width=plan.model.video_width, text_width=plan.model.text_width),
        )
    with pytest.raises(ConfigError, match="match_from_epoch"):
        replace(plan.loss, match_from_epoch=-1)
