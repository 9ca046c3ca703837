"""CurvSpec against the authors' own numbers: reference arrays curvspec. Sizes and settings come from the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from prvr.core.types import Batch
from prvr.evaluation.metrics import ranks
from prvr.methods.curvspec.hyperboloid import distances, exp_origin, lift, log_origin, midpoint, shortened
from prvr.methods.curvspec.loss import (
    CurvSpecLoss,
    LearnedWeights,
    Settings,
    before_softplus,
    gaps,
    not_below_zero,
    objective,
    point,
    to_regions,
)
from prvr.methods.curvspec.mixture import CurvedMixture, LorentzBlock
from prvr.methods.curvspec.network import WEIGHED, CurvSpec, CurvSpecConfig
from prvr.methods.curvspec.official import OFFICIAL
from prvr.methods.curvspec.regions import lloyd, means_of_clips
from prvr.parts.diversity import focal_diversity
from prvr.parts.gaussian import gaussian_table
from prvr.parts.matching import optimal_matching
from prvr.parts.nce import query_nce, video_nce
from prvr.parts.uniform import UniformConfig, prepare_uniform
from prvr.parts.videos import ClipVideos
from tests.parity.arrays import Arrays, close
from tests.parity.retrieval import (
    check_gradients,
    check_loss,
    check_scores,
    check_triplet,
    check_words,
    file_order,
    in_double,
    pieces,
    read_batch,
    sizes,
)
from tests.parts.make import video_features

TERMS = {
    "nce_clip": "clip_nce_loss",
    "triplet_clip": "clip_trip_loss",
    "nce_frame": "frame_nce_loss",
    "triplet_frame": "frame_trip_loss",
    "diversity": "loss_div",
    "hyperbolic": "loss_hyp",
    "gap": "loss_curv_reg",
    "cover": "loss_cov",
    "exclusive": "loss_exclusive",
}
DOT = 5e-5  # absolute tolerance of dot products, as the arrays' description has it


class Case(NamedTuple):
    """All that a test reads."""

    file: Arrays
    model: CurvSpec
    batch: Batch[ClipVideos]
    settings: Settings

    @property
    def means(self) -> Tensor:
        """The means of clips that all later arrays depend on."""
        return self.file["draw/kmeans_centroids"]


@pytest.fixture(scope="module")
def case(golden: Path) -> Case:
    file = Arrays(golden / "curvspec" / "curvspec.npz")
    said = file.settings()
    config = CurvSpecConfig(
        **sizes(file),
        tangent_width=said["lorentz_dim"],
        regions=said["regions"],
        region_heads=said["region_heads"],
        sft_factor=said["sft_factor"],
        clip_weight=said["clip_scale_w"],
    )
    assert 2 * len(config.widths) == said["attention_num"]
    model = CurvSpec(config).eval()
    model.load_state_dict(OFFICIAL.read(file.below("sd/")))
    nce_clip, nce_frame = said["nce_weights"]
    margin, scale, power = said["neg_factor"]
    loss = CurvSpecLoss(
        nce_clip=nce_clip,
        nce_frame=nce_frame,
        margin=said["margin"],
        hard_from_epoch=0,
        hard_pool=1,  # the hardest alone, so that nothing is drawn
        diversity=said["div_weight"],
        diversity_margin=margin,
        diversity_scale=scale,
        diversity_power=power,
        hyperbolic=said["loss_factor_hyp"],
        hyperbolic_scale=said["logit_scale_hyp"],
        cover=said["lambda_cov"],
        cover_temperature=said["tau"],
        exclusive=said["lambda_exclusive"],
        gap=said["curvature_diversity_weight"],
        least_gap=said["curvature_min_gap"],
        most_gap=said["curvature_max_gap"],
    )
    return Case(file, model, read_batch(file), Settings(model=config, prepare=UniformConfig(), loss=loss))


def test_raw_features_become_their_batch(case: Case) -> None:
    file, batch = case.file, case.batch
    config = UniformConfig(frames=case.model.config.frames, clips=case.model.config.clips)
    raw = [video_features(x) for x in pieces(file, "frames", "frame_lengths")]
    made = prepare_uniform([raw[v] for v in file["batch/video_order"].tolist()], config)
    close(made.clips, batch.videos.clips)
    close(made.frames, batch.videos.frames)
    assert torch.equal(made.frame_valid, batch.videos.frame_valid)
    check_words(file, batch, case.model.config.max_words)


def test_towers(case: Case) -> None:
    file, model, batch = case.file, case.model, case.batch
    words, valid = model.encode_words(batch.queries)
    close(words[valid], file["out/token_feat"][valid])
    close(model.encode_queries(batch.queries), file["out/query"])
    tokens = model.encode_videos(batch.videos)
    close(tokens.clips, file["out/clip_feat"])
    close(tokens.frames, file["out/frame_feat"])
    longest = int(batch.videos.frame_valid.sum(1).max())
    fewer = replace(
        batch.videos,
        frames=batch.videos.frames[:, :longest],
        frame_valid=batch.videos.frame_valid[:, :longest],
        frame_spans=batch.videos.frame_spans[:, :longest],
    )
    close(model.encode_videos(fewer).frames, file["out/frame_feat"][:, :longest])


def test_mixtures(case: Case) -> None:
    """Each block, what a video is about, and how much each block counts where."""
    file, model, videos = case.file, case.model, case.batch.videos
    every = torch.ones(videos.clips.shape[:2], dtype=torch.bool)
    clips = model.clip_positions(model.clip_input(videos.clips))
    check_mixture(file, "clip", model.clip_mixture, clips, every)
    frames = model.frame_positions(model.frame_input(videos.frames))
    outputs = check_mixture(file, "frame", model.frame_mixture, frames, videos.frame_valid)
    close(outputs[:, 0].permute(1, 2, 0), file["out/frame_branches_v0"])
    for found in file.matching(r"out/gauss_(\d+)_w(\d+)"):
        close(gaussian_table(int(found[1]), float(found[2])), file[found[0]])
    close(torch.cat([torch.ones(1), model.curvatures().flatten()]), file["out/curvatures"])


def check_mixture(file: Arrays, side: str, mixture: CurvedMixture, x: Tensor, valid: Tensor) -> Tensor:
    outputs = mixture.outputs(x, mixture.curvatures(), valid)
    content = mixture.content(outputs, torch.ones_like(valid))
    close(content[:, None], file[f"out/{side}_token"])
    close(mixture.weights(content, outputs, valid).permute(1, 2, 0), file[f"out/{side}_fusion_weights"])
    if f"out/{side}_branches" in file:
        close(outputs.permute(1, 2, 3, 0), file[f"out/{side}_branches"])
    return outputs


def test_lorentz_attention_step_by_step(case: Case) -> None:
    """The second curved block of the clips."""
    file, mixture = case.file, case.model.clip_mixture
    x = case.model.clip_positions(case.model.clip_input(case.batch.videos.clips))
    k, attention = mixture.curvatures()[1], cast(LorentzBlock, mixture.curved[1]).attention
    tangent, scale = attention.tangent_input(x), attention.scale.exp()
    close(tangent, file["out/lorentz_tangent"])
    points = lift(scale * tangent, k)
    close(points, file["out/lorentz_lifted"])
    for part in ("query", "key", "value"):
        close(getattr(attention, part)(points, k).transpose(1, 2), file[f"out/lorentz_{part[0]}"])
    bias = torch.zeros(x.shape[:2])
    mean = attention.mean(points, k, table=mixture.tables[1], bias=bias)
    context = midpoint(mean).transpose(1, 2).flatten(-2)
    close(context, file["out/lorentz_context"])
    close(log_origin(context) / scale, file["out/lorentz_log"])
    close(attention(x, k, table=mixture.tables[1], bias=bias), file["out/lorentz_out"])


def test_hyperbolic_operations_at_their_edges(case: Case) -> None:
    file, k = case.file, torch.tensor(1.3, dtype=torch.float64)  # as the arrays' description has it
    x, flow = file["lossin/op_x"].double().requires_grad_(), file["lossin/op_cotangent"].double()
    close(shortened(x), file["out/op_clip5_f64"])
    there = exp_origin(x)
    close(there, file["out/op_exp_meru_f64"])
    close(torch.autograd.grad(there, x, flow)[0], file["grad/op_exp_meru_f64"])
    there = lift(x, k)
    close(there, file["out/op_exp_block_f64"])
    close(torch.autograd.grad(there[:, 1:], x, flow)[0], file["grad/op_exp_block_f64"])
    close(log_origin(there), file["out/op_log_block_f64"][:, 1:])
    few = len(file["out/op_dist_f64"])
    close(distances(x[:few], x[:few]), file["out/op_dist_f64"])


def test_regions(case: Case) -> None:
    file, model = case.file, case.model
    tokens = model.encode_videos(case.batch.videos)
    looked = model.regions.looked(case.means, tokens)
    close(model.regions.gated(*looked), file["out/region_gate"])
    close(model.regions.refined(case.means, tokens), file["out/region_refined"])
    made = model.embed(case.batch, case.means)
    close(model.clip_pooling(tokens.clips, tokens.clip_valid), file["out/video_pooled"])
    close(shortened(made.videos.regions), file["out/region_tangent"])
    close(point(made.videos.regions), file["out/regions"])
    close(point(made.videos.tangent), file["out/video_hyp"])
    close(point(made.queries.tangent), file["out/text_hyp"])
    for side, keys, valid in (
        ("frame", tokens.frames, tokens.frame_valid), ("clip", tokens.clips, tokens.clip_valid)
    ):  # fmt: skip
        attention: nn.MultiheadAttention = getattr(model.regions, f"{side}_attention")
        _, shares = attention(case.means, keys, keys, key_padding_mask=~valid, average_attn_weights=False)
        close(shares, file[f"out/{side}_region_attn"])


def test_means_of_clips(case: Case) -> None:
    """From their starts exactly; from ours as good as scikit-learn's."""
    file, clips = case.file, case.file["out/clip_feat"]
    valid = torch.ones(clips.shape[:2], dtype=torch.bool)
    found = lloyd(clips, valid, file["draw/kmeans_torch_init"], squared=False)
    close(found, file["out/kmeans_torch_centroids"])
    close(torch.cdist(clips, found).amin(2).sum(1), file["out/kmeans_torch_inertia"], atol=1e-3)
    assert torch.equal(torch.cdist(clips, case.means).argmin(2), file["out/kmeans_labels"])
    ours = means_of_clips(clips, valid, case.means.shape[1], starts="spread")
    inertia = torch.cdist(clips, ours).amin(2).square().sum(1).double()
    assert inertia.sum() <= file["out/kmeans_inertia"].sum() + 1e-3
    assert (inertia <= 1.01 * file["out/kmeans_inertia"]).all(), "both are the best of some starts, and no optimum"


