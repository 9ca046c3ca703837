from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.errors import CheckpointError, ConfigError, FeatureError
from prvr.core.types import Batch, FeatureSpec, Made, QueryAtVideo, QueryBatch, RetrievalModel
from prvr.methods.amdnet import runs as amdnet
from prvr.methods.amdnet.loss import AMDNetLoss, AMDNetSeen, Settings, mask_diversity, moment_relevance, objective
from prvr.methods.amdnet.network import AMDNet, AMDNetConfig, MeansConfig, VideoParts, prepare_means
from prvr.methods.amdnet.official import OFFICIAL, official_names, undecayed
from prvr.methods.amdnet.windows import window_masks
from prvr.methods.official import stack_depth
from prvr.methods.recipe import OptimConfig, load_recipe
from prvr.parts.objective import Objective
from prvr.parts.towers import TwiceRead
from prvr.parts.videos import FrameVideos
from prvr.runs.measure import untrained
from tests.methods import family
from tests.methods.family import VIDEO, check_order, check_padding, learned, padded, roused, seen
from tests.parts.make import video_features

SMALL = AMDNetConfig(video_width=10, text_width=6, hidden=16, heads=4, frames=9, input_dropout=0.0, dropout=0.0)


PLAN = Settings(model=SMALL, prepare=MeansConfig(frames=SMALL.frames), loss=AMDNetLoss())


def network(config: AMDNetConfig = SMALL) -> AMDNet:
    """Always the same one."""
    torch.manual_seed(4)
    return roused(AMDNet(config))


def queries_of(sentence: Tensor) -> QueryBatch:
    return QueryBatch(words=sentence[:, None], valid=torch.ones(len(sentence), 1, dtype=torch.bool), sentence=sentence)


def batch(lengths: tuple[int, ...] = (30, 9, 4), queries: int = 7) -> Batch[FrameVideos]:
    return family.batch(lengths, queries, prepare=lambda videos, _: prepare_means(videos, PLAN.prepare))


def loss() -> Objective[Made[TwiceRead, VideoParts], AMDNetSeen]:
    return objective(PLAN)


def means_of(features: Tensor, frames: int, *, rate: float = 1.0) -> FrameVideos:
    return prepare_means([video_features(features, rate=rate)], MeansConfig(frames=frames))


def test_windows_by_hand() -> None:
    """With a width of 0.9 σ is 0.1, so that a place one tenth away has exp(-1/2)."""
    places, valid = torch.linspace(0, 1, 11), torch.ones(1, 11, dtype=torch.bool)
    mask = window_masks(torch.tensor([[0.5]]), torch.tensor([[0.9]]), places, valid)[0, 0]
    torch.testing.assert_close(mask[4:7], torch.tensor([0.60653, 1.0, 0.60653]), atol=1e-5, rtol=0)
    between = window_masks(torch.tensor([[0.55]]), torch.tensor([[0.0]]), places, valid)[0, 0]
    assert bool(between.isfinite().all())
    assert sorted(between.tolist())[-2:] == pytest.approx([1.0, 1.0], abs=1e-2)
    cut = window_masks(torch.tensor([[0.95]]), torch.tensor([[0.9]]), places, torch.arange(11)[None] < 8)[0, 0]
    assert cut.argmax() == 7
    assert not cut[8:].any()
    assert cut[7] == 1


def test_windows_pass_their_gradient_through_the_scaling() -> None:
    centre, width = torch.rand(2, 3).double().requires_grad_(), (0.2 + torch.rand(2, 3).double()).requires_grad_()
    places, valid = torch.linspace(0, 1, 9).double(), torch.ones(2, 9, dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda c, w: window_masks(c, w, places, valid), (centre, width))


def test_diversity_by_hand() -> None:
    """Two windows that share nothing and have a sum of squares of 1/2 and 1: (1/2 - 0.15)² + (1 - 0.15)²."""
    masks = torch.tensor([[[0.0, 1.0, 1.0], [0.5, 0.0, 0.0]], [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]])
    found = mask_diversity(masks, diagonal=0.15)
    torch.testing.assert_close(found, torch.tensor([0.35**2 + 0.85**2, 2 * 0.35**2 + 2 * 0.5**2]))


