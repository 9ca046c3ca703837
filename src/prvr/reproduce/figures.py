"""Figures 1 and 3 of the MSC paper, drawn from what was trained here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.functional import normalize

from prvr.core.errors import ConfigError, PrvrError, VideoError
from prvr.core.ranking import Curves, moments, relevance
from prvr.core.types import Query, VideoTokens
from prvr.data.dataset import RetrievalSet
from prvr.data.folder import DataFolder
from prvr.encoders.devices import pick_device
from prvr.evaluation.curves import BranchTokens, end_to_end
from prvr.evaluation.scoring import encode_queries, score_tokens
from prvr.methods.recipe import Recipe
from prvr.parts.videos import ClipVideos
from prvr.ranker.ranker import Ranker
from prvr.reproduce import msc_tables
from prvr.reproduce.base import base_recipe, stamp_of
from prvr.reproduce.efficiency import library
from prvr.reproduce.lab import Lab
from prvr.runs.measure import load_split, queries_of
from prvr.video.decode import sample_frames

_PAIRS_OF = 150  # videos whose tokens are compared pair by pair in figure 1
_BINS = 12
_PICTURES = 5  # of each moment in figure 3


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What figure 3 should show."""

    videos: Path | None = None  # folder of the files; None: those that lie with the data
    query_id: str | None = None  # None: the first query that the method answers and the baseline does not


class _Seen(NamedTuple):
    """One system on the reported split."""

    title: str
    trained: Ranker
    items: RetrievalSet
    queries: Tensor  # (Q, D)
    tokens: VideoTokens  # of all V videos
    scores: Tensor  # (Q, V) fused


def figure1(lab: Lab, path: Path, _: Wanted) -> str:
    """Semantic collapse: how alike the model sees two queries, or two clips, against how alike the encoder sees them.

    Were nothing lost, pairs of one video and pairs of two videos would lie on one rising line.
    """
    systems = _systems(lab)
    figure, axes = panels(2, len(systems), "Figure 1", stamp=stamp_of(lab.only()[1]))
    lines = []
    for column, seen in enumerate(systems):
        texts = _pairs(seen.items.queries.sentence, seen.queries, seen.items.video_of_query)
        few = torch.arange(min(_PAIRS_OF, len(seen.items)))
        given = cast(ClipVideos, seen.items.videos)  # MSC's, which Figure 1 is about
        clips, valid = given.clips[few], seen.tokens.clip_valid[few]
        videos = _pairs(clips[valid], seen.tokens.clips[few][valid], few[:, None].expand_as(valid)[valid])
        for row, (what, pairs) in enumerate((("queries", texts), ("clips", videos))):
            gap = _draw_pairs(axes[row][column], pairs, f"{seen.title}: {what}")
            lines.append(f"{seen.title}, {what}: pairs of one video are {gap:+.3f} above equally alike pairs of two")
    save(figure, path)
    return "\n".join(lines)


def figure3(lab: Lab, path: Path, wanted: Wanted) -> str:
    """A query, the moment that each system retrieves for it, and the score over time in that video."""
    data = lab.only()[1]
    systems = _systems(lab)
    q = _chosen(systems, wanted)
    query = systems[0].items.items[q]
    figure, axes = panels(len(systems), _PICTURES + 1, f"“{query.text}”", stamp=stamp_of(data))
    lines = []
    for row, seen in enumerate(systems):
        v = int(seen.scores[q].argmax())
        video_id = seen.items.video_ids[v]
        curves = _curve(seen, q, v)
        start, end = moments(curves).spans[0].tolist()
        right = video_id == query.video_id
        rank = int((seen.scores[q] >= seen.scores[q, seen.items.video_of_query[q]]).sum())
        _draw_curve(axes[row][0], curves, (start, end), query if right else None)
        axes[row][0].set_title(f"{seen.title}: {video_id} {'✓' if right else '✗'}", fontsize=8)
        _draw_pictures(axes[row][1:], _file(data, wanted, video_id), (start, end))
        lines.append(f"{seen.title}: {video_id} {start:.1f}-{end:.1f} s; the right video is at rank {rank}")
    save(figure, path)
    return "\n".join([f'Query {query.query_id}: "{query.text}" in {query.video_id} {list(query.windows)}', *lines])


def _systems(lab: Lab) -> list[_Seen]:
    """The baseline and the full method, first seed."""
    benchmark, data = lab.only()
    rows = msc_tables.table1(base_recipe(benchmark, data))
    return [_see(lab, data, title, rows[row]) for title, row in (("baseline", "baseline"), ("MSC", "+ adaptive CBVA"))]


def _see(lab: Lab, data: DataFolder, title: str, recipe: Recipe) -> _Seen:
    one = lab.recipes(recipe)[0]
    trained, items = lab.run(one, data), load_split(one.prepared, data, data.reported)
    device = pick_device(lab.device).name
    model = trained.model
    queries = encode_queries(model, queries_of(items), device=device)
    tokens = library(model, items, device=device)
    scores = score_tokens(queries.cpu(), [tokens], model=model).fused(model.clip_weight)
    return _Seen(title, trained, items, queries.cpu(), tokens, scores)


class _Pairs(NamedTuple):
    """Pairs i < j of N vectors."""

    encoder: Tensor  # (P,) cosine that the frozen encoder sees
    model: Tensor  # (P,) cosine that the model sees
    same: Tensor  # (P,) bool, of one video


def _pairs(encoder: Tensor, model: Tensor, video: Tensor) -> _Pairs:
    """encoder (N, E), model (N, D), video (N,) -> all pairs."""
    i, j = torch.triu_indices(len(video), len(video), offset=1)
    by_encoder, by_model = ((unit @ unit.T)[i, j] for unit in (normalize(encoder, dim=1), normalize(model, dim=1)))
    return _Pairs(by_encoder, by_model, video[i] == video[j])