def test_scores(case: Case) -> None:
    """In training as theirs; when ranking, padding is not there, which shows in the pairs where it would have won."""
    file, batch, model = case.file, case.batch, case.model
    made = model.embed(batch, case.means)
    seen = objective(case.settings).see(made, batch, 0)
    close(seen.cosine.clip, file["train/S_c"])
    close(seen.cosine.frame, file["train/S_f"])
    close(seen.dot.clip, file["train/s_c"], atol=DOT)
    close(seen.dot.frame, file["train/s_f"], atol=DOT)
    bare = objective(replace(case.settings, loss=replace(case.settings.loss, padding="none"))).see(made, batch, 0)
    padded = not_below_zero(bare.cosine, ~batch.videos.frame_valid.all(1))
    check_scores(file, padded, clip="S_c", frame="S_f")
    moved = padded.frame != bare.cosine.frame
    assert moved.any()
    assert (bare.cosine.frame[moved] < 0).all()
    assert (file["infer/S_f"][moved] == 0).all()
    own, (queries, _) = file["batch/text_labels"], file_order(file)
    for found_scores in (padded, bare.cosine):
        close(ranks(found_scores.fused(model.clip_weight), own)[queries], file["eval/ranks_0.7"])


def test_single_losses(case: Case) -> None:
    file, own, loss = case.file, case.batch.video_of_query, case.settings.loss

    def nce(scores: Tensor) -> Tensor:
        return query_nce(scores, own).mean() + video_nce(scores, own).mean()

    for side, letter in (("clip", "c"), ("frame", "f")):
        check_loss(file, f"{side}_nce", file[f"train/s_{letter}"], nce)
        check_triplet(file, f"{side}_trip", file[f"train/S_{letter}"], own, loss.margin)
        check_triplet(file, f"{side}_trip_lifted", file[f"lossin/S_{letter}_lifted"], own, loss.margin)

    def diversity(query: Tensor) -> Tensor:
        return focal_diversity(
            query, own, margin=loss.diversity_margin, scale=loss.diversity_scale, power=loss.diversity_power
        ).mean()

    check_loss(file, "div", file["out/query"], diversity)
    branches = len(file["out/curvatures"]) // 2

    def gap(k: Tensor) -> Tensor:
        return gaps(k[1:].view(2, branches), least=loss.least_gap, most=loss.most_gap).sum()

    check_loss(file, "curv_reg", file["out/curvatures"], gap)
    check_many(file, "exclusive", lambda q, c: exclusive(case, q, c), query="out/query", clip="out/clip_feat")
    names = {"text": "out/text_hyp", "video": "out/video_hyp"}
    check_many(file, "hyp", lambda t, v: hyperbolic(distances(t, v), own, loss), **names)
    names = {"text": "out/text_hyp", "regions": "out/regions"}
    check_many(file, "cov", lambda t, r: cover(t, r, own, loss), **names)


