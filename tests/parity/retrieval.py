"""How the reference arrays of MS-SL's family are read: their batches, and triplet losses with recorded draws."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from prvr.core.types import Batch, BranchScores, QueryBatch, VideosRead, VideoTokens
from prvr.core.vectors import unit_rows
from prvr.methods.official import Official
from prvr.parts.triplet import query_triplet, video_triplet
from prvr.parts.videos import ClipVideos
from tests.parity.arrays import Arrays, close

Loss = Callable[[Tensor], Tensor]
Network = TypeVar("Network", bound=nn.Module)


class Retrieves(Protocol):
    """A model that compares queries and videos by itself."""

    def encode_queries(self, queries: QueryBatch) -> Tensor: ...

    def encode_videos(self, videos: ClipVideos) -> VideoTokens: ...

    def scores(self, query: Tensor, tokens: VideoTokens) -> BranchScores: ...


def sizes(file: Arrays) -> dict[str, Any]:
    """The settings of the network that the file is of, without dropout."""
    said = file.settings()
    return {
        "video_width": said["visual"],
        "text_width": said["query"],
        "hidden": said["hidden"],
        "heads": said["heads"],
        "max_words": said["max_desc_l"],
        "frames": said["max_ctx_l"],
        "clips": said["map_size"],
        "input_dropout": 0.0,
        "dropout": 0.0,
    }


def read_batch(file: Arrays) -> Batch[ClipVideos]:
    """Frames and clips of equal stretches, with words."""
    clips, frames = file["batch/clip_video_features"], file["batch/frame_video_features"]
    words, valid = file["batch/text_feat"], file["batch/text_mask"] > 0
    return Batch(
        videos=ClipVideos(
            frames=frames,
            frame_valid=file["batch/videos_mask"] > 0,
            clips=clips,
            clip_size=torch.ones(clips.shape[:2]),
            frame_spans=torch.zeros(*frames.shape[:2], 2),
        ),
        queries=QueryBatch(words=words, valid=valid, sentence=words[:, 0]),
        video_of_query=file["batch/text_labels"],
    )


def in_double(model: Network, batch: Batch[VideosRead]) -> tuple[Network, Batch[VideosRead]]:
    """The same network and the same batch in float64."""
    wide = batch.each(lambda x: x.double() if x.is_floating_point() else x)
    return copy.deepcopy(model).double(), wide


def pieces(file: Arrays, name: str, lengths: str) -> list[Tensor]:
    """What was stored end to end, one tensor a video or a query."""
    return list(torch.split(file[f"raw/{name}"], file[f"raw/{lengths}"].tolist()))


def file_order(file: Arrays) -> tuple[Tensor, Tensor]:
    """For queries and videos in the order of the file: where each is in the batch -> (Q,), (V,)."""
    order = file["batch/video_order"]
    videos = order.argsort()
    counts = file["raw/caps_per_video"]
    starts = counts[order].cumsum(0) - counts[order]  # of each video's captions in the batch
    queries = torch.cat([starts[v] + torch.arange(int(n)) for v, n in zip(videos, counts, strict=True)])
    return queries, videos


def rank_among(scores: Tensor, own: Tensor, chosen: Tensor) -> Tensor:
    """How many of a row's negatives score higher than the chosen one: scores, own (R, C), chosen (R,) -> (R,)."""
    value = scores.gather(1, chosen[:, None])
    assert not own.gather(1, chosen[:, None]).any()
    return ((scores > value) & ~own).sum(1)


def video_modes(file: Arrays, name: str) -> Iterator[str]:
    """How a triplet loss chose its negatives: `hard_pool3` and the like, and `easy`; all that the file has of it."""
    modes = [found[1] for found in file.matching(rf"loss/{name}_(hard_pool\d+|easy)_f64")]
    assert "easy" in modes
    assert len(modes) > 1
    yield from modes


def check_triplet(file: Arrays, name: str, scores: Tensor, own: Tensor, margin: float) -> None:
    """Queries against videos: value and gradient with the recorded negatives, and within bounds with our own draws."""
    member = own[:, None] == torch.arange(scores.shape[1])  # (Q, V)
    for mode in video_modes(file, name):
        by_query = rank_among(scores, member, file[f"draw/{name}_{mode}/t2v_neg_video"])
        by_video = rank_among(scores.T, member.T, file[f"draw/{name}_{mode}/v2t_neg_query"])
        pool = pool_of(mode)
        hardest = None if pool is None else 1
        assert hardest is None or not by_video.any()

        def recorded(x: Tensor, q: Tensor = by_query, v: Tensor = by_video) -> Tensor:
            one = query_triplet(x, own, margin=margin, pool=None, ranks=q).mean()
            return one + video_triplet(x, own, margin=margin, pool=None, ranks=v).mean()

        def drawn(x: Tensor, q: int | None = pool, v: int | None = hardest) -> Tensor:
            one = query_triplet(x, own, margin=margin, pool=q).mean()
            return one + video_triplet(x, own, margin=margin, pool=v).mean()

        check_loss(file, f"{name}_{mode}", scores, recorded)
        check_bounds(file, f"{name}_{mode}", scores, drawn)