def _draw_pairs(axis: Any, pairs: _Pairs, title: str) -> float:
    """Mean model cosine by encoder cosine, of both kinds of pairs; -> the mean gap between the two lines."""
    edges = torch.quantile(pairs.encoder[pairs.same][:100_000], torch.linspace(0, 1, _BINS + 1))
    bins = torch.bucketize(pairs.encoder, edges[1:-1].contiguous())
    inside = (pairs.encoder >= edges[0]) & (pairs.encoder <= edges[-1])
    means = []
    for same, label in ((True, "one video"), (False, "two videos")):
        of = inside & (pairs.same == same)
        x, y = (
            torch.zeros(_BINS).scatter_reduce(0, bins[of], value[of], "mean", include_self=False)
            for value in (pairs.encoder, pairs.model)
        )
        there = torch.bincount(bins[of], minlength=_BINS) > 0
        axis.plot(x[there], y[there], marker="o", markersize=3, label=label)
        means.append(y.where(there, torch.nan))
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("cosine, encoder", fontsize=8)
    axis.set_ylabel("cosine, model", fontsize=8)
    axis.legend(fontsize=7)
    return float((means[0] - means[1]).nanmean())


def _chosen(systems: Sequence[_Seen], wanted: Wanted) -> int:
    """Row of the query to show."""
    items = systems[0].items
    if wanted.query_id is not None:
        ids = [query.query_id for query in items.items]
        if wanted.query_id not in ids:
            raise ConfigError(f"--query {wanted.query_id}: no such query among {len(ids)} (first: {ids[0]})")
        return ids.index(wanted.query_id)
    right = [seen.scores.argmax(1) == items.video_of_query for seen in systems]
    found = (right[-1] & ~right[0]).nonzero()
    return int(found[0]) if len(found) else 0


def _curve(seen: _Seen, q: int, v: int) -> Curves:
    """Relevance of one video over time for one query."""
    video = seen.items.videos.take(torch.tensor([v]))
    query, weight = normalize(seen.queries[q], dim=0), seen.trained.model.clip_weight
    frames, clips = (normalize(x[v], dim=1) @ query for x in (seen.tokens.frames, seen.tokens.clips))
    spans = seen.trained.model.token_spans(video)
    tokens = end_to_end(
        BranchTokens(frames[None], spans.frames, seen.tokens.frame_valid[v][None]),
        BranchTokens(clips[None], spans.clips, seen.tokens.clip_valid[v][None]),
    )
    return relevance(tokens, clip_weight=weight, durations_s=[float(video.frame_spans[..., 1].max())])


def _draw_curve(axis: Any, curves: Curves, moment: tuple[float, float], query: Query | None) -> None:
    edges = [0.0, *curves.ends.tolist()]
    axis.stairs(curves.values.tolist(), edges, color="tab:blue")
    axis.axvspan(*moment, color="tab:orange", alpha=0.4, label="retrieved")
    for start, end in query.windows if query else ():
        axis.axvspan(start, end, color="tab:green", alpha=0.25, label="annotated")
    axis.set_xlim(0, edges[-1])
    axis.set_xlabel("s", fontsize=7)
    axis.tick_params(labelsize=6)
    handles, labels = axis.get_legend_handles_labels()
    kept = dict(zip(labels, handles, strict=True))
    axis.legend(kept.values(), kept.keys(), fontsize=6)


def _draw_pictures(axes: Sequence[Any], file: Path | None, moment: tuple[float, float]) -> None:
    """Frames spread over a moment, or a word where there is no video file."""
    start, end = moment
    for axis in axes:
        axis.set_axis_off()
    if file is None:
        axes[0].text(0, 0.5, "no video file: --videos DIR", fontsize=7)
        return
    try:
        frames = [
            (float(time), picture)
            for batch in sample_frames(file, rate=max(2.0, len(axes) / max(end - start, 0.1)))
            for time, picture in zip(batch.times, batch.frames, strict=True)
            if start <= float(time) <= end
        ]
    except VideoError as error:
        axes[0].text(0, 0.5, str(error)[:60], fontsize=6)
        return
    picked = [frames[i * (len(frames) - 1) // max(len(axes) - 1, 1)] for i in range(len(axes))] if frames else []
    for axis, (time, picture) in zip(axes, picked, strict=False):
        axis.imshow(picture.permute(1, 2, 0).numpy())
        axis.set_title(f"{time:.1f} s", fontsize=7)


def _file(data: DataFolder, wanted: Wanted, video_id: str) -> Path | None:
    folder = wanted.videos or data.root / "videos"
    exact = folder / video_id
    if exact.is_file():
        return exact
    return next((file for file in sorted(folder.glob(f"{video_id}.*")) if file.is_file()), None)


def need_matplotlib() -> None:
    """Raises PrvrError where it is missing: asked before hours of training, not after."""
    if find_spec("matplotlib") is None:
        raise PrvrError("figures need matplotlib; install it with: pip install 'prvr[plot]'")


def panels(rows: int, columns: int, title: str, *, stamp: str) -> tuple[Any, Any]:
    """-> a figure and its axes, (rows, columns); its `stamp` says what made data it is of.

    Raises PrvrError where matplotlib is missing.
    """
    need_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * columns, 2.4 * rows), layout="constrained")
    figure.suptitle(f"{title}\n{stamp}" if stamp else title, fontsize=10)
    return figure, figure.subplots(rows, columns, squeeze=False)


def save(figure: Any, path: Path) -> None:
    """A whole file, or none; its title is in the file as text, too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.tmp")
    figure.savefig(part, dpi=150, format=path.suffix[1:], metadata={"Title": figure.get_suptitle()})
    part.replace(path)
