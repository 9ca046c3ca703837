from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.core.types import BranchScores, QueryAtVideo, RetrievalModel
from prvr.methods.curvspec.hyperboloid import distances, exp_origin, held, inner, lift, log_origin, midpoint, with_time
from prvr.methods.curvspec.loss import CurvMade, CurvSeen, CurvSpecLoss, Settings, gaps, not_below_zero, objective
from prvr.methods.curvspec.mixture import ContentReader, LorentzBlock
from prvr.methods.curvspec.network import WEIGHED, CurvSpec, CurvSpecConfig
from prvr.methods.curvspec.official import OFFICIAL, undecayed
from prvr.methods.curvspec.regions import means_of_clips
from prvr.methods.recipe import load_recipe
from prvr.parts.objective import Objective
from prvr.parts.uniform import UniformConfig
from prvr.training.step import make_step
from tests.methods.family import (
    CLIPS,
    TINY,
    batch,
    check_order,
    check_padding,
    check_small_batches,
    learned,
    only,
    roused,
    seen,
    shuffled,
    without_gradient,
)
from tests.methods.names import named

SMALL = CurvSpecConfig(**TINY, clips=CLIPS + 2, tangent_width=7)
K = torch.tensor(1.7)


def loss(config: CurvSpecConfig = SMALL, **others: Any) -> Objective[CurvMade, CurvSeen]:
    """A softer softmax of distances than the released one, whose gradients tests can compare."""
    found = CurvSpecLoss(hard_from_epoch=0, hard_pool=1, hyperbolic_scale=2.0, cover_temperature=1.0, **others)
    return objective(Settings(model=config, prepare=UniformConfig(), loss=found))


def network(config: CurvSpecConfig = SMALL) -> CurvSpec:
    """Every weight matters, and every number is within its bounds."""
    model = roused(CurvSpec(config))
    model.remember(model.embed(batch()))
    return model


@pytest.mark.parametrize(
    ("widths", "words", "count"),
    [((3072, 768), 30, 31_984_704), ((1024, 1024), 30, 30_502_464), ((768, 768), 30, 30_206_016)],
)
def test_as_many_parameters_as_released(widths: tuple[int, int], words: int, count: int) -> None:
    """But for what nothing reads: a curvature, prototypes of regions and a pooling."""
    with torch.device("meta"):
        model = CurvSpec(CurvSpecConfig(video_width=widths[0], text_width=widths[1], max_words=words))
    unread = 1 + 4 * 384 + 384
    assert sum(parameter.numel() for parameter in model.parameters()) == count - unread


# one value a benchmark, as the sheet of the released code has it
PUBLISHED: dict[str, tuple[Any, ...]] = {
    "model.dropout": (0.2, 0.31, 0.25, 0.31),
    "model.input_dropout": (0.2, 0.31, 0.25, 0.31),
    "model.sft_factor": (0.09, 0.6, 0.6, 0.6),
    "model.tangent_width": (127,) * 4,
    "model.regions": (4,) * 4,
    "model.region_starts": ("spread", "drawn", "spread", "drawn"),
    "model.learned_weights": (False, True, False, True),
    "model.clip_weight": (0.7,) * 4,
    "model.hidden": (384,) * 4,
    "loss.margin": (0.1, 0.2, 0.2, 0.2),
    "loss.nce_clip": (0.05, 0.02, 0.02, 0.02),
    "loss.nce_frame": (0.04,) * 4,
    "loss.diversity": (8e-5, 0.003, 0.003, 0.003),
    "loss.diversity_margin": (0.15, 0.2, 0.2, 0.2),
    "loss.hyperbolic": (0.1,) * 4,
    "loss.hyperbolic_scale": (10.0,) * 4,
    "loss.cover": (0.1, 0.1, 0.3, 0.1),
    "loss.cover_temperature": (0.3,) * 4,
    "loss.exclusive": (0.05, 0.3, 0.05, 0.3),
    "loss.gap": (0.08, 0.2, 0.2, 0.2),
    "loss.least_gap": (0.3,) * 4,
    "loss.most_gap": (0.6, 0.8, 0.6, 0.8),
    "loss.hard_from_epoch": (20,) * 4,
    "loss.hard_pool": (20,) * 4,
    "optim.lr": (2e-4, 2e-4, 1e-4, 2e-4),
    "optim.ema": (0.992, 0.995, 0.992, 0.995),
    "train.epochs": (150,) * 4,
    "train.patience": (50, 30, 50, 30),
    "train.seed": (0,) * 4,
}


