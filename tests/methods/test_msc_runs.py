"""MSC's settings: the published ones, what the paper's text changes, and that each option reaches the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from prvr.core.config import from_dict, to_dict
from prvr.core.errors import ConfigError
from prvr.core.types import Batch, FeatureSpec
from prvr.methods.msc import runs as msc
from prvr.methods.msc.cbva import cbva
from prvr.methods.msc.loss import LossConfig, MSCSeen, MSCSettings, objective
from prvr.methods.msc.merging import segment_clips
from prvr.methods.msc.prepare import MSCVideos, PrepareConfig
from prvr.methods.msc.tcpl import tcpl_angle, tcpl_distance
from prvr.methods.msc.vcpl import retrieved_segments, spread_segments
from prvr.methods.recipe import Recipe, load_recipe
from prvr.parts.nce import query_nce, video_nce
from tests.methods.make import batch, network, seen

BENCHMARKS = ("qvhighlights", "tvr", "activitynet", "charades")

PUBLISHED: dict[str, tuple[Any, ...]] = {  # what was released: one value a benchmark
    "model.video_width": (2816, 768, 768, 768),
    "model.text_width": (512, 768, 768, 768),
    "model.max_words": (77, 77, 77, 77),
    "optim.lr": (2.5e-4, 3e-4, 2.5e-4, 2e-4),
    "loss.margin": (0.2, 0.1, 0.2, 0.2),
    "model.input_dropout": (0.31, 0.2, 0.31, 0.25),
    "model.dropout": (0.31, 0.2, 0.31, 0.25),
    "loss.nce_clip": (0.02, 0.05, 0.02, 0.02),
    "loss.nce_frame": (0.04, 0.04, 0.04, 0.04),
    "model.sft_factor": (0.6, 0.09, 0.6, 0.6),
    "loss.hard_from_epoch": (20, 20, 20, 20),
    "loss.tcpl_distance": (15, 15, 15, 15),
    "loss.tcpl_angle": (30, 30, 30, 30),
    "loss.cbva": (0.1, 0.1, 0.1, 0.1),
    "prepare.similarity_threshold": (0.7, 0.8, 0.8, 0.85),
    "model.clip_weight": (0.4, 0.4, 0.4, 0.4),
    "model.hidden": (384, 384, 384, 384),
    "model.heads": (4, 4, 4, 4),
    "loss.hard_pool": (20, 20, 20, 20),
    "batch_videos": (128, 128, 128, 128),
    "train.epochs": (100, 100, 100, 100),
    "train.patience": (10, 10, 10, 10),
    "optim.warmup": (0.01, 0.01, 0.01, 0.01),
    "optim.weight_decay": (0.01, 0.01, 0.01, 0.01),
    "train.seed": (9527, 9527, 9527, 9527),
    "prepare.frames": (128, 128, 128, 128),
    "prepare.schedule": ((80, 52, 32),) * 4,
    "prepare.levels": ((32, 20, 12, 8, 5),) * 4,
}

IN_THE_TEXT: dict[str, tuple[Any, Any]] = {  # what was released, and what the text says
    "loss.nce_clip": (0.02, 1.0),
    "loss.nce_frame": (0.04, 1.0),
    "loss.nce_similarity": ("dot", "cosine"),
    "loss.tcpl_unit": ("pairs", "all"),
    "loss.tcpl_mean": ("all", "pairs"),
    "loss.cbva_similarity": ("dot", "cosine"),
    "model.alignment": ("linear", "none"),
    "loss.cbva_pool": ("mean", "sum"),
    "loss.cbva_moves": ("one", "both"),
    "prepare.merge_by": ("dot", "cosine"),
    "prepare.schedule": ((80, 52, 32), (80, 50, 32)),
    "prepare.levels": ((32, 20, 12, 8, 5), (32, 20, 12, 8, 6, 5)),
    "prepare.omega": ("connected", "direct"),
    "prepare.pairing": ("one_to_one", "many_to_one"),
    "loss.cbva_merges_by": ("frozen", "aligned"),
}


def flat(settings: MSCSettings) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for group, value in asdict(settings).items():
        pairs |= {f"{group}.{name}": one for name, one in value.items()} if isinstance(value, dict) else {group: value}
    return pairs


def of(name: str) -> Recipe:
    return load_recipe(f"prvr.methods.msc.runs:{name}")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmarks_have_the_published_settings(name: str) -> None:
    recipe, column = of(name), BENCHMARKS.index(name)
    assert recipe.target == f"prvr.methods.msc.runs:{name}"
    found = flat(recipe.settings)
    assert {key: found[key] for key in PUBLISHED} == {key: values[column] for key, values in PUBLISHED.items()}
    for group in (recipe.settings.model, recipe.settings.prepare, recipe.settings.loss):
        assert from_dict(type(group), to_dict(group)) == group


def test_the_papers_text_changes_these_settings_and_no_other() -> None:
    released, text = flat(of("qvhighlights").settings), flat(of("qvhighlights_paper").settings)
    assert {name: (released[name], text[name]) for name in released if released[name] != text[name]} == IN_THE_TEXT
    for name in BENCHMARKS:
        assert of(f"{name}_paper").target == f"prvr.methods.msc.runs:{name}_paper"
        assert of(f"{name}_paper").settings == msc.paper(of(name).settings)
        assert msc.paper(of(f"{name}_paper").settings) == of(f"{name}_paper").settings


def test_the_papers_text_leaves_an_ablation_one() -> None:
    full: MSCSettings = of("tvr").settings
    naive = msc.paper(replace(full, prepare=replace(full.prepare, clips="uniform", levels=(32,))))
    assert (naive.prepare.clips, naive.prepare.levels, naive.prepare.schedule) == ("uniform", (32,), (80, 52, 32))


# each option reaches its term


def term(name: str, **options: Any) -> Tensor:
    model = network()
    settings = MSCSettings(
        model=model.config,
        prepare=PrepareConfig(frames=12, schedule=(8, 5), levels=(5, 3), pairing=options.pop("pairing", "one_to_one")),
        loss=LossConfig(**options),
    )
    torch.manual_seed(1)
    given = batch()
    return objective(settings).terms[name](seen(model, given), given, 0)


def expect(make: Callable[[MSCSeen, Batch[MSCVideos]], Tensor]) -> Tensor:
    model = network()
    torch.manual_seed(1)
    given = batch()
    return make(seen(model, given), given)


def both(loss: Callable[[Tensor, Tensor], Tensor], pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    return torch.stack([loss(*pair) for pair in pairs]).sum()


def test_nce_reads_products_or_cosines() -> None:
    for similarity in ("dot", "cosine"):
        for branch in ("clip", "frame"):
            want = expect(
                lambda o, b, s=similarity, n=branch: (  # type: ignore[misc]
                    query_nce(getattr(getattr(o, s), n), b.video_of_query).mean()
                    + video_nce(getattr(getattr(o, s), n), b.video_of_query).mean()
                )
            )
            torch.testing.assert_close(term(f"nce_{branch}", nce_similarity=similarity), want)


def test_tcpl_settings_reach_their_terms() -> None:
    want = expect(lambda o, b: tcpl_distance(o.query, b.queries.sentence, delta=0.3, unit="all").sum() / (9 * 8))
    torch.testing.assert_close(term("tcpl_distance", tcpl_delta=0.3, tcpl_unit="all", tcpl_mean="pairs"), want)
    want = expect(lambda o, b: tcpl_distance(o.query, b.queries.sentence).mean())
    torch.testing.assert_close(term("tcpl_distance"), want)
    want = expect(lambda o, b: tcpl_angle(o.query, b.queries.sentence, delta=0.3).mean())
    torch.testing.assert_close(term("tcpl_angle", tcpl_delta=0.3), want)


@pytest.mark.parametrize("pairing", ["one_to_one", "many_to_one"])
def test_segments_may_follow_the_aligned_clips(pairing: Any) -> None:
    def make(o: Any, b: Any, merged: bool) -> Tensor:
        videos, segment = b.videos, b.videos.segment
        if merged:
            number = torch.tensor([3, 3, 3, 3])
            segment = segment_clips(o.video.clips.detach(), videos.clip_size, number, (5, 3), pairing=pairing)
            assert not torch.equal(segment, videos.segment)
        return cbva(
            o.video.frames,
            o.video.clips,
            slot=videos.slot,
            segment=segment,
            clip_size=videos.clip_size,
            frame_valid=videos.frame_valid,
            similarity="cosine",
            pool="sum",
            moves="both",
        ).mean()

    options = {"cbva_similarity": "cosine", "cbva_pool": "sum", "cbva_moves": "both", "pairing": pairing}
    torch.testing.assert_close(term("cbva", **options), expect(lambda o, b: make(o, b, False)))
    merged = term("cbva", **options, cbva_merges_by="aligned")
    torch.testing.assert_close(merged, expect(lambda o, b: make(o, b, True)))


def test_vcpl_relates_tokens_of_both_branches() -> None:
    def pairs(o: Any, b: Any, chosen: str) -> list[tuple[Tensor, Tensor]]:
        branches = [
            (o.video.tokens.frames, b.videos.frames, o.video.tokens.frame_valid),
            (o.video.tokens.clips, b.videos.clips, o.video.tokens.clip_valid),
        ]
        if chosen == "spread":
            return [spread_segments(*branch, count=4) for branch in branches]
        return [retrieved_segments(*branch, query=o.query, video_of_query=b.video_of_query) for branch in branches]

    for chosen in ("retrieved", "spread"):
        want = expect(lambda o, b, c=chosen: both(lambda s, t: tcpl_distance(s, t).mean(), pairs(o, b, c)))  # type: ignore[misc]
        torch.testing.assert_close(term("vcpl_distance", vcpl=chosen), want)
        want = expect(lambda o, b, c=chosen: both(lambda s, t: tcpl_angle(s, t).mean(), pairs(o, b, c)))  # type: ignore[misc]
        torch.testing.assert_close(term("vcpl_angle", vcpl=chosen), want)
        loss = term("vcpl_distance", vcpl=chosen) + term("vcpl_angle", vcpl=chosen)
        assert loss.requires_grad
    with pytest.raises(KeyError):
        term("vcpl_angle")


def test_both_readings_learn_from_every_parameter() -> None:
    given = batch()
    released = replace(of("tvr").settings, model=network().config)
    for settings in (released, msc.paper(released)):
        plan = replace(settings.prepare, frames=12, schedule=(8, 5), levels=(5, 3))
        model = network(settings.model)
        loss, parts = objective(replace(settings, prepare=plan))(model.embed(given), given, 20)
        torch.autograd.backward(loss)
        assert len(parts) == 7
        assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)


def test_features_of_another_width_are_refused() -> None:
    recipe = of("qvhighlights")
    spec = FeatureSpec(name="a pack", revision="1", video_width=2816, text_width=512)
    recipe.fit(spec)
    assert recipe.method.width(recipe.settings.model, spec) == 384
    with pytest.raises(ConfigError, match=r"words of a pack are 768 wide, .* 512; add `--set model.text_width=768`"):
        recipe.fit(replace(spec, text_width=768))
    with pytest.raises(ConfigError, match=r"frames of a pack .* model.video_width=768"):
        recipe.fit(replace(spec, video_width=768))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"vcpl_angle": -1.0}, "loss.vcpl_angle"),
        ({"hard_pool": 0}, "loss.hard_pool"),
        ({"vcpl_tokens": 0}, "loss.vcpl_tokens"),
        ({"tcpl_delta": 0.0}, "loss.tcpl_delta"),
    ],
)
def test_settings_are_judged_at_birth(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LossConfig(**setting)