def check_many(file: Arrays, name: str, loss: Callable[..., Tensor], **inputs: str) -> None:
    leaves = [file[array].double().requires_grad_() for array in inputs.values()]
    value = loss(*leaves)
    close(value, file[f"loss/{name}_f64"])
    for side, got in zip(inputs, torch.autograd.grad(value, leaves), strict=True):
        close(got, file[f"grad/{name}_{side}_f64"])


def hyperbolic(apart: Tensor, own: Tensor, loss: CurvSpecLoss) -> Tensor:
    """As the sheet writes it, query by query."""
    logits = -loss.hyperbolic_scale * apart
    return torch.stack([logits[j][own].logsumexp(0) - logits[j, v] for j, v in enumerate(own.tolist())]).mean()


def cover(text: Tensor, regions: Tensor, own: Tensor, loss: CurvSpecLoss) -> Tensor:
    apart = torch.stack([distances(text, one).min(1).values for one in regions], dim=1)
    return query_nce(-apart, own, temperature=loss.cover_temperature).mean()


def exclusive(case: Case, query: Tensor, clips: Tensor) -> Tensor:
    valid = torch.ones(clips.shape[:2], dtype=torch.bool)
    far, matched = optimal_matching(query, clips, valid, case.batch.video_of_query)
    assert torch.equal(matched.nonzero().flatten(), case.file["draw/assign_query"].sort().values)
    return far.sum() / matched.sum()


