"""AMDNet against the authors' own numbers (reference arrays amdnet); sizes and settings come from the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from prvr.core.types import Batch, QueryBatch
from prvr.methods.amdnet.loss import AMDNetLoss, Settings, mask_diversity, moment_relevance, objective
from prvr.methods.amdnet.network import AMDNet, AMDNetConfig, MeansConfig, prepare_means
from prvr.methods.amdnet.official import OFFICIAL
from prvr.methods.amdnet.windows import window_masks
from prvr.parts.nce import query_nce, video_nce
from prvr.parts.scoring import cosine_scores
from prvr.parts.videos import FrameVideos
from tests.parity.arrays import Arrays, close
from tests.parity.retrieval import FullSize, check_full_size, in_double
from tests.parts.make import video_features

MASKS = 5e-5  # the description's tolerance of masks
NARROW = 5e-4  # what one bit of a place moves the mask of a narrow window by in float32


@pytest.fixture(scope="module")
def file(golden: Path) -> Arrays:
    return Arrays(golden / "amdnet" / "amdnet.npz")


@pytest.fixture(scope="module")
def settings(file: Arrays) -> Settings:
    said = file.settings()
    model = AMDNetConfig(
        video_width=said["visual"],
        text_width=said["query"],
        hidden=said["hidden"],
        heads=said["heads"],
        frames=said["map_size"],
        input_dropout=0.0,
        dropout=0.0,
    )
    loss = AMDNetLoss(
        nce=said["nce_weight"],
        diversity_diagonal=said["lambda_div"],
        relevance=said["rel_weight"],
        relevance_margin=said["delta"],
    )
    assert said["heads"] == said["moments"]
    return Settings(model=model, prepare=MeansConfig(frames=said["map_size"]), loss=loss)


@pytest.fixture(scope="module")
def network(file: Arrays, settings: Settings) -> AMDNet:
    model = AMDNet(settings.model)
    model.load_state_dict(OFFICIAL.read(file.below("sd/")))
    return model.eval()


def in_file_order(file: Arrays, config: MeansConfig) -> FrameVideos:
    parts = torch.split(file["raw/frames"], file["raw/frame_lengths"].tolist())
    return prepare_means([video_features(x) for x in parts], config)


def queries_of(sentence: Tensor) -> QueryBatch:
    return QueryBatch(words=sentence[:, None], valid=torch.ones(len(sentence), 1, dtype=torch.bool), sentence=sentence)


@pytest.fixture(scope="module")
def batch(file: Arrays, settings: Settings) -> Batch[FrameVideos]:
    return Batch(
        videos=in_file_order(file, settings.prepare).take(file["batch/video_order"]),
        queries=queries_of(file["batch/text_feat"]),
        video_of_query=file["batch/text_labels"],
    )


def test_raw_features_become_their_batch(file: Arrays, batch: Batch[FrameVideos]) -> None:
    close(batch.videos.frames, file["batch/clip_video_features"])
    tokens = torch.split(file["raw/tokens"], file["raw/token_lengths"].tolist())
    per_video = file["raw/caps_per_video"].tolist()
    by_video = torch.split(torch.cat(tokens), per_video)
    close(torch.cat([by_video[v] for v in file["batch/video_order"].tolist()]), batch.queries.sentence)
    owner = torch.arange(len(per_video)).repeat_interleave(torch.tensor(per_video)[file["batch/video_order"]])
    assert torch.equal(owner, batch.video_of_query)


def test_network(file: Arrays, settings: Settings, network: AMDNet, batch: Batch[FrameVideos]) -> None:
    close(network.encode_queries(batch.queries), file["out/query"])
    h = network.video_positions(network.video_input(batch.videos.frames))
    close(h, file["out/V"])
    parts = network.parts(batch.videos)
    close(parts.whole, file["out/vbar"])
    close(parts.anchors, file["out/center_width"])
    close(parts.masks, file["out/masks"], atol=MASKS)
    close(parts.moments, file["out/moments"], atol=2e-4)  # sums over all places, each with its mask's rounding
    close(network.plain(h)[0], file["out/O0"])
    close(network.windowed(file["out/O0"], gain=file["out/masks"])[0], file["out/O1"])
    close(parts.tokens, file["out/G"])
    seen = objective(settings).see(network.embed(batch), batch, 0)
    close(seen.cosine.frame, file["train/S"])
    close(seen.dot.frame, file["train/s"], atol=5e-5)


def test_windows_of_all_widths(file: Arrays, settings: Settings) -> None:
    want = file["grid/masks"]
    centre, width = file["grid/center"][:, None], file["grid/width"][:, None]
    places, valid = torch.linspace(0, 1, settings.model.frames), torch.ones(len(want), want.shape[1], dtype=torch.bool)
    close(window_masks(centre.double(), width.double(), places.double(), valid)[:, 0], want)
    single = window_masks(centre, width, places, valid)[:, 0]
    wide = width[:, 0] >= 0.1
    close(single[wide], want[wide], atol=MASKS)
    close(single, want, atol=NARROW)


def test_inference_in_file_order(file: Arrays, network: AMDNet, batch: Batch[FrameVideos], settings: Settings) -> None:
    order = file["batch/video_order"].tolist()
    split = torch.split(batch.queries.sentence, file["raw/caps_per_video"][order].tolist())
    sentence = torch.cat([split[order.index(v)] for v in range(len(order))])
    tokens = network.encode_videos(in_file_order(file, settings.prepare))
    scores = cosine_scores(network.encode_queries(queries_of(sentence)), tokens)
    close(scores.fused(network.clip_weight), file["eval/S"])


def test_losses_and_their_gradients(file: Arrays, settings: Settings, batch: Batch[FrameVideos]) -> None:
    truth, loss = batch.video_of_query, settings.loss
    scores = file["train/s"].double().requires_grad_()
    nce = query_nce(scores, truth).mean() + video_nce(scores, truth).mean()
    close(nce, file["loss/nce_f64"])
    close(torch.autograd.grad(nce, scores)[0], file["grad/nce_f64"])
    masks = file["out/masks"].requires_grad_()
    div = mask_diversity(masks, diagonal=loss.diversity_diagonal).mean()
    close(div, file["loss/div"])
    close(torch.autograd.grad(div, masks)[0], file["grad/div"])
    query, whole, moments = (file[f"out/{name}"].double().requires_grad_() for name in ("query", "vbar", "moments"))
    rel = moment_relevance(query, whole, moments, truth, margin=loss.relevance_margin).mean()
    close(rel, file["loss/rel_f64"])
    for got, name in zip(torch.autograd.grad(rel, [query, whole, moments]), ("q", "vbar", "P"), strict=True):
        close(got, file[f"grad/rel_{name}_f64"])


def test_total_and_the_gradient_of_every_weight(
    file: Arrays, settings: Settings, network: AMDNet, batch: Batch[FrameVideos]
) -> None:
    model, wide = in_double(network, batch)
    total, parts = objective(settings)(model.embed(wide), wide, 0)
    close(total, file["total/loss_f64"])
    close(total.float(), file["total/loss"])
    close(parts["relevance"].float(), file["total/rel"])
    torch.autograd.backward(total)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    found = OFFICIAL.write(gradients)
    wanted = file.below("pgrad/")
    assert found.keys() == wanted.keys()
    for name, want in wanted.items():
        torch.testing.assert_close(found[name].float(), want, rtol=1e-5, atol=1e-6)


def test_as_many_parameters_as_released(golden: Path) -> None:
    def make(size: FullSize, heads: int) -> AMDNet:
        return AMDNet(AMDNetConfig(video_width=size.video, text_width=size.text, hidden=size.hidden, heads=heads))

    check_full_size(golden, "amdnet", make, OFFICIAL)
