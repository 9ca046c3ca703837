"""Recipes on a real, tiny world: what is trained, resumed, opened and measured is the same thing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch

from prvr.core.errors import CheckpointError, ConfigError
from prvr.core.weights import load_weights
from prvr.data.folder import DataFolder
from prvr.evaluation.report import Report
from prvr.methods.msc.loss import LossConfig
from prvr.methods.msc.loss import objective as msc_objective
from prvr.methods.msc.network import MSC
from prvr.methods.recipe import Recipe, load_recipe
from prvr.methods.zero_shot.runs import max_over_frames
from prvr.ranker.ranker import open_run, zero_shot
from prvr.runs.measure import evaluate_run, load_split
from prvr.runs.train import Splits, train_run

SMALL = ["model.hidden=16", "model.heads=2", "batch_videos=4", "train.epochs=3", "loss.hard_from_epoch=1"]


@pytest.fixture
def data(world: Path) -> DataFolder:
    return DataFolder(world)


def small(name: str = "world") -> Recipe:
    return load_recipe(f"prvr.methods.msc.runs:{name}").with_settings(SMALL)


def test_resumed_after_any_epoch_it_ends_with_the_same_bits(data: DataFolder, tmp_path: Path) -> None:
    whole = train_run(small(), data, tmp_path / "whole")
    for stop in (1, 2):
        folder = tmp_path / f"stop{stop}"
        train_run(small().with_settings([f"train.epochs={stop}"]), data, folder)
        again = train_run(small(), data, folder)
        assert (again.best, again.best_epoch, again.epochs) == (whole.best, whole.best_epoch, 3)
        one, other = (load_weights(run / "model.safetensors")[0] for run in (tmp_path / "whole", folder))
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert train_run(small(), data, tmp_path / "whole").new_epochs == 0


def test_who_draws_dropout_is_part_of_a_run(data: DataFolder, tmp_path: Path) -> None:
    short = small().with_settings(["train.epochs=1"])
    torchs = short.with_settings(["train.dropout=torch"])
    train_run(short, data, tmp_path / "ours")
    train_run(torchs, data, tmp_path / "torch")
    one, other = (load_weights(tmp_path / name / "model.safetensors")[0] for name in ("ours", "torch"))
    assert any(not torch.equal(one[name], other[name]) for name in one)
    with pytest.raises(CheckpointError, match=r"train\.dropout is bytes there and torch here"):
        train_run(torchs, data, tmp_path / "ours")


def test_a_run_whose_schedule_would_change_does_not_go_on(data: DataFolder, tmp_path: Path) -> None:
    following = small().with_settings(["optim.schedule_epochs=none"])
    train_run(following.with_settings(["train.epochs=1"]), data, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"optim\.schedule_epochs is 1 there and 3 here"):
        train_run(following, data, tmp_path / "run")
    kept = following.with_settings(["train.epochs=2", "optim.schedule_epochs=1"])
    assert train_run(kept, data, tmp_path / "run").new_epochs == 1


def test_what_was_best_is_what_is_opened_and_measured(data: DataFolder, tmp_path: Path) -> None:
    result = train_run(small(), data, tmp_path / "run")
    trained = open_run(tmp_path / "run")
    report = evaluate_run(trained, data, "val").report
    assert report.fused.sum_r == pytest.approx(result.best)
    assert (report.selected_on, report.seed) == ("val", 0)
    assert report.text is not None
    assert report.correlation_truth is not None
    assert Report.from_dict(report.to_dict()) == report
    assert trained.fingerprint == open_run(tmp_path / "run").fingerprint
    other = train_run(small().with_settings(["train.seed=1"]), data, tmp_path / "other")
    assert other.epochs == 3
    assert open_run(tmp_path / "other").fingerprint != trained.fingerprint


def test_rows_of_the_table_differ_by_their_terms_alone(data: DataFolder) -> None:
    base = {"nce_clip", "nce_frame", "triplet_clip", "triplet_frame"}
    names = {name: set(msc_objective(small(name).settings).terms) for name in ("world_baseline", "world_tcpl", "world")}
    assert names["world_baseline"] == base
    assert names["world_tcpl"] == base | {"tcpl_distance", "tcpl_angle"}
    assert names["world"] == base | {"tcpl_distance", "tcpl_angle", "cbva"}
    models = [replace(small(name).settings, loss=LossConfig()) for name in names]
    assert all(settings == models[0] for settings in models)


def test_the_weighted_sum_is_the_loss_and_every_term_moves_the_model(data: DataFolder) -> None:
    recipe = small()
    batch = next(Splits(recipe, data).train.batches(4, seed=0, epoch=0))
    model = cast(MSC, recipe.build().eval())
    objective = msc_objective(recipe.settings)
    total, parts = objective(model.embed(batch), batch, 0)
    want = sum(objective.weights[name] * part for name, part in parts.items())
    torch.testing.assert_close(total, torch.as_tensor(want))
    for name, term in objective.terms.items():
        model.zero_grad()
        seen = objective.see(model.embed(batch), batch, 5)
        term(seen, batch, 5).backward()  # type: ignore[no-untyped-call]
        moved = [p for p in model.parameters() if p.grad is not None and p.grad.abs().sum() > 0]
        assert moved, f"{name} has no gradient"
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters()), name


def test_negatives_are_random_before_the_switch_and_hard_after(data: DataFolder) -> None:
    recipe = small().with_settings(["loss.hard_pool=1"])
    batch = next(Splits(recipe, data).train.batches(8, seed=0, epoch=0))
    objective = msc_objective(recipe.settings)
    seen = objective.see(cast(MSC, recipe.build().eval()).embed(batch), batch, 0)
    triplet = objective.terms["triplet_frame"]

    def values(epoch: int) -> set[float]:
        return {float(triplet(seen, batch, epoch).detach()) for _ in range(8)}

    assert len(values(0)) > 1
    assert len(values(1)) == 1
    assert max(values(0)) <= max(values(1)) + 1e-6, "no negative is harder than the hardest"


def test_zero_shot_is_the_best_frame_by_hand(data: DataFolder) -> None:
    trained = zero_shot(data.store.header.encoder)
    report = evaluate_run(trained, data, "test").report
    items = load_split(trained.prepared, data, "test")
    ranks = []
    for q, query in enumerate(items.items):
        sentence = items.queries.sentence[q]
        best = {}
        for video_id in items.video_ids:
            frames = data.store.read(video_id).features
            best[video_id] = float(torch.cosine_similarity(frames, sentence[None]).max())
        ranks.append(sum(score >= best[query.video_id] for score in best.values()))
    assert report.fused.r1 == pytest.approx(100 * sum(rank <= 1 for rank in ranks) / len(ranks))
    assert report.fused.mean_r == pytest.approx(sum(ranks) / len(ranks))


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (max_over_frames, "has nothing to train"),
        (lambda: small().with_settings(["model.text_width=64"]), "--set model.text_width=128"),
    ],
)
def test_what_cannot_be_trained_says_so(recipe: object, says: str, data: DataFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        train_run(recipe(), data, tmp_path / "run")  # type: ignore[operator]


def test_features_of_another_encoder_are_refused(data: DataFolder) -> None:
    spec = replace(data.store.header.encoder, revision="f" * 64)
    foreign = zero_shot(spec)
    with pytest.raises(CheckpointError, match=r"trained on features of world@f+, but"):
        evaluate_run(foreign, data, "test")


def test_a_recipe_is_found_by_name_or_the_name_is_explained() -> None:
    assert load_recipe("prvr.methods.msc.runs:world").title == "MSC"
    with pytest.raises(ConfigError, match=r"no recipe 'prvr.methods.msc.runs:wrold'"):
        load_recipe("prvr.methods.msc.runs:wrold")
    with pytest.raises(ConfigError, match=r"returns LossConfig, not a Recipe"):
        load_recipe("prvr.methods.msc.runs:LossConfig")
