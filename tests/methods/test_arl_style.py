"""ARL-style: what two networks remember and label for each other, and what its description promises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, Made, QueryAtVideo, RetrievalModel
from prvr.data.folder import DataFolder
from prvr.evaluation.scoring import score_tokens
from prvr.methods.arl_style.ambiguity import ambiguous_videos
from prvr.methods.arl_style.loss import ARLLoss, Judged, Settings, objective, seen_by
from prvr.methods.arl_style.network import ARLQueries, ARLStyle, ARLStyleConfig, ARLVideos, Pair
from prvr.methods.recipe import load_recipe
from prvr.parts.nce import query_nce, video_nce
from prvr.parts.objective import Objective
from prvr.parts.triplet import query_triplet, video_triplet
from prvr.parts.uniform import UniformConfig
from prvr.parts.videos import FrameVideos
from prvr.runs.train import Splits, train_run
from prvr.training.checkpoint import load_state
from prvr.training.run_folder import LAST
from prvr.training.step import make_step
from tests.methods.family import (
    TINY,
    batch,
    check_padding,
    check_small_batches,
    learned,
    roused,
    shuffled,
    without_gradient,
)

SMALL = ARLStyleConfig(**TINY)
PLAIN = {"hard_from_epoch": 0, "hard_pool": 1, "ambiguous_from_epoch": 0, "most_ambiguous": 1}


class Seeded(nn.Module):
    """The same chance in every call: an ambiguous negative is drawn."""

    def __init__(self, model: ARLStyle) -> None:
        super().__init__()
        self.model = model

    def embed(self, given: Batch[FrameVideos]) -> Made[ARLQueries, ARLVideos]:
        torch.manual_seed(11)
        return self.model.embed(given)


def loss(**options: Any) -> Objective[Made[ARLQueries, ARLVideos], Judged]:
    return objective(Settings(model=SMALL, prepare=UniformConfig(), loss=ARLLoss(**PLAIN | options)))


def network(config: ARLStyleConfig = SMALL) -> ARLStyle:
    """That remembers some training set."""
    torch.manual_seed(4)
    model = roused(ARLStyle(config))
    model.means.copy_(F.normalize(torch.randn(2, 2, config.hidden), dim=-1) * 0.4)
    return model


def test_mean_similarity_is_similarity_to_the_mean() -> None:
    """All similarities of 10 queries and 5 videos of 7 frames, some padding, against two vectors."""
    query, frames = F.normalize(torch.randn(10, 6).double(), dim=1), F.normalize(torch.randn(5, 7, 6).double(), dim=2)
    valid = torch.arange(7) < torch.tensor([[7], [3], [1], [6], [7]])
    every = torch.einsum("xd,yzd->xyz", query, frames)
    by_query = torch.stack([torch.stack([m[y, z] for y, z in valid.nonzero().tolist()]).mean() for m in every])
    torch.testing.assert_close(query @ frames[valid].mean(0), by_query)
    torch.testing.assert_close(frames @ query.mean(0), every.mean(0))


def slow_means(model: ARLStyle, batches: list[Batch[Any]]) -> Tensor:
    """One query and one frame at a time -> (query | frame, network, D)."""
    means = []
    for network in (model.first, model.second):
        query, frame = [], []
        for given in batches:
            query += [F.normalize(q, dim=0) for q in network.encode_queries(given.queries)]
            seen = network.read_frames(given.videos.frames, given.videos.frame_valid)
            frame += [F.normalize(f, dim=0) for f in seen[given.videos.frame_valid]]
        means.append(torch.stack([torch.stack(query).mean(0), torch.stack(frame).mean(0)]))
    return torch.stack(means, dim=1)


@torch.no_grad()
def test_an_epoch_is_remembered_from_the_next_one_on() -> None:
    """Of all batches together, whatever their sizes; validation in between adds nothing."""
    model, batches = network(), [batch((30, 5, 9), 7), batch((3, 12), 2), batch((1,), 4)]
    before = model.means.clone()
    model.train()
    for given in batches:
        model.remember(model.embed(given))
        assert torch.equal(model.means, before)
    model.eval()
    model.embed(batches[0])
    model.encode_videos(batches[0].videos)
    assert torch.equal(model.means, before)
    model.train()
    torch.testing.assert_close(model.means, slow_means(model, batches))
    assert not model.sums.any()
    remembered = model.means.clone()
    assert torch.equal(model.train().means, remembered), "an epoch of nothing is forgotten"
    made, given = model.eval().embed(batches[0]), batches[0]
    for n, one in enumerate((model.first, model.second)):
        query = F.normalize(one.encode_queries(given.queries), dim=1)
        there = given.videos.frame_valid
        frames = F.normalize(one.read_frames(given.videos.frames, there) * there[..., None], dim=2)
        torch.testing.assert_close(made.videos.uncertainty[n], frames @ model.means[0, n])
        found = seen_by(n, made, given).uncertainty
        for i in range(len(query)):
            for v in range(len(frames)):
                k = int((frames[v] @ query[i]).masked_fill(~there[v], -torch.inf).argmax())
                want = (query[i] @ model.means[1, n] + frames[v, k] @ model.means[0, n]) / 2
                torch.testing.assert_close(found[i, v], want)


@torch.no_grad()
def test_padding_never_wins() -> None:
    model, given = network(), batch()
    made = model.embed(given)
    asked = made.queries
    # with everything opposite, what is not there would be best
    away = made._replace(queries=asked._replace(query=Pair(-asked.query.first, -asked.query.second)))
    for sign, says in ((1, made), (-1, away)):
        for n, one in enumerate((model.first, model.second)):
            query, seen = sign * one.encode_queries(given.queries), seen_by(n, says, given)
            for v, real in enumerate(given.videos.frame_valid.sum(1).tolist()):
                frames = one.read_frames(given.videos.frames, given.videos.frame_valid)[v, :real]
                want = torch.stack([F.cosine_similarity(q, frames, dim=1).amax() for q in query])
                torch.testing.assert_close(seen.cosine[:, v], want)
            assert bool((seen.frame_cosine.masked_fill(seen.valid, 0.0) == 0).all())
    assert bool(loss()(away, given, 0).total.isfinite())


def hinge(gap: float, wrong: list[Tensor], right: Tensor) -> Tensor:
    """The hardest of some, if there are any."""
    return (gap + max(wrong, key=lambda x: x.item()) - right).clamp(min=0) if wrong else right * 0


def mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()


def slow_videos(model: ARLStyle, given: Batch[Any], judge: int, learner: int) -> dict[str, Tensor]:
    """Terms over videos of one network, query by query and video by video, labelled by the other."""
    made, own = model.embed(given), given.video_of_query.tolist()
    label, seen = seen_by(judge, made, given), seen_by(learner, made, given)
    videos = ambiguous_videos(label.cosine.detach(), label.uncertainty, given.video_of_query, most=1)
    amb = [set(row.nonzero().squeeze(1).tolist()) for row in videos]
    rows, columns = range(len(own)), range(len(given.videos))
    nce, margin, video_nces, video_margins = [], [], [], []
    for i, y in enumerate(own):
        hits, s = {y} | amb[i], seen.cosine[i]
        nce.append(seen.dot[i].logsumexp(0) - mean([seen.dot[i, j] for j in hits]))
        clean = hinge(0.2, [s[j] for j in columns if j not in hits], s[y])
        margin.append(clean + hinge(0.1, [s[j] for j in amb[i]], s[y]))
    for j in columns:
        s, mine, maybe = seen.cosine[:, j], [i for i in rows if own[i] == j], [i for i in rows if j in amb[i]]
        hit = torch.stack([seen.dot[i, j] for i in mine + maybe])
        video_nces.append(seen.dot[:, j].logsumexp(0) - hit.logsumexp(0))
        right = mean([s[i] for i in mine])
        clean = hinge(0.2, [s[i] for i in rows if i not in mine + maybe], right)
        video_margins.append(clean + hinge(0.1, [s[i] for i in maybe], right))
    return {"nce": mean(nce) + mean(video_nces), "margin": mean(margin) + mean(video_margins)}


def slow_frames(model: ARLStyle, given: Batch[Any], judge: int, learner: int) -> dict[str, Tensor]:
    """Terms over the frames of each query's own video, frame by frame, labelled by the other network."""
    made = model.embed(given)
    label, seen = seen_by(judge, made, given), seen_by(learner, made, given)
    nce, margin = [], []
    for i in range(len(given.queries)):
        real = seen.valid[i].nonzero().squeeze(1).tolist()
        x, s, theirs = seen.frame_dot[i], seen.frame_cosine[i], label.frame_cosine[i].tolist()
        best = max(real, key=s.tolist().__getitem__)
        top, generic = max(theirs[k] for k in real), mean([label.frame_uncertainty[i, k] for k in real]).item()
        near = [k for k in real if theirs[k] >= top - 0.1 and k != best]
        maybe = [k for k in near if label.frame_uncertainty[i, k].item() >= generic]
        nce.append(torch.stack([x[k] for k in real]).logsumexp(0) - mean([x[k] for k in [best, *maybe]]))
        others = [s[k] for k in real if k != best and k not in maybe]
        margin.append(hinge(0.2, others, s[best]) + hinge(0.1, [s[k] for k in maybe], s[best]))
    return {"frame_nce": mean(nce), "frame_margin": mean(margin)}


