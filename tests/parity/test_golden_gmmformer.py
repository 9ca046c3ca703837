"""GMMFormer and GMMFormer v2 against the authors' own numbers: reference arrays h_gmmformer_v1 and h_gmmformer_v2.

Sizes and settings come from the files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from prvr.core.types import Batch, Made, VideoTokens
from prvr.methods.family import ComparedTwice
from prvr.methods.gmmformer import loss as loss_v1
from prvr.methods.gmmformer.network import GMMFormer, GMMFormerConfig
from prvr.methods.gmmformer.official import OFFICIAL as OFFICIAL_V1
from prvr.methods.gmmformer_v2 import loss as loss_v2
from prvr.methods.gmmformer_v2.network import GMMFormerV2, GMMFormerV2Config
from prvr.methods.gmmformer_v2.official import OFFICIAL as OFFICIAL_V2
from prvr.methods.official import Official
from prvr.parts.diversity import focal_diversity, query_diversity
from prvr.parts.matching import optimal_matching
from prvr.parts.objective import Objective
from prvr.parts.towers import TwiceRead
from prvr.parts.uniform import UniformConfig
from prvr.parts.videos import ClipVideos
from tests.parity.arrays import Arrays, close
from tests.parity.retrieval import read_batch


@dataclass(frozen=True)
class Case:
    """One system with the weights and the batch of its file."""

    file: Arrays
    model: GMMFormer | GMMFormerV2
    objective: Objective[Made[TwiceRead, VideoTokens], ComparedTwice]
    official: Official
    batch: Batch[ClipVideos]


def sizes(file: Arrays) -> dict[str, Any]:
    weights = file.below("sd/")
    return {
        "video_width": weights["frame_input_proj.net.1.weight"].shape[1],
        "text_width": weights["query_input_proj.net.1.weight"].shape[1],
        "hidden": weights["clip_input_proj.net.1.weight"].shape[0],
        "heads": int(file.number("meta/n_heads")),
        "max_words": len(weights["query_pos_embed.position_embeddings.weight"]),
        "frames": len(weights["frame_pos_embed.position_embeddings.weight"]),
        "clips": file["batch/clip_video_features"].shape[1],
        "clip_weight": file.fused()[1],
    }


def case_v1(golden: Path) -> Case:
    file = Arrays(golden / "msc_gmmformer" / "h_gmmformer_v1.npz")
    config = GMMFormerConfig(**sizes(file), input_dropout=0.0, dropout=0.0, gaussian_length=None)
    model = GMMFormer(config).eval()
    model.load_state_dict(OFFICIAL_V1.read(file.below("sd/")))
    nce_clip, nce_frame, diversity = file["loss_cfg/loss_factor"].tolist()
    margin, scale = file["loss_cfg/neg_factor"].tolist()
    loss = loss_v1.GMMFormerLoss(
        nce_clip=nce_clip,
        nce_frame=nce_frame,
        margin=file.number("loss_cfg/margin"),
        hard_from_epoch=0,
        hard_pool=1,
        diversity=diversity,
        diversity_margin=margin,
        diversity_scale=scale,
    )
    learned = loss_v1.objective(loss_v1.Settings(model=config, prepare=UniformConfig(), loss=loss))
    return Case(file, model, learned, OFFICIAL_V1, read_batch(file))


def case_v2(golden: Path) -> Case:
    file = Arrays(golden / "msc_gmmformer" / "h_gmmformer_v2.npz")
    config = GMMFormerV2Config(**sizes(file), sft_factor=file.number("meta/sft_factor"), input_dropout=0.0, dropout=0.0)
    model = GMMFormerV2(config).eval()
    model.load_state_dict(OFFICIAL_V2.read(file.below("sd/")))
    nce_clip, nce_frame, diversity, matching = file["loss_cfg/loss_factor"].tolist()
    margin, scale, power = file["loss_cfg/neg_factor"].tolist()
    loss = loss_v2.GMMFormerV2Loss(
        nce_clip=nce_clip,
        nce_frame=nce_frame,
        margin=file.number("loss_cfg/margin"),
        hard_from_epoch=0,
        hard_pool=1,
        diversity=diversity,
        diversity_margin=margin,
        diversity_scale=scale,
        diversity_power=power,
        matching=matching,
    )
    learned = loss_v2.objective(loss_v2.Settings(model=config, prepare=UniformConfig(), loss=loss))
    return Case(file, model, learned, OFFICIAL_V2, read_batch(file))


@pytest.fixture(scope="module", params=[case_v1, case_v2], ids=["v1", "v2"])
def case(request: pytest.FixtureRequest, golden: Path) -> Case:
    make: Callable[[Path], Case] = request.param
    return make(golden)


def test_outputs(case: Case) -> None:
    file = case.file
    made = case.model.embed(case.batch)
    seen = case.objective.see(made, case.batch, 0)
    close(made.queries.query, file["out/video_query"])
    want = file["out/frame_feat"]
    frames = seen.video.frames
    if want.ndim == 2:
        want = want[:, None]  # version 1 makes one vector of all frames
    close(frames, want[:, : frames.shape[1]])
    assert not want[:, frames.shape[1] :].any()  # version 2 pads to the longest that there can be
    close(seen.video.clips, file["out/clip_feat"])
    close(seen.cosine.clip, file["out/clip_score_cos"])
    close(seen.cosine.frame, file["out/frame_score_cos"])
    close(seen.dot.clip, file["out/clip_score_dot"])
    close(seen.dot.frame, file["out/frame_score_dot"])
    close(seen.cosine.fused(case.model.clip_weight), file[file.fused()[0]])


def test_losses_and_gradients(case: Case) -> None:
    """The hardest negatives alone, so that nothing is drawn."""
    file = case.file
    total, parts = case.objective(case.model.embed(case.batch), case.batch, 0)
    names = {
        "nce_clip": "clip_nce_unweighted",
        "nce_frame": "frame_nce_unweighted",
        "triplet_clip": "clip_trip",
        "triplet_frame": "frame_trip",
        "diversity": "qdl_unweighted",
        "matching": "optimal_matching_unweighted",
    }
    for name, part in parts.items():
        close(part, file[f"loss/{names[name]}"])
    assert {f"loss/{names[name]}" for name in parts} | {"loss/total"} == {n for n in file if n.startswith("loss/")}
    close(total, file["loss/total"])
    case.model.zero_grad()
    torch.autograd.backward(total)
    found = {name: p.grad for name, p in case.model.named_parameters() if p.grad is not None}
    check_gradients(file, case.official.write(found))


def check_gradients(file: Arrays, gradients: Mapping[str, Tensor]) -> None:
    assert {f"grad_norm/{name}" for name in gradients} == {name for name in file if name.startswith("grad_norm/")}
    for name, got in gradients.items():
        close(got.norm(), file[f"grad_norm/{name}"].to(got.dtype))
        # a sum of numbers of either sign is only as exact as their size allows
        close(got.sum(), file[f"grad_sum/{name}"].to(got.dtype), atol=2e-5 * (1 + float(got.abs().sum())))


def solo(file: Arrays, name: str, loss: Callable[..., Tensor], *inputs: str) -> None:
    """A single loss and its gradients, in both precisions."""
    for ending, dtype in (("", torch.float32), ("_f64", torch.float64)):
        leaves = [file[f"solo/{array}"].to(dtype).requires_grad_() for array in inputs]
        value = loss(*leaves)
        close(value, file[f"solo/{name}/loss{ending}"])
        for array, got in zip(inputs, torch.autograd.grad(value, leaves), strict=True):
            close(got, file[f"solo/{name}/grad_{array}{ending}"])


def test_diversity_alone(case: Case) -> None:
    own = case.file["solo/labels"]
    names = {name.split("/")[1] for name in case.file if name.startswith("solo/qdl")}
    assert names
    for name in sorted(names):
        _, margin, scale, *power = [part.lstrip("mal") for part in name.split("_")]

        def loss(query: Tensor, m: float = float(margin), s: float = float(scale), p: list[str] = power) -> Tensor:
            if p:
                return focal_diversity(query, own, margin=m, scale=s, power=float(p[0])).mean()
            return query_diversity(query, own, margin=m, scale=s).mean()

        solo(case.file, name, loss, "query")


def test_matching_alone(golden: Path) -> None:
    file = case_v2(golden).file
    own, clips = file["solo/labels"], file["solo/clip_feat"]
    valid = torch.ones(clips.shape[:2], dtype=torch.bool)

    def loss(query: Tensor, clip_feat: Tensor) -> Tensor:
        far, matched = optimal_matching(query, clip_feat, valid, own)
        return far.sum() / matched.sum()

    solo(file, "om", loss, "query", "clip_feat")
    far, matched = optimal_matching(file["solo/query"], clips, valid, own)
    chosen = file["solo/om/assigned_clip"]
    assert torch.equal(matched, chosen >= 0)
    cosine = nn.functional.cosine_similarity(file["solo/query"], clips[own, chosen.clamp(min=0)])
    close(far[matched], (1 - cosine)[matched])