def test_benchmarks_have_the_released_settings() -> None:
    batches = {"tvr": 128, "activitynet": 192, "charades": 128, "qvhighlights": 192}
    for column, (name, size) in enumerate(batches.items()):
        settings = load_recipe(named(f"curvspec:{name}")).settings
        assert settings.batch_videos == size
        for path, row in PUBLISHED.items():
            group, _, key = path.partition(".")
            assert getattr(getattr(settings, group), key) == row[column], (name, path)
    assert load_recipe(named("curvspec:tvr_i3d")).settings.model.video_width == 3072


def test_padding_order_and_company_change_nothing() -> None:
    model, given = network(), batch()
    check_padding(model, loss(), given)
    check_order(model, loss(), given)
    check_small_batches(model, loss(), given)
    assert without_gradient(model, loss(), given) == []


def test_activations_made_again_change_nothing() -> None:
    model, given = network(), batch()
    again = CurvSpec(replace(SMALL, checkpoint=True)).eval()
    again.load_state_dict(model.state_dict())
    found = [torch.autograd.grad(learned(loss(), one, given).total, list(one.parameters())) for one in (model, again)]
    torch.testing.assert_close(*found)


def test_content_reads_as_cross_attention_does() -> None:
    """The short cut against torch's own attention, keys and values made."""
    reader = roused(ContentReader(8, 2, 0.0))
    content, sequence = torch.randn(3, 8), torch.randn(5, 3, 6, 8)
    valid = torch.arange(6) < torch.tensor([6, 2, 4])[:, None]
    query, key, value = (
        torch.unflatten(x, -1, (2, 4)).transpose(-2, -3)
        for x in (
            reader.query(content).expand(5, 3, 8)[:, :, None],
            reader.key(sequence),
            reader.value(sequence),
        )
    )
    found = F.scaled_dot_product_attention(query, key, value, attn_mask=valid[:, None, None])
    want = reader.rest(content, found.transpose(-2, -3).flatten(-2).squeeze(2))
    bias = torch.zeros(3, 6).masked_fill(~valid, -torch.inf)
    torch.testing.assert_close(reader(content, sequence, bias), want)


# on the hyperboloid