def test_relevance_by_hand() -> None:
    query = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    whole, moments = torch.tensor([[0.6, 0.8]]), torch.tensor([[[3.0, 0.0], [1.0, 1.0]]])
    found = moment_relevance(query, whole, moments, torch.zeros(3, dtype=torch.int64), margin=0.5)
    torch.testing.assert_close(found, torch.tensor([0.1, 0.5 + 0.8 - 0.5**0.5, 0.1]))


def test_shapes_scores_and_one_of_each() -> None:
    model, given = network(), batch()
    found = seen(loss(), model, given)
    assert found.video.tokens.shape == (3, 9, 16)
    assert found.video.moments.shape == (3, 4, 16)
    assert found.video.masks.shape == (3, 4, 9)
    assert found.video.whole.shape == (3, 16)
    want = torch.stack([F.cosine_similarity(q, found.video.tokens, dim=-1).amax(1) for q in found.query.again])
    torch.testing.assert_close(found.cosine.fused(model.clip_weight), want)
    fits: RetrievalModel = model
    assert fits.clip_weight == 0
    assert not isinstance(model, QueryAtVideo)
    one = batch((5,), queries=1)
    assert seen(loss(), model, one).cosine.frame.shape == (1, 1)
    total, parts = learned(loss(), model, one)
    assert bool(total.isfinite())
    assert float(parts["nce"]) == pytest.approx(0.0, abs=1e-5)


def test_company_and_order_change_nothing() -> None:
    model, given = network(), batch()
    whole = model.encode_videos(given.videos)
    back = torch.tensor([2, 0, 1])
    for got, want in zip(model.encode_videos(given.videos.take(back)), whole, strict=True):
        torch.testing.assert_close(got, want[back])
    alone = model.encode_videos(given.videos.take(back[:1]))
    torch.testing.assert_close(alone.frames[0], whole.frames[2])
    queries = model.encode_queries(given.queries)
    torch.testing.assert_close(model.encode_queries(queries_of(given.queries.sentence.flip(0))).flip(0), queries)
    check_order(model, loss(), given)


def test_padding_changes_nothing_values_or_gradients() -> None:
    model = network(replace(SMALL, frames=12))
    given = batch()
    tokens = model.encode_videos(padded(given, 3).videos).frames
    assert tokens.shape[1] == 12
    assert not tokens[:, 9:].any()
    check_padding(model, loss(), given, more=3)


def test_training_draws_two_samples_of_a_query() -> None:
    given = batch()
    for draws in (1, 2):
        model = network(replace(SMALL, dropout=0.3, input_dropout=0.3, query_draws=draws)).train()
        torch.manual_seed(0)
        found = seen(loss(), model, given)
        own = F.cosine_similarity(found.query.again[:, None], found.video.tokens[given.video_of_query], dim=2).amax(1)
        ranked = found.cosine.frame.gather(1, given.video_of_query[:, None])[:, 0]
        assert torch.allclose(own, ranked, atol=1e-5) == (draws == 1)


def test_every_parameter_learns_and_a_few_steps_help() -> None:
    given, recipe = batch(), amdnet.recipe(amdnet.tvr, replace(PLAN, optim=OptimConfig(lr=3e-3)), "AMDNet")
    model = recipe.build().eval()
    assert recipe.optimizer is not None
    optimizer = recipe.optimizer(recipe.settings, model, 4)
    losses = []
    for _ in range(40):
        total = learned(loss(), model, given).total
        optimizer.zero_grad()
        torch.autograd.backward(total)
        assert all(parameter.grad is not None for parameter in model.parameters())
        optimizer.step()
        losses.append(float(total.detach()))
    assert losses[-1] < losses[0] - 0.1
    assert losses[1] == losses[0]  # the first step has a rate of 0