def test_total_loss_and_gradients(case: Case) -> None:
    """In float32, and in float64 as the reference was."""
    file, model, batch = case.file, case.model, case.batch
    learned = objective(case.settings)
    made = model.embed(batch, case.means)
    own = batch.video_of_query
    seen = learned.see(made, batch, 0)
    close(to_regions(seen), file["out/cover"])
    close(distances(point(seen.query.tangent), point(seen.video.tangent))[:, own], file["out/hyp_dist"])
    total, parts = learned(made, batch, 0)
    assert parts.keys() == TERMS.keys()
    for name, theirs in TERMS.items():
        close(learned.weights[name] * parts[name], file[f"total/{theirs}"])
    close(total, file["total/loss_overall"])

    wide, wide_batch = in_double(model, batch)
    total, parts = learned(wide.embed(wide_batch, case.means.double()), wide_batch, 0)
    for name, theirs in TERMS.items():
        close(learned.weights[name] * parts[name], file[f"total/{theirs}_f64"])
    close(total, file["total/loss_f64"])
    torch.autograd.backward(total)
    check_gradients(file, "pgrad/", wide, OFFICIAL)


def test_learned_weights(case: Case) -> None:
    """Their raw numbers, with the gradient of the total; ours count from where the settings have them."""
    file, raw = case.file, case.file["lossin/raw_weights"].double()
    settings = replace(case.settings, model=replace(case.settings.model, learned_weights=True))
    learned = objective(settings)
    assert isinstance(learned, LearnedWeights)
    model, batch = in_double(CurvSpec(settings.model).eval(), case.batch)
    begin = [before_softplus(learned.weights[name], like=raw) for name in WEIGHED]
    close(softplus(torch.stack(begin)), torch.tensor([learned.weights[name] for name in WEIGHED]).double())
    ours = {f"loss_weights.{i}": x - at for i, (x, at) in enumerate(zip(raw, begin, strict=True))}
    model.load_state_dict({name: x.double() for name, x in OFFICIAL.read(file.below("sd/")).items()} | ours)
    total, _ = learned(model.embed(batch, case.means.double()), batch, 0)
    close(total, file["total/learned_loss_f64"])
    torch.autograd.backward(total)
    gradients = [weight.grad for weight in model.loss_weights]
    close(torch.stack([x for x in gradients if x is not None]), file["grad/raw_weights_f64"])
