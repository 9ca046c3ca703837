"""The whole network against the authors' own numbers: reference arrays d_msc_net, and their weights as a checkpoint.

Sizes and settings come from the file, but for those of the loss, which its description gives.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from prvr.core.types import Batch
from prvr.methods.msc.loss import LossConfig, MSCSettings, objective
from prvr.methods.msc.merging import connected_share, level_of
from prvr.methods.msc.network import MSC
from prvr.methods.msc.official import OFFICIAL
from prvr.methods.msc.prepare import MSCVideos, PrepareConfig, prepare_videos
from tests.parity.arrays import Arrays, close
from tests.parity.msc import their_batch, their_network
from tests.parts.make import video_features

LEVELS = PrepareConfig().levels


@pytest.fixture(scope="module")
def network(golden: Path) -> tuple[Arrays, MSC, Batch[MSCVideos]]:
    file = Arrays(golden / "msc_gmmformer" / "d_msc_net.npz")
    weights = file.below("sd/")
    config = their_network(
        weights,
        heads=int(file.number("meta/n_heads")),
        sft_factor=file.number("meta/sft_factor"),
        clip_weight=file.fused()[1],
    )
    model = MSC(config)
    model.load_state_dict(OFFICIAL.read(weights))
    return file, model.eval(), their_batch(file.below("batch/"), threshold=file.number("meta/sim_thr"))


def settings_of(model: MSC) -> MSCSettings:
    """The hardest negatives alone, so that nothing is drawn."""
    loss = LossConfig(hard_from_epoch=0, hard_pool=1)
    return MSCSettings(model=model.config, prepare=PrepareConfig(), loss=loss)


def test_raw_features_become_their_batch(network: tuple[Arrays, MSC, Batch[MSCVideos]]) -> None:
    file, _, batch = network
    positions = batch.videos.frames.shape[1]
    config = PrepareConfig(frames=positions, similarity_threshold=file.number("meta/sim_thr"))
    raw = file.below("raw_frames/")
    made = prepare_videos([video_features(frames) for frames in raw.values()], config)
    want = batch.videos.take(torch.tensor([int(v) for v in raw]))
    close(made.frames, want.frames)
    close(made.clips, want.clips)
    close(made.clip_size, want.clip_size)
    assert torch.equal(made.slot, want.slot)
    assert torch.equal(made.segment, want.segment)


def test_network_outputs(network: tuple[Arrays, MSC, Batch[MSCVideos]]) -> None:
    file, model, batch = network
    seen = objective(settings_of(model)).see(model.embed(batch), batch, 0)
    close(model.encode_words(batch.queries)[0], file["out/encoded_query"])
    close(seen.query, file["out/video_query"])
    close(batch.queries.sentence, file["out/eos_query"])
    close(seen.video.tokens.frames, file["out/frame_feat"])
    close(seen.video.tokens.clips, file["out/clip_feat"])
    close(seen.video.frames, file["out/proj_frame_feat"])
    close(seen.video.clips, file["out/proj_clip_feat"])
    close(seen.cosine.clip, file["out/clip_score_cos"])
    close(seen.cosine.frame, file["out/frame_score_cos"])
    close(seen.dot.clip, file["out/clip_score_dot"])
    close(seen.dot.frame, file["out/frame_score_dot"])
    close(seen.cosine.fused(model.clip_weight), file[file.fused()[0]])
    omega = connected_share(batch.videos.clips, file.number("meta/sim_thr"))
    close(omega.double().float(), file["out/omega"].float())
    assert float(level_of(omega, LEVELS).double().mean()) == file.number("loss/clip_num")


def test_network_losses_and_gradients(network: tuple[Arrays, MSC, Batch[MSCVideos]]) -> None:
    file, model, batch = network
    learned = objective(settings_of(model))
    total, parts = learned(model.embed(batch), batch, 0)
    weighted = {name: learned.weights[name] * part for name, part in parts.items()}
    close(total, file["loss/loss_overall"].float())
    for theirs, ours in (
        ("clip_nce", ["nce_clip"]),
        ("clip_trip", ["triplet_clip"]),
        ("frame_nce", ["nce_frame"]),
        ("frame_trip", ["triplet_frame"]),
        ("vidlvlctl", ["cbva"]),
        ("txt_rkd", ["tcpl_distance", "tcpl_angle"]),
    ):
        close(torch.stack([weighted[name] for name in ours]).sum(), file[f"loss/{theirs}"].float())
    model.zero_grad()
    torch.autograd.backward(total)
    gradients = OFFICIAL.write({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    for name, want in file.below("grad/").items():
        close(gradients[name], want)
    for name, got in gradients.items():
        close(got.norm(), file[f"grad_norm/{name}"].to(got.dtype))
        # a sum of numbers of either sign is only as exact as their size allows
        close(got.sum(), file[f"grad_sum/{name}"].to(got.dtype), atol=2e-5 * (1 + float(got.abs().sum())))


def test_padded_videos(network: tuple[Arrays, MSC, Batch[MSCVideos]]) -> None:
    file, model, batch = network
    frames, valid = file["padded/frames"], file["padded/mask"] > 0
    videos = replace(batch.videos, frames=frames, frame_valid=valid)
    made = model.encode_videos(videos).frames
    want = file["padded/frame_feat"]
    close(made, want[:, : frames.shape[1]])
    assert not want[:, frames.shape[1] :].any()
    # the released scores let zero vectors behind the video take part, so that none is below 0; ours do not
    padded = replace(batch, videos=videos)
    scores = objective(settings_of(model)).see(model.embed(padded), padded, 0).cosine.frame
    close(scores.clamp(min=0), file["padded/frame_score_cos"])