def test_points_lie_where_they_should() -> None:
    tangent = torch.randn(5, 6)
    for points, k in (
        (lift(tangent, K), K),
        (with_time(torch.randn(5, 7), torch.tensor(2.3), K), K),
        (midpoint(lift(tangent, K).sigmoid() + torch.tensor([9.0, 0, 0, 0, 0, 0, 0])), torch.tensor(1.0)),
    ):
        torch.testing.assert_close(inner(points, points), -k.expand(5), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(log_origin(lift(tangent, torch.tensor(1.0))), tangent, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(distances(exp_origin(tangent), torch.zeros(1, 6))[:, 0], tangent.norm(dim=1))


def gradient_of(function: Any, x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(leaf).sum(), leaf)
    return gradient


def test_where_the_authors_formulas_are_nan_ours_are_not() -> None:
    """τ² below k, no direction left by dropout, the origin itself, and two equal points: in float32."""
    flat, far = torch.tensor(10.0), torch.tensor(-9.0)
    rows = torch.cat([torch.zeros(1, 4), torch.randn(3, 4)])
    same = exp_origin(torch.rand(4, 3))
    origin = F.pad(torch.zeros(4, 3), (1, 0), value=1.0)
    for function, x in (
        (lambda y: with_time(y, far, flat), rows),
        (lambda y: with_time(y, torch.tensor(20.0), K), rows),
        (log_origin, origin),
        (lambda y: distances(y, same), same),
        (lambda y: distances(y, torch.zeros(2, 3)), torch.zeros(4, 3)),
        (exp_origin, torch.zeros(4, 3)),
        (lambda y: lift(y, flat), torch.zeros(4, 3)),
    ):
        assert function(x).isfinite().all()
        assert gradient_of(function, x).isfinite().all()


def test_dead_projections_and_great_curvature_are_borne() -> None:
    """All points at the origin, and k where a point's time can be too short for it: a step is finite all the same."""
    for reach in (-3.0, 2.3):
        check_dead_step(reach)


def check_dead_step(reach: float) -> None:
    config = replace(SMALL, curvature=9.9, dropout=0.5)
    model, given = CurvSpec(config).train(), batch()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("reach"):
                parameter.fill_(reach)
            if "tangent" in name and name.endswith("linear.bias"):
                parameter.fill_(-100.0)
    total, _ = make_step(model, loss(config))(given, 0, 0)
    assert total.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_numbers_stay_within_bounds_and_their_gradients_pass() -> None:
    x = torch.tensor([-1.0, 0.5, 20.0])
    assert held(x, 0.1, 10.0).tolist() == [pytest.approx(0.1), 0.5, 10.0]
    assert gradient_of(lambda y: held(y, 0.1, 10.0) * torch.tensor([1.0, 2, 3]), x).tolist() == [1, 2, 3]
    model = CurvSpec(SMALL)
    block = cast(LorentzBlock, model.clip_mixture.curved[0]).attention
    with torch.no_grad():
        model.clip_mixture.k[0].fill_(-1.0)
        block.scale.fill_(3.0)
    assert model.curvatures()[0].tolist() == [pytest.approx(0.1), 1, 1, 1]
    make_step(model, loss())(batch(), 0, 0)
    assert (model.clip_mixture.k[0].item(), block.scale.item()) == (pytest.approx(0.1), 0)


# what is learned from


def test_gaps_by_hand() -> None:
    k = torch.tensor([[1.0, 1.2, 2.0], [1.0, 1.5, 1.5]])  # differ by .2, 1, .8 and by .5, .5, 0
    assert gaps(k, least=0.3, most=0.6).tolist() == pytest.approx([0.1**2 + 0.4**2 + 0.2**2, 0.3**2])
    assert not gradient_of(lambda x: gaps(x, least=0.3, most=0.6), torch.ones(2, 4)).any()


def test_a_query_alone_has_no_others_to_differ_from() -> None:
    model, given = network(), batch()
    one = shuffled(given, torch.arange(4), torch.arange(4))
    for alignment in ("assigned", "nearest"):
        assert learned(loss(alignment=alignment), model, one).terms["exclusive"] == 0
        assert learned(loss(alignment=alignment), model, given).terms["exclusive"] > 0
    assert learned(loss(), model, only(given, 0)).terms["cover"] == 0


def test_padding_of_short_videos_is_a_setting() -> None:
    frame = torch.tensor([[-0.2, -0.1, 0.4], [0.3, -0.5, -0.6]])
    scores = not_below_zero(BranchScores(frame=frame, clip=frame), torch.tensor([True, False, True]))
    assert scores.clip.equal(frame)
    assert scores.frame.equal(torch.tensor([[0.0, -0.1, 0.4], [0.3, -0.5, 0.0]]))
    model, given = network(), batch()
    with torch.no_grad():  # every query lies opposite to the mean frame
        frames = model.encode_videos(given.videos).frames[given.videos.frame_valid]
        model.query_block.norm2_weight.zero_()
        model.query_block.norm2_bias.copy_(-frames.mean(0, keepdim=True))
    zero, none = (seen(loss(padding=padding), model, given).cosine.frame for padding in ("zero", "none"))
    assert (none < 0).any()
    assert torch.equal(zero, none.clamp(min=0)), "all have less frames than the network has places"


def test_learned_weights_begin_at_the_settings_and_shrink() -> None:
    config = replace(SMALL, learned_weights=True)
    model, given = network(), batch()
    moving = CurvSpec(config).eval()
    moving.load_state_dict(model.state_dict(), strict=False)
    fixed, own = (learned(x, y, given).total for x, y in ((loss(), model), (loss(config), moving)))
    torch.testing.assert_close(own, fixed)
    own.backward()  # type: ignore[no-untyped-call]
    assert len(moving.loss_weights) == len(WEIGHED)
    assert all(float(weight.grad) > 0 for weight in moving.loss_weights if weight.grad is not None)
    assert all(undecayed(name) for name, _ in moving.named_parameters() if name.startswith("loss_weights"))


def test_what_decays() -> None:
    names = {name for name, _ in CurvSpec(SMALL).named_parameters()}
    spared = {name for name in names if undecayed(name)}
    norms = ("_input.norm.weight", "positions.norm.weight", "tangent.norm.weight", "output.norm.weight")
    assert {x for x in spared if not x.endswith("bias")} == {x for x in names if x.endswith(norms)}
    assert {"clip_mixture.k.0", "regions.frame_norm.weight", "query_scale"} <= names - spared


def test_regions_are_where_clips_gather() -> None:
    """Four heaps far from each other, of one clip and of several; a clip that is not there counts nowhere."""
    heaps = 20 * torch.eye(4, 6)
    clips = torch.stack([heaps[[0, 1, 1, 2, 3, 3, 3, 0]], heaps[[3, 3, 2, 1, 0, 0, 0, 0]]])
    clips = clips + 0.1 * torch.randn_like(clips)
    valid = torch.tensor([[True] * 8, [True] * 5 + [False] * 3])
    clips[1, 5:] = 99.0
    found = means_of_clips(clips, valid, 4, starts="spread")
    assert (torch.cdist(heaps.expand(2, 4, 6), found).amin(2) < 1).all()
    for starts in ("spread", "drawn"):
        few = means_of_clips(torch.ones(1, 3, 2), torch.tensor([[True, False, False]]), 4, starts=starts)
        assert torch.equal(few, torch.ones(1, 4, 2))


def test_fits_what_reads_it() -> None:
    model, given = network(), batch()
    fits: RetrievalModel = model
    assert fits.clip_weight == 0.7
    assert not isinstance(model, QueryAtVideo)
    assert torch.equal(model.token_spans(given.videos).frames, given.videos.frame_spans)
    twice = network(replace(SMALL, dropout=0.4)).train().embed(given).queries
    assert not torch.allclose(twice.again, twice.query)


def test_official_names_lead_back() -> None:
    state = CurvSpec(SMALL).state_dict()
    theirs = OFFICIAL.write(state)
    more = {name: torch.zeros(()) for name in OFFICIAL.unused}
    assert len(theirs | more) == 468
    back = OFFICIAL.read(theirs | more)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (CurvSpecConfig, {"tangent_width": 8}, "model.tangent_width=8: with the time it is 9"),
        (CurvSpecConfig, {"region_heads": 3}, "model.region_heads=3"),
        (CurvSpecConfig, {"curvature": 11.0}, "model.curvature=11.0"),
        (CurvSpecConfig, {"curvature_bounds": (0.0, 2.0)}, "model.curvature=1.0"),
        (CurvSpecConfig, {"region_starts": "any"}, "model.region_starts=any: choose one of spread, drawn"),
        (CurvSpecConfig, {"widths": (None, -1.0)}, "model.widths="),
        (CurvSpecLoss, {"gap": -1.0}, "loss.gap=-1.0"),
        (CurvSpecLoss, {"cover_temperature": 0.0}, "loss.cover_temperature=0.0"),
        (CurvSpecLoss, {"most_gap": 0.1}, "loss.most_gap=0.1: is below"),
        (CurvSpecLoss, {"padding": "some"}, "loss.padding=some: choose one of zero, none"),
    ],
)
def test_settings_are_judged_at_birth(make: Any, options: dict[str, Any], message: str) -> None:
    needed = {**TINY, "clips": CLIPS, "tangent_width": 7} if make is CurvSpecConfig else {}
    with pytest.raises(ConfigError, match=message):
        make(**needed | options)