def test_raw_videos_keep_their_lengths_and_their_seconds() -> None:
    features = torch.arange(12.0).view(6, 2) * 10
    made = means_of(features, 3, rate=2.0)
    torch.testing.assert_close(made.frames[0], torch.stack([features[:2].mean(0), features[2:4].mean(0), features[4]]))
    assert made.frame_spans.tolist() == [[[0, 1], [1, 2], [2, 2.5]]]
    with pytest.raises(FeatureError, match="no frames"):
        means_of(torch.zeros(0, 2), 3)
    with pytest.raises(FeatureError, match="5 and 6"):
        prepare_means([video_features(torch.randn(4, width)) for width in (5, 6)], MeansConfig())


def test_an_index_can_serve_it() -> None:
    recipe = load_recipe("prvr.methods.amdnet.runs:activitynet_clip_b").with_settings(
        ["model.video_width=10", "model.text_width=6", "model.hidden=16"]
    )
    trained = untrained(recipe, FeatureSpec(name="made up", revision="0", video_width=10, text_width=6))
    videos = [video_features(torch.randn(n, 10)) for n in (40, 3)]
    tokens = trained.model.encode_videos(trained.prepared.make(videos)).frames
    for bank, want in zip(trained.banks(videos), tokens, strict=True):
        torch.testing.assert_close(bank.tokens, F.normalize(want, dim=1))
        assert bank.num_frames == len(bank.spans) == 32
        assert trained.width == 16


def test_official_names_lead_there_and_back() -> None:
    state = network().state_dict()
    theirs = OFFICIAL.write(state)
    assert len(theirs) == 37
    back = OFFICIAL.read(theirs)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    with pytest.raises(CheckpointError, match="AMDNet: it lacks 'clip_encoder.fc_gauss.bias'"):
        OFFICIAL.read({name: value for name, value in theirs.items() if name != "clip_encoder.fc_gauss.bias"})
    for name, (ours, index) in official_names().items():
        assert undecayed(ours) == ("bias" in name or "LayerNorm.weight" in name), name
        assert stack_depth(ours) == len(index)


def test_settings_and_features_are_judged() -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"heads": 3}, "heads"),
        ({"hidden": 0}, "hidden"),
        ({"frames": 129}, "frames"),
        ({"dropout": 1.0}, "dropout"),
    ]
    for setting, name in wrong:
        with pytest.raises(ConfigError, match=name):
            replace(SMALL, **setting)
    with pytest.raises(ConfigError, match=r"one sentence vector of 6 numbers"):
        network().encode_queries(queries_of(torch.randn(2, 5)))
    wide = means_of(torch.randn(4, VIDEO), 12)
    with pytest.raises(ConfigError, match="12 frames, but model.frames=9"):
        network().encode_videos(wide)
    recipe = load_recipe("prvr.methods.amdnet.runs:tvr")
    with pytest.raises(ConfigError, match="words of pack are 512 wide"):
        recipe.fit(FeatureSpec(name="pack", revision="0", video_width=768, text_width=512))


@pytest.mark.parametrize(
    ("name", "hidden", "lr", "epochs", "patience", "dropout", "nce", "seed"),
    [
        ("tvr", 384, 3e-4, 200, 15, 0.2, 0.04, 9527),
        ("activitynet", 256, 2.5e-4, 100, 15, 0.2, 0.02, 3407),
        ("charades", 256, 2.5e-4, 100, 10, 0.15, 0.02, 3407),
    ],
)
def test_recipes_are_as_released(
    name: str, hidden: int, lr: float, epochs: int, patience: int, dropout: float, nce: float, seed: int
) -> None:
    settings = load_recipe(f"prvr.methods.amdnet.runs:{name}").settings
    model, train = settings.model, settings.train
    assert (model.hidden, settings.optim.lr, train.epochs, train.patience) == (hidden, lr, epochs, patience)
    assert settings.schedule_epochs == epochs
    assert (model.dropout, model.input_dropout, settings.loss.nce, train.seed) == (dropout, dropout, nce, seed)
    loss = settings.loss
    assert (loss.diversity, loss.diversity_diagonal, loss.relevance, loss.relevance_margin) == (1, 0.15, 25, 0.02)
    own = load_recipe(f"prvr.methods.amdnet.runs:{name}_clip_b").settings
    assert replace(own, model=replace(own.model, video_width=768, text_width=768)) == settings
