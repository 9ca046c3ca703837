"""MS-SL against the authors' own numbers: reference arrays mssl. Sizes and settings come from the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from prvr.methods.mssl.pairs import pair_nce
from torch import Tensor

from prvr.core.types import Batch
from prvr.methods.family import RetrievalLoss
from prvr.methods.mssl.anchoring import anchored
from prvr.methods.mssl.network import MSSL, MSSLConfig, from_official, official_names
from prvr.methods.mssl.runs import MSSLSettings, learned, objective
from prvr.parts.nce import query_nce, video_nce
from prvr.parts.proposals import proposal_scores, window_table
from prvr.parts.uniform import UniformConfig, prepare_uniform
from prvr.parts.videos import cat_videos
from tests.parity.arrays import Arrays, close
from tests.parity.retrieval import (
    check_full_size,
    check_gradients,
    check_loss,
    check_pair_triplet,
    check_retrieval,
    check_triplet,
    check_words,
    in_double,
    pieces,
    read_batch,
    sizes,
)
from tests.parts.make import video_features

TERMS = ("nce_clip", "triplet_clip", "nce_frame", "triplet_frame")
DOT = 5e-5  # absolute tolerance of dot products, as the arrays' description has it


@pytest.fixture(scope="module")
def case(golden: Path) -> tuple[Arrays, MSSL, Batch]:
    file = Arrays(golden / "mssl" / "mssl.npz")
    config = MSSLConfig(**sizes(file))
    model = MSSL(config).eval()
    model.load_state_dict(from_official(file.below("sd/")))
    return file, model, read_batch(file)


def test_raw_features_become_their_batch(case: tuple[Arrays, MSSL, Batch]) -> None:
    file, model, batch = case
    config = UniformConfig(frames=model.config.frames, clips=model.config.clips)
    raw = [prepare_uniform(video_features(x), config) for x in pieces(file, "frames", "frame_lengths")]
    made, longest = cat_videos([raw[v] for v in file["batch/video_order"].tolist()]), batch.videos.frames.shape[1]
    close(made.clips, batch.videos.clips)
    close(made.frames[:, :longest], batch.videos.frames)
    assert not made.frame_valid[:, longest:].any()
    assert torch.equal(made.frame_valid[:, :longest], batch.videos.frame_valid)
    assert (made.clip_size > 0).all()
    check_words(file, batch, model.config.max_words)


def test_towers_and_proposals(case: tuple[Arrays, MSSL, Batch]) -> None:
    file, model, batch = case
    words, valid = batch.queries.words, batch.queries.valid
    tokens = model.query_encoder(model.query_input(words), valid)
    close(tokens[valid], file["out/token_feat"][valid])
    query = model.encode_queries(batch.queries)
    close(query, file["out/query"])
    seen = model.contextual(batch.videos)
    close(seen.clips, file["out/clip_feat"])
    close(seen.frames[seen.frame_valid], file["out/frame_feat"][seen.frame_valid])
    made = model.encode_videos(batch.videos)
    close(made.clips[0], file["out/proposals_v0"])
    close(made.clips.sum(1), file["out/proposals_sum"], atol=1e-3)  # sums of 528 numbers
    assert torch.equal(made.clips[:, : model.config.clips], window_table(32, seen.clips)[:32] @ seen.clips)
    found = proposal_scores(query, seen.clips, seen.clip_valid)
    assert torch.equal(found.winner, file["out/key_clip"])
    own = batch.video_of_query
    close(made.frames[own, found.winner.gather(1, own[:, None]).squeeze(1)], file["out/r_train"])
    close(made.frames[0][found.winner[:, 0]], file["out/r_infer_v0"])


def test_training_scores(case: tuple[Arrays, MSSL, Batch]) -> None:
    file, model, batch = case
    outputs = anchored(model(batch), batch.video_of_query, matching=False)
    close(outputs.cosine.clip, file["train/S_c"])
    close(outputs.dot.clip, file["train/s_c"], atol=DOT)
    close(outputs.cosine.frame, file["train/S_f"])
    close(outputs.dot.frame, file["train/s_f"], atol=DOT)


def test_scores_of_retrieval(case: tuple[Arrays, MSSL, Batch]) -> None:
    file, model, batch = case
    check_retrieval(file, model, batch, clip="S_c", frame="S_f")


def test_single_losses(case: tuple[Arrays, MSSL, Batch]) -> None:
    file, _, batch = case
    own, margin = batch.video_of_query, file.settings()["margin"]

    def nce(scores: Tensor) -> Tensor:
        return query_nce(scores, own).mean() + video_nce(scores, own).mean()

    check_loss(file, "clip_nce", file["train/s_c"], nce)
    check_loss(file, "frame_nce", file["train/s_f"], lambda x: pair_nce(x).mean())
    check_triplet(file, "clip_trip", file["train/S_c"], own, margin)
    check_triplet(file, "clip_trip_lifted", file["lossin/S_c_lifted"], own, margin)
    check_pair_triplet(file, "frame_trip", file["lossin/S_f_jittered"], margin)
    check_pair_triplet(file, "frame_trip_lifted", file["lossin/S_f_lifted"], margin)


def test_total_loss_and_gradients(case: tuple[Arrays, MSSL, Batch]) -> None:
    """The hardest negatives alone, so that nothing is drawn; in float64, as the reference was."""
    file, model, batch = case
    nce_clip, nce_frame = file.settings()["nce_weights"]
    loss = RetrievalLoss(
        nce_clip=nce_clip, nce_frame=nce_frame, margin=file.settings()["margin"], hard_from_epoch=0, hard_pool=1
    )
    settings = MSSLSettings(model=model.config, loss=loss)
    total, parts = learned(settings)(model(batch), batch, 0)
    weights = objective(settings).weights
    for name, theirs in zip(TERMS, ("clip_nce", "clip_trip", "frame_nce", "frame_trip"), strict=True):
        close(weights[name] * parts[name], file[f"total/{theirs}_loss"])
    close(total, file["total/loss_overall"])

    wide, wide_batch = in_double(model, batch)
    total, _ = learned(settings)(wide(wide_batch), wide_batch, 0)
    close(total, file["total/loss_f64"])
    torch.autograd.backward(total)
    check_gradients(file, "pgrad/", wide, official_names())


def test_parameters_of_full_size(golden: Path) -> None:
    def make(video_width: int, text_width: int) -> MSSL:
        return MSSL(MSSLConfig(video_width=video_width, text_width=text_width))

    check_full_size(golden, "mssl", make, official_names())
