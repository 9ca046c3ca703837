"""BGM-Net against the authors' own numbers: reference arrays bgmnet. Sizes and settings come from the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from prvr.core.types import Batch, Made
from prvr.methods.bgmnet.loss import BGMNetLoss, Settings, objective
from prvr.methods.bgmnet.network import prepare_interpolated
from prvr.methods.bgmnet.official import OFFICIAL
from prvr.methods.mssl.anchoring import alignment, own_moments
from prvr.methods.mssl.loss import pair_nce
from prvr.methods.mssl.network import MSSL, Guides, MSSLConfig
from prvr.parts.matching import place_in_video
from prvr.parts.nce import query_nce, video_nce
from prvr.parts.proposals import proposal_scores, window_bounds, window_table
from prvr.parts.uniform import UniformConfig
from prvr.parts.videos import ClipVideos
from tests.parity.arrays import Arrays, close
from tests.parity.retrieval import (
    FullSize,
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

MATCHING = {"on": True, "off": False}
TERMS = {
    "nce_clip": "clip_nce",
    "triplet_clip": "clip_trip",
    "nce_frame": "frame_nce",
    "triplet_frame": "frame_trip",
    "align": "clip_align",
}
DOT = 5e-5  # absolute tolerance of dot products, as the arrays' description has it


@pytest.fixture(scope="module")
def case(golden: Path) -> tuple[Arrays, MSSL, Batch[ClipVideos]]:
    file = Arrays(golden / "bgmnet" / "bgmnet.npz")
    config = MSSLConfig(**sizes(file))
    assert len(window_bounds(config.clips)) == file.settings()["moments"]
    model = MSSL(config).eval()
    model.load_state_dict(OFFICIAL.read(file.below("sd/")))
    return file, model, read_batch(file)


def settings_of(file: Arrays, model: MSSL, *, matching: bool) -> Settings:
    """The hardest negatives alone, so that nothing is drawn."""
    nce_clip, nce_frame = file.settings()["nce_weights"]
    loss = BGMNetLoss(
        nce_clip=nce_clip,
        nce_frame=nce_frame,
        margin=file.settings()["margin"],
        hard_from_epoch=0,
        hard_pool=1,
        align=file.settings()["align_weight"],
        match_from_epoch=0 if matching else 1,
    )
    return Settings(model=model.config, prepare=UniformConfig(clips=model.config.clips), loss=loss)


def moments_of(batch: Batch[ClipVideos], made: Made[Tensor, Guides], *, matching: bool) -> Tensor:
    place, query = place_in_video(batch.video_of_query), made.queries.detach()
    rows = torch.zeros(len(batch.videos), int(place.max()) + 1, query.shape[1], dtype=query.dtype)
    rows[batch.video_of_query, place] = query
    clips = made.videos.clips.detach()
    table, where = window_table(clips.shape[1], clips), (batch.video_of_query, place)
    return own_moments(rows, clips, made.videos.clip_valid, table, matching=matching, place=where)


def test_raw_features_become_their_batch(case: tuple[Arrays, MSSL, Batch[ClipVideos]]) -> None:
    file, model, batch = case
    config = UniformConfig(frames=model.config.frames, clips=model.config.clips)
    raw = [video_features(x) for x in pieces(file, "frames", "frame_lengths")]
    made = prepare_interpolated([raw[v] for v in file["batch/video_order"].tolist()], config)
    longest = batch.videos.frames.shape[1]
    close(made.clips, batch.videos.clips)
    assert bool((made.clips == 0).all(2).any()), "no video is so short that a clip is zero"
    close(made.frames[:, :longest], batch.videos.frames)
    assert torch.equal(made.frame_valid[:, :longest], batch.videos.frame_valid)
    assert (made.clip_size > 0).all()
    check_words(file, batch, model.config.max_words)


def test_towers_and_moments(case: tuple[Arrays, MSSL, Batch[ClipVideos]]) -> None:
    file, model, batch = case
    close(model.encode_queries(batch.queries), file["out/query"])
    seen = model.contextual(batch.videos)
    close(seen.clips, file["out/clip_feat"])
    close(seen.frames[seen.frame_valid], file["out/frame_feat"][seen.frame_valid])
    made = model.encode_videos(batch.videos)
    close(made.clips[0], file["out/moments_v0"])
    close(made.clips.sum(1), file["out/moments_sum"], atol=1e-3)  # sums of as many numbers as there are windows
    embedded = model.embed(batch)
    found = proposal_scores(embedded.queries, seen.clips, seen.clip_valid)
    assert torch.equal(found.winner, file["out/argmax_moment"])
    assert torch.equal(moments_of(batch, embedded, matching=False), file["match/greedy"])
    assert torch.equal(moments_of(batch, embedded, matching=True), file["match/assigned"])


@pytest.mark.parametrize("switch", MATCHING)
def test_training_scores(case: tuple[Arrays, MSSL, Batch[ClipVideos]], switch: str) -> None:
    file, model, batch = case
    learned = objective(settings_of(file, model, matching=MATCHING[switch]))
    seen = learned.see(model.embed(batch), batch, 0)
    close(seen.cosine.clip, file[f"train_{switch}/S_m"])
    close(seen.dot.clip, file[f"train_{switch}/X_m"], atol=DOT)
    close(seen.cosine.frame, file[f"train_{switch}/W"])
    close(seen.dot.frame, file[f"train_{switch}/Z"], atol=DOT)
    queries, anchors = (torch.nn.functional.normalize(x, dim=1) for x in (seen.query, seen.video))
    close(queries @ queries.T, file[f"train_{switch}/qq"])
    close(anchors @ anchors.T, file[f"train_{switch}/EE"])
    if switch == "on":
        close(seen.video, file["align_on/E"])


def test_content_vectors(case: tuple[Arrays, MSSL, Batch[ClipVideos]]) -> None:
    """As retrieval sees them: what each moment of a video guides to holds those of the assigned ones."""
    file, model, batch = case
    guided = model.encode_videos(batch.videos).frames[batch.video_of_query, file["match/assigned"]]
    close(guided, file["out/g_on"])


def test_scores_of_retrieval(case: tuple[Arrays, MSSL, Batch[ClipVideos]]) -> None:
    file, model, batch = case
    check_retrieval(file, model, batch, clip="S_m", frame="S_c")


def test_single_losses(case: tuple[Arrays, MSSL, Batch[ClipVideos]]) -> None:
    file, _, batch = case
    own, margin = batch.video_of_query, file.settings()["margin"]

    def nce(scores: Tensor) -> Tensor:
        return query_nce(scores, own).mean() + video_nce(scores, own).mean()

    for switch in MATCHING:
        check_loss(file, f"nce_m_{switch}", file[f"train_{switch}/X_m"], nce)
        check_loss(file, f"nce_sq_{switch}", file[f"train_{switch}/Z"], lambda x: pair_nce(x).mean())
    check_triplet(file, "trip_m_on", file["train_on/S_m"], own, margin)
    check_pair_triplet(file, "trip_sq_on", file["lossin/W_jittered"], margin)


def test_alignment_and_its_gradients(case: tuple[Arrays, MSSL, Batch[ClipVideos]]) -> None:
    file, _, batch = case
    query, anchors = (file[name].double().requires_grad_() for name in ("out/query", "align_on/E"))
    loss = alignment(query, anchors).mean()
    close(loss, file["loss/align_on_f64"])
    by_query, by_anchor = torch.autograd.grad(loss, [query, anchors])
    close(by_query, file["grad/align_on_q_f64"])
    close(by_anchor, file["grad/align_on_E_f64"])

    clips = file["out/clip_feat"].double()
    chosen = torch.stack([batch.video_of_query, file["match/greedy"]], dim=1)
    pairs, who = torch.unique(chosen, dim=0, return_inverse=True)
    assert len(pairs) < len(chosen), "no two queries of a video like the same moment"
    shares = window_table(clips.shape[1], clips)[pairs[:, 1]]
    moments = torch.einsum("pc,pcd->pd", shares, clips[pairs[:, 0]]).requires_grad_()
    query = file["out/query"].double().requires_grad_()
    loss = alignment(query, moments[who]).mean()
    # clips and queries were stored in float32, and the loss was made of the network's own
    torch.testing.assert_close(loss, file["loss/align_off_f64"], rtol=1e-6, atol=1e-6)
    by_query, by_moment = torch.autograd.grad(loss, [query, moments])
    torch.testing.assert_close(by_query, file["grad/align_off_q_f64"], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(by_moment[who], file["grad/align_off_P_f64"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("switch", MATCHING)
def test_total_loss_and_gradients(case: tuple[Arrays, MSSL, Batch[ClipVideos]], switch: str) -> None:
    """In float64, as the reference was."""
    file, model, batch = case
    learned = objective(settings_of(file, model, matching=MATCHING[switch]))
    total, parts = learned(model.embed(batch), batch, 0)
    assert parts.keys() == TERMS.keys()
    for name, theirs in TERMS.items():
        close(learned.weights[name] * parts[name], file[f"total_{switch}/{theirs}_loss"])
    close(total, file[f"total_{switch}/loss_overall"])

    wide, wide_batch = in_double(model, batch)
    total, _ = learned(wide.embed(wide_batch), wide_batch, 0)
    close(total, file[f"total_{switch}/loss_f64"])
    torch.autograd.backward(total)
    check_gradients(file, f"pgrad_{switch}/", wide, OFFICIAL)


def test_parameters_of_full_size(golden: Path) -> None:
    def make(size: FullSize, heads: int) -> MSSL:
        return MSSL(MSSLConfig(video_width=size.video, text_width=size.text, hidden=size.hidden, heads=heads))

    check_full_size(golden, "bgmnet", make, OFFICIAL)
