"""The systems that MSC is compared with: their published settings, and what their recipes refuse."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
import torch

from prvr.core.config import from_dict, to_dict
from prvr.core.errors import ConfigError
from prvr.core.types import FeatureSpec
from prvr.methods.dldkd.loss import DLDKDLoss
from prvr.methods.family import RetrievalLoss
from prvr.methods.gmmformer.loss import GMMFormerLoss
from prvr.methods.gmmformer_v2.loss import GMMFormerV2Loss
from prvr.methods.recipe import Recipe, load_recipe, own_recipes
from prvr.parts.uniform import UniformConfig
from prvr.parts.videos import FrameVideos
from tests.methods.names import named
from tests.parts.make import video_features

FOUR = ("tvr", "activitynet", "charades", "qvhighlights")

# one value a benchmark, as the authors' scripts set it
PUBLISHED: dict[str, tuple[tuple[str, ...], dict[str, tuple[Any, ...]]]] = {
    "gmmformer": (
        FOUR,
        {
            "optim.lr": (3e-4, 2.5e-4, 2.5e-4, 2.5e-4),
            "loss.margin": (0.1, 0.2, 0.2, 0.2),
            "model.dropout": (0.2, 0.2, 0.15, 0.2),
            "model.input_dropout": (0.2, 0.2, 0.15, 0.2),
            "loss.nce_clip": (0.05, 0.02, 0.02, 0.02),
            "loss.nce_frame": (0.04, 0.04, 0.02, 0.04),
            "loss.diversity": (0.001, 0.015, 0.005, 0.015),
            "loss.diversity_margin": (0.15, 0.2, 0.15, 0.2),
            "loss.diversity_scale": (32,) * 4,
            "loss.hard_from_epoch": (30, 20, 100, 20),
            "model.clip_weight": (0.7,) * 4,
            "train.seed": (9527,) * 4,
            "model.video_width": (768, 768, 768, 2816),
            "model.text_width": (768, 768, 768, 512),
            "model.max_words": (77,) * 4,
        },
    ),
    "gmmformer_v2": (
        FOUR,
        {
            "optim.lr": (3e-4, 2.5e-4, 2e-4, 2.5e-4),
            "loss.margin": (0.1, 0.2, 0.2, 0.2),
            "model.dropout": (0.2, 0.31, 0.25, 0.31),
            "model.input_dropout": (0.2, 0.31, 0.25, 0.31),
            "loss.nce_clip": (0.05, 0.02, 0.02, 0.02),
            "loss.nce_frame": (0.04,) * 4,
            "loss.diversity": (8e-5, 0.003, 0.003, 0.003),
            "loss.diversity_margin": (0.15, 0.2, 0.2, 0.2),
            "loss.diversity_power": (1,) * 4,
            "loss.matching": (0.09, 0.11, 0.1, 0.11),
            "model.sft_factor": (0.09, 0.6, 0.6, 0.6),
            "loss.hard_from_epoch": (20,) * 4,
            "model.clip_weight": (0.7,) * 4,
            "train.seed": (9527,) * 4,
            "model.video_width": (768, 768, 768, 2816),
        },
    ),
    "mssl": (
        FOUR,
        {
            "optim.lr": (2.5e-4,) * 4,
            "loss.margin": (0.1, 0.2, 0.2, 0.2),
            "loss.nce_clip": (0.02,) * 4,
            "loss.nce_frame": (0.04,) * 4,
            "model.clip_weight": (0.7, 0.7, 0.5, 0.7),
            "model.dropout": (0.1,) * 4,
            "model.input_dropout": (0.1,) * 4,
            "loss.hard_from_epoch": (20,) * 4,
            "train.seed": (2018,) * 4,
            "train.epochs": (100,) * 4,
            "model.video_width": (768, 768, 768, 2816),
        },
    ),
    "dldkd": (
        ("tvr", "activitynet", "tvr_plus", "activitynet_plus", "charades_plus"),
        {
            "optim.lr": (2.5e-4, 2.5e-4, 3e-4, 2.5e-4, 2.4e-4),
            "loss.margin": (0.1, 0.2, 0.1, 0.2, 0.2),
            "model.dropout": (0.1, 0.1, 0.2, 0.25, 0.15),
            "model.input_dropout": (0.1, 0.1, 0.2, 0.25, 0.15),
            "train.epochs": (100, 100, 120, 120, 120),
            "train.seed": (2018, 2018, 9527, 9527, 9527),
            "loss.nce_clip": (0.04,) * 5,
            "loss.nce_frame": (0.04,) * 5,
            "loss.hard_from_epoch": (0,) * 5,
            "loss.distill": (0.1,) * 5,
            "loss.temperature": (0.2,) * 5,
            "loss.labels": ("hard", "hard", "soft", "soft", "soft"),
            "model.shared_words": (True, True, False, False, False),
            "model.clip_weight": (0.3,) * 5,
        },
    ),
}
COMMON = {
    "model.hidden": 384,
    "model.heads": 4,
    "loss.hard_pool": 20,
    "batch_videos": 128,
    "train.patience": 10,
    "optim.warmup": 0.01,
    "optim.weight_decay": 0.01,
}
I3D = {"tvr_i3d": (3072, 768), "activitynet_i3d": (1024, 1024), "charades_i3d": (1024, 1024)}


def flat(settings: Any) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for group, value in asdict(settings).items():
        pairs |= {f"{group}.{name}": one for name, one in value.items()} if isinstance(value, dict) else {group: value}
    return pairs


def of(system: str, name: str) -> Recipe:
    return load_recipe(named(f"{system}:{name}"))


@pytest.mark.parametrize("system", PUBLISHED)
def test_benchmarks_have_the_published_settings(system: str) -> None:
    names, values = PUBLISHED[system]
    for column, name in enumerate(names):
        recipe = of(system, name)
        assert recipe.target == named(f"{system}:{name}")
        found = flat(recipe.settings)
        assert {key: found[key] for key in values} == {key: row[column] for key, row in values.items()}, name
        assert COMMON.items() <= found.items()
        for group in (recipe.settings.model, recipe.settings.prepare, recipe.settings.loss):
            assert from_dict(type(group), to_dict(group)) == group


def test_the_schedule_is_as_long_as_the_run_unless_it_is_set() -> None:
    for recipe in map(load_recipe, own_recipes()):
        if recipe.objective is None:
            continue
        short = recipe.with_settings(["train.epochs=7", "optim.schedule_epochs=none"])
        assert short.settings.schedule_epochs == 7
        assert short.identity["optim"]["schedule_epochs"] == 7
        if not recipe.target.partition(":")[2].startswith("world"):
            assert recipe.settings.schedule_epochs == recipe.settings.train.epochs, recipe.target
    msc = of("msc", "tvr").with_settings(["optim.schedule_epochs=30", "train.epochs=7"])
    assert msc.settings.schedule_epochs == 30
    with pytest.raises(ConfigError, match="optim.schedule_epochs=0: must be at least 1, or none"):
        msc.with_settings(["optim.schedule_epochs=0"])


OWN = [
    *((system, name) for system in ("gmmformer", "gmmformer_v2", "mssl") for name in I3D),
    *(("dldkd", name) for name in ("tvr_i3d", "activitynet_i3d")),
    *(("dldkd", name.replace("_i3d", "_plus_i3d")) for name in I3D),
]


@pytest.mark.parametrize(("system", "name"), OWN)
def test_the_authors_own_features_change_sizes_alone(system: str, name: str) -> None:
    clip, own = (flat(of(system, n).settings) for n in (name.removesuffix("_i3d"), name))
    sizes = dict(
        zip(
            ("model.video_width", "model.text_width", "model.max_words"),
            (*I3D[name.replace("_plus", "")], 30),
            strict=True,
        )
    )
    assert own == clip | sizes
    assert of(system, name).target == named(f"{system}:{name}")


EVERY = [(system, name) for system, (names, _) in PUBLISHED.items() for name in (*names, "world")]


@pytest.mark.parametrize(("system", "name"), EVERY)
def test_every_recipe_builds_what_it_says(system: str, name: str) -> None:
    recipe = of(system, name)
    assert recipe.target == named(f"{system}:{name}")
    model = recipe.settings.model
    spec = FeatureSpec(name="a pack", revision="1", video_width=model.video_width, text_width=model.text_width)
    recipe.fit(spec)
    assert recipe.method.width(model, spec) == model.hidden * (2 if system == "dldkd" else 1)
    with pytest.raises(ConfigError, match=rf"words of a pack are 7 wide, .* {model.text_width}; add `--set model"):
        recipe.fit(replace(spec, text_width=7))
    made = recipe.prepared.make([video_features(torch.randn(n, 6)) for n in (5, 200)])
    assert isinstance(made, FrameVideos)
    assert made.frames.shape == (2, recipe.settings.prepare.frames, 6)
    small = replace(recipe, settings=replace(recipe.settings, model=replace(model, hidden=8, heads=2)))
    network = small.build()
    assert small.optimizer is not None
    assert small.objective is not None
    optimizer = small.optimizer(small.settings, network, 10)
    sizes = [sum(p.numel() for p in group["params"]) for group in optimizer.param_groups]
    assert sum(sizes) == sum(p.numel() for p in network.parameters())
    weights = [p for _, p in sorted(network.state_dict().items())]
    again = [p for _, p in sorted(small.build().state_dict().items())]
    assert all(torch.equal(a, b) for a, b in zip(weights, again, strict=True))


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (RetrievalLoss, {"margin": -1.0}, "loss.margin=-1.0"),
        (RetrievalLoss, {"hard_pool": 0}, "loss.hard_pool=0"),
        (GMMFormerLoss, {"diversity": -1.0}, "loss.diversity=-1.0"),
        (GMMFormerV2Loss, {"matching": -1.0}, "loss.matching=-1.0"),
        (DLDKDLoss, {"temperature": 0.0}, "loss.temperature=0.0"),
        (DLDKDLoss, {"distill": -0.1}, "loss.distill=-0.1"),
        (UniformConfig, {"frames": 0}, "prepare.frames=0"),
    ],
)
def test_settings_are_judged_at_birth(make: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**options)