def test_losses_equal_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both networks together, values and gradients; chance is taken out, so that of several the hardest is drawn."""
    model, given = network(), batch(queries=14)
    monkeypatch.setattr(torch, "rand", lambda n, **_: torch.zeros(n))
    total, parts = learned(loss(), model, given)
    assert parts["ambiguous"] > 0
    slow = [slow(model, given, n, 1 - n) for n in range(2) for slow in (slow_videos, slow_frames)]
    weights = {"nce": 0.04, "margin": 1.0, "frame_nce": 0.004, "frame_margin": 0.1}
    want = {name: torch.stack([one[name] for one in slow if name in one]).sum() for name in weights}
    for name in weights:
        torch.testing.assert_close(parts[name], want[name].detach(), atol=1e-5, rtol=1e-4)
    whole = torch.stack([weight * want[name] for name, weight in weights.items()]).sum()
    ours, theirs = (torch.autograd.grad(x, list(model.parameters())) for x in (total, whole))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


def test_neither_network_moves_the_other() -> None:
    """The loss of the first reaches the second in nothing, though the second labels for it, and the other way round."""
    model, given = network(), batch(queries=14)
    made = model.embed(given)
    # what the second network says is cut off, and still the first one learns as before
    (query, frames), asked, shown = (made.queries.query, made.videos.frames), *made
    blind = Made(
        asked._replace(query=query._replace(second=query.second.detach())),
        shown._replace(frames=frames._replace(second=frames.second.detach())),
    )
    gradients = []
    for one in (made, blind):
        torch.manual_seed(0)
        model.zero_grad()
        torch.autograd.backward(loss()(one, given, 0).total, retain_graph=True)
        gradients.append({name: x.grad for name, x in model.named_parameters()})
    assert not any(x.any() for name, x in gradients[1].items() if name.startswith("second.") and x is not None)
    for name, value in gradients[1].items():
        if name.startswith("first."):
            torch.testing.assert_close(gradients[0][name], value)


def test_without_ambiguity_it_is_the_plain_frame_retriever() -> None:
    model, given = network(), batch(queries=14)
    made, own = model.embed(given), given.video_of_query
    want = torch.zeros(())
    for network_of in (0, 1):
        cosine, dot, *_ = seen_by(network_of, made, given)
        want = want + 0.04 * (query_nce(dot, own).mean() + video_nce(dot, own).mean())
        for triplet in (query_triplet, video_triplet):
            want = want + triplet(cosine, own, margin=0.2, pool=1).mean()
    for options, epoch in (
        ({"ambiguous_from_epoch": 5}, 4),
        ({"ambiguous_from_epoch": -1}, 99),
        ({"most_ambiguous": 0}, 9),
    ):
        found, parts = loss(frames=0.0, **options)(made, given, epoch)
        assert parts["ambiguous"] == 0
        assert set(parts) == {"nce", "margin", "ambiguous"}
        torch.testing.assert_close(found, want, atol=1e-6, rtol=1e-6)
    assert loss(ambiguous_from_epoch=5)(made, given, 5).terms["ambiguous"] > 0


def test_padding_order_and_small_batches() -> None:
    model, given = network(), batch()
    check_padding(Seeded(model), loss(), given)
    check_small_batches(model, loss(), given)
    assert without_gradient(model, loss(), given) == []
    with pytest.MonkeyPatch.context() as patch:
        videos, queries = torch.randperm(4), torch.randperm(9)
        patch.setattr(torch, "rand", lambda n, **_: torch.zeros(n))
        other = shuffled(given, videos, queries)
        found = [learned(loss(), model, one).terms for one in (given, other)]
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_either_network_or_both_may_rank() -> None:
    given = batch()
    for share, width in ((0.0, 16), (0.5, 32)):
        model = network(replace(SMALL, clip_weight=share))
        fits: RetrievalModel = model
        assert not isinstance(model, QueryAtVideo)
        query, tokens = fits.encode_queries(given.queries), fits.encode_videos(given.videos)
        assert (query.shape[1], tokens.frames.shape[2]) == (width, width)
        spans = model.token_spans(given.videos)
        assert (spans.frames.shape[:2], spans.clips.shape[:2]) == (tokens.frames.shape[:2], tokens.clips.shape[:2])
        found = score_tokens(query, [tokens]).fused(fits.clip_weight)
        first, second = (seen_by(n, model.embed(given), given).cosine for n in range(2))
        want = first if not share else (first + second) / 2 / 2**0.5
        torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-5)


def test_the_cut_step_has_the_same_gradients_and_memory() -> None:
    given, found = batch(queries=14), []
    for precision in ("fp32", "tf32"):
        model = network().train()
        torch.manual_seed(1)
        make_step(model, loss(), precision=precision)(given, 0, 0)
        found.append([*(parameter.grad for parameter in model.parameters()), model.sums, model.counts])
    torch.testing.assert_close(found[0], found[1])
    assert model.counts.tolist() == [14, int(given.videos.frame_valid.sum())]
    total, _ = make_step(network(), loss(), precision="bf16")(given, 0, 0)
    assert bool(total.isfinite())


def test_sizes_are_those_described() -> None:
    """Of one network, and training holds two; no count was published."""
    for name, want in (("tvr_i3d", 2_729_856), ("activitynet_i3d", 2_038_144)):
        recipe = load_recipe(f"prvr.methods.arl_style.runs:{name}")
        model = recipe.build()
        assert sum(x.numel() for part, x in model.named_parameters() if part.startswith("first.")) == want
        assert sum(x.numel() for x in model.parameters()) == 2 * want


@pytest.mark.parametrize(
    ("name", "widths", "lr", "margin", "dropout"),
    [
        ("tvr", (768, 768), 3e-4, 0.1, 0.2),
        ("activitynet", (768, 768), 2.5e-4, 0.2, 0.31),
        ("charades", (768, 768), 2e-4, 0.2, 0.25),
        ("qvhighlights", (2816, 512), 2.5e-4, 0.2, 0.31),
    ],
)
def test_recipes(name: str, widths: tuple[int, int], lr: float, margin: float, dropout: float) -> None:
    recipe = load_recipe(f"prvr.methods.arl_style.runs:{name}")
    plan = recipe.settings
    assert "our reconstruction" in recipe.title
    assert (plan.model.video_width, plan.model.text_width, plan.model.max_words) == (*widths, 77)
    assert (plan.optim.lr, plan.loss.margin, plan.loss.nce, plan.loss.frames) == (lr, margin, 0.04, 0.1)
    assert (plan.model.dropout, plan.model.input_dropout, plan.model.clip_weight) == (dropout, dropout, 0.0)
    assert (plan.loss.ambiguous_from_epoch, plan.loss.most_ambiguous, plan.loss.frame_slack) == (5, 3, 0.1)
    assert (plan.train.epochs, plan.train.patience, plan.optim.weight_decay, plan.batch_videos) == (100, 10, 0.01, 128)


def test_settings_that_make_no_sense_and_long_videos() -> None:
    for change, says in (
        ({"heads": 3}, "heads=3"),
        ({"clip_weight": 2.0}, "clip_weight"),
        ({"dropout": 1.0}, "dropout"),
    ):
        with pytest.raises(ConfigError, match=says):
            replace(SMALL, **cast(dict[str, Any], change))
    for options, says in (({"frame_slack": -1.0}, "frame_slack"), ({"hard_pool": 0}, "hard_pool")):
        with pytest.raises(ConfigError, match=says):
            ARLLoss(**cast(dict[str, Any], options))
    with pytest.raises(ConfigError, match=r"15 frames, but model.frames=14"):
        ARLStyle(SMALL).encode_videos(batch(frames=15).videos)


def test_it_learns_the_tiny_world_and_goes_on_where_it_stopped(world: Path, tmp_path: Path) -> None:
    """What the networks remember of the last epoch is part of the run's state."""
    recipe = load_recipe("prvr.methods.arl_style.runs:world").with_settings(
        ["model.hidden=32", "batch_videos=4", "train.epochs=3", "loss.ambiguous_from_epoch=1"]
    )
    data = DataFolder(world)
    train_run(recipe, data, tmp_path / "whole", device="cpu")
    for epochs in (2, 3):
        train_run(recipe.with_settings([f"train.epochs={epochs}"]), data, tmp_path / "parts", device="cpu")
    one, other = (load_state(tmp_path / name / LAST).weights for name in ("whole", "parts"))
    assert bool(one["means"].any() and one["sums"].any())
    assert all(torch.equal(one[name], other[name]) for name in one)
    given = next(Splits(recipe, data).train.batches(8, seed=0, epoch=0))
    model = recipe.build().eval()
    assert recipe.objective is not None
    assert recipe.optimizer is not None
    optimizer, learn = recipe.optimizer(recipe.settings, model, 5), recipe.objective(recipe.settings)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        total = learned(learn, model, given, 2).total
        torch.autograd.backward(total)
        optimizer.step()
        losses.append(float(total.detach()))
    assert losses[-1] < 0.8 * losses[0]