def check_pair_triplet(file: Arrays, name: str, scores: Tensor, margin: float) -> None:
    """Rows and columns of a square matrix: value and gradient with the recorded negatives, and within bounds."""
    own = torch.arange(len(scores))
    member = torch.eye(len(scores), dtype=torch.bool)
    for mode in video_modes(file, name):
        rows = rank_among(scores, member, file[f"draw/{name}_{mode}/row_neg_col"])
        columns = rank_among(scores.T, member, file[f"draw/{name}_{mode}/col_neg_row"])

        def recorded(x: Tensor, r: Tensor = rows, c: Tensor = columns) -> Tensor:
            one = query_triplet(x, own, margin=margin, pool=None, ranks=r).mean()
            return one + query_triplet(x.T, own, margin=margin, pool=None, ranks=c).mean()

        def drawn(x: Tensor, pool: int | None = pool_of(mode)) -> Tensor:
            return sum((query_triplet(y, own, margin=margin, pool=pool).mean() for y in (x, x.T)), x.new_zeros(()))

        check_loss(file, f"{name}_{mode}", scores, recorded)
        check_bounds(file, f"{name}_{mode}", scores, drawn)


def pool_of(mode: str) -> int | None:
    """`hard_pool3` -> 3, `easy` -> None."""
    return int(mode.removeprefix("hard_pool")) if mode.startswith("hard") else None


class FullSize(NamedTuple):
    """A network at a published width, as the name of its parameter count tells it."""

    name: str
    video: int  # width of frame features
    text: int  # width of word features
    hidden: int
    used: bool  # what nothing reads is not counted


def full_sizes(file: Arrays, system: str, kind: str = "") -> list[FullSize]:
    """All of a system that have a count (or, by `kind`, their tensors' shapes); what a name leaves out is in the file.

    Names are such as `512_512`, `tvr_3072_768_used` and `512_512_d384_tvr`.
    """
    pattern = rf"{system}/{kind or '(?!shapes_)'}(?:[a-z]+_)?(\d+)_(\d+)(?:_d(\d+))?(?:_[a-z]+)*?(_used)?"
    hidden = file.settings()["hidden"]
    found = [FullSize(x[0], int(x[1]), int(x[2]), int(x[3] or hidden), bool(x[4])) for x in file.matching(pattern)]
    assert found, f"no {kind or 'parameter counts '}of {system}"
    return found


def check_loss(file: Arrays, name: str, scores: Tensor, loss: Loss) -> None:
    """The loss of a stored matrix in float64, and its gradient."""
    leaf = scores.double().requires_grad_()
    value = loss(leaf)
    close(value, file[f"loss/{name}_f64"])
    close(torch.autograd.grad(value, leaf)[0], file[f"grad/{name}_f64"])


def check_bounds(file: Arrays, name: str, scores: Tensor, loss: Loss) -> None:
    """Whatever we draw lies between the least and the greatest loss that any draw gives."""
    if f"bound/{name}_f64" not in file:
        return
    least, most = file[f"bound/{name}_f64"].tolist()
    for _ in range(5):
        assert least - 1e-9 <= float(loss(scores.double())) <= most + 1e-9


def check_words(file: Arrays, batch: Batch[Any], most: int) -> None:
    """The tokens of each query, of unit length and no more than so many, are the words of the batch."""
    words, (place, _) = pieces(file, "tokens", "token_lengths"), file_order(file)
    for query, tokens in zip(place.tolist(), words, strict=True):
        kept = unit_rows(tokens)[:most]
        close(batch.queries.words[query, : len(kept)], kept)
        assert int(batch.queries.valid[query].sum()) == len(kept)


def check_retrieval(file: Arrays, model: Retrieves, batch: Batch[ClipVideos], *, clip: str, frame: str) -> None:
    """Scores of both branches by their names, in the order of the batch and of the file, and every fusion of them."""
    scores = model.scores(model.encode_queries(batch.queries), model.encode_videos(batch.videos))
    check_scores(file, scores, clip=clip, frame=frame)


def check_scores(file: Arrays, scores: BranchScores, *, clip: str, frame: str) -> None:
    """The same of scores that are made already."""
    close(scores.clip, file[f"infer/{clip}"])
    close(scores.frame, file[f"infer/{frame}"])
    queries, videos = file_order(file)
    close(scores.clip[queries][:, videos], file[f"eval/{clip}"])
    close(scores.frame[queries][:, videos], file[f"eval/{frame}"])
    fused = file.matching(r"eval/fused_([\d.]+)")
    assert fused
    for found in fused:
        close(scores.fused(float(found[1]))[queries][:, videos], file[found[0]])


def check_gradients(file: Arrays, prefix: str, model: nn.Module, official: Official) -> None:
    """Every weight's gradient under the authors' names, and no other."""
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    found, wanted = official.write(gradients), file.below(prefix)
    assert found.keys() == wanted.keys()
    for name, want in wanted.items():
        close(found[name], want)


def check_full_size(golden: Path, system: str, make: Callable[[FullSize, int], nn.Module], official: Official) -> None:
    """Parameter counts at the published widths, and the shapes of all tensors; `make` gets a size and the heads."""
    file = Arrays(golden / "common" / "param_counts.npz")
    heads = file.settings()["heads"]
    for size in full_sizes(file, system):
        with torch.device("meta"):
            model = make(size, heads)
        assert sum(p.numel() for p in model.parameters()) == int(file.number(size.name)), size.name
    for size in full_sizes(file, system, "shapes_"):
        with torch.device("meta"):
            state = make(size, heads).state_dict()
        shapes = json.loads(str(file.arrays[size.name]))
        assert {name: list(value.shape) for name, value in official.write(state).items()} == shapes
