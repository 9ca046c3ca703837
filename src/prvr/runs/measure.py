"""Everything that is reported of a model on one split, in one pass over its videos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from prvr.core.config import fingerprint, to_dict
from prvr.core.errors import CheckpointError
from prvr.core.method import Prepared
from prvr.core.types import BranchScores, FeatureSpec, Query, QueryBatch, RetrievalModel, Videos, VideoTokens
from prvr.data.dataset import RetrievalSet
from prvr.data.folder import DataFolder
from prvr.data.world import true_similarity
from prvr.encoders.devices import pick_device
from prvr.evaluation.collapse import TokenStatistics, query_sums, similarity
from prvr.evaluation.correlation import cosine_matrix, rank_correlation, spearman
from prvr.evaluation.curves import MOST, BranchTokens, end_to_end, moment_scores, token_cosines, windows_of
from prvr.evaluation.intervals import RESAMPLES, bootstrap
from prvr.evaluation.measured import Measured, QueryRanks
from prvr.evaluation.metrics import Recalls, ranks
from prvr.evaluation.ratios import by_ratio
from prvr.evaluation.report import Protocol, Report, versions
from prvr.evaluation.scoring import encode_queries, score_library, score_tokens
from prvr.evaluation.windows import Windows, coverage, pad
from prvr.methods.recipe import Recipe
from prvr.ranker.ranker import Ranker, ranker_of

VIDEOS = 64  # encoded at a time
QUERIES = 256
_ROWS = 1024  # queries ranked at a time, so that no third matrix of all scores is made


@dataclass(frozen=True, kw_only=True)
class About:
    """What a report says of a run besides its numbers."""

    split: str
    selected_on: str | None = None  # the queries that chose the checkpoint; None: nothing was chosen
    seed: int | None = None
    recipe: str | None = None  # `package.module:function`
    settings: str | None = None  # their fingerprint
    features: FeatureSpec | None = None

    @property
    def protocol(self) -> Protocol | None:
        """Published where the reported split chose the checkpoint, clean where other queries did."""
        if self.selected_on is None:
            return None
        return "published" if self.selected_on == self.split else "clean"


def evaluate_run(ranker: Ranker, data: DataFolder, split: str, *, device: str = "auto") -> Measured:
    """Measure on one split. Raises CheckpointError when the features are not those it was trained on."""
    check_features(ranker, data)
    items = load_split(ranker.prepared, data, split)
    # `val` and `test` of a benchmark are one split where its authors have one: what counts is what is in it
    chosen = split if items.digest == ranker.selected_by else ranker.selected_on
    about = About(
        split=split,
        selected_on=chosen,
        seed=ranker.settings["train"]["seed"] if "train" in ranker.settings else None,
        recipe=ranker.recipe,
        settings=fingerprint(ranker.settings),
        features=data.spec,
    )
    return measured(ranker.model, items, about, device=pick_device(device).name)


def check_features(ranker: Ranker, data: DataFolder) -> None:
    """Raises CheckpointError when the features are not those a run was trained on."""
    if not data.spec.same_as(ranker.features):
        raise CheckpointError(
            f"{ranker.title}: was trained on features of {ranker.features.name}, but {data.source.place} "
            f"holds those of {data.spec.name}; bring the first, or train anew"
        )


def load_split(prepared: Prepared, data: DataFolder, split: str) -> RetrievalSet:
    """One split with its videos as a network reads them."""
    return data.load(split, data.queries(split), prepared)


def untrained(recipe: Recipe, features: FeatureSpec) -> Ranker:
    """A recipe as it is before training, on some features. Raises ConfigError when it does not suit them."""
    recipe.fit(features)
    settings = to_dict(recipe.settings)
    return ranker_of(
        recipe.method,
        recipe.settings,
        features,
        recipe.build(),
        title=recipe.title,
        recipe=recipe.target,
        settings=settings,
    )


def recalls(model: RetrievalModel, items: RetrievalSet, *, device: str) -> Mapping[str, float]:
    """What validation looks at: R@K, SumR and MedR of the fused score, in percent."""
    scores = score_library(model, videos_of(items), queries_of(items), device=device)
    return Recalls.of(ranks(scores.fused(model.clip_weight), items.video_of_query)).to_dict()


def measure(
    model: RetrievalModel,
    items: RetrievalSet,
    *,
    split: str,
    device: str,
    selected_on: str | None = None,
    seed: int | None = None,
) -> Report:
    """The report alone, of a model of which little is known; see `measured`."""
    return measured(model, items, About(split=split, selected_on=selected_on, seed=seed), device=device).report


def measured(
    model: RetrievalModel, items: RetrievalSet, about: About, *, device: str = "cpu", resamples: int = RESAMPLES
) -> Measured:
    """Recalls of the fused score and of each branch, with intervals and by moment-to-video ratio; the collapse numbers
    (paper, Tables 8 and 9); moments inside the right video.

    What is not known of a data set is None: moments and ratios without windows, the correlation with the truth without
    the queries' true meaning. A bare encoder has one branch, so branches are reported only where clips have a weight.
    """
    if isinstance(model, nn.Module):
        model.to(device)
    queries = encode_queries(model, queries_of(items), device=device)  # (Q, D)
    watched = Watched(model, items, queries)
    scores = score_tokens(queries, watched.tokens(device), model=model)
    weights = {"fused": model.clip_weight} | ({"frame": 0.0, "clip": 1.0} if model.clip_weight > 0 else {})
    found = {name: _ranks(scores, weight, items.video_of_query) for name, weight in weights.items()}
    report = Report(
        split=about.split,
        num_videos=len(items),
        num_queries=len(items.items),
        fused=Recalls.of(found["fused"]),
        frame=Recalls.of(found["frame"]) if "frame" in found else None,
        clip=Recalls.of(found["clip"]) if "clip" in found else None,
        by_ratio=by_ratio(found["fused"], coverage(watched.truth, watched.duration_s.numpy())),
        moments=moment_scores(watched.windows, watched.truth, watched.duration_s),
        intervals=bootstrap(found["fused"], resamples=resamples),
        intervals_video=bootstrap(found["fused"], video_of_query=items.video_of_query, resamples=resamples),
        selected_on=about.selected_on,
        protocol=about.protocol,
        seed=about.seed,
        recipe=about.recipe,
        settings=about.settings,
        features=about.features.name if about.features else None,
        data=items.content,
        simulated=about.features.simulated if about.features else False,
        device=device,
        versions=versions(),
    )
    ids = tuple(item.query_id for item in items.items)
    return Measured(
        report=_with_collapse(report, items, queries, watched.statistics),
        ranks=QueryRanks(query_ids=ids, video_of_query=items.video_of_query, **found),
    )


def _with_collapse(report: Report, items: RetrievalSet, queries: Tensor, tokens: TokenStatistics) -> Report:
    """The report with Tables 8 and 9; queries (Q, D) of the model."""
    sentence, video, number = items.queries.sentence, items.video_of_query, len(items)
    known = meanings_known(items.items)
    return replace(
        report,
        text=similarity(query_sums(queries, video, number)),
        text_encoder=similarity(query_sums(sentence, video, number)),
        video=tokens.exact(),
        video_released=tokens.released(),
        correlation_truth=spearman(cosine_matrix(queries), true_similarity(items.items)) if known else None,
        correlation_encoder=rank_correlation(queries, sentence),
    )


def meanings_known(items: Sequence[Query]) -> bool:
    """Whether every query says what it truly means."""
    return all(item.attributes for item in items)


def videos_of(items: RetrievalSet) -> Iterator[Videos]:
    """The videos of a split, some at a time."""
    for rows in torch.split(torch.arange(len(items)), VIDEOS):
        yield items.videos.take(rows)


def queries_of(items: RetrievalSet) -> Iterator[QueryBatch]:
    """The queries of a split, some at a time, in order."""
    for rows in torch.split(torch.arange(len(items.items)), QUERIES):
        yield items.queries.batch(rows)


class Watched:
    """What is read of the videos' tokens while they pass by on their way to be scored: no library is held in memory."""

    def __init__(self, model: RetrievalModel, items: RetrievalSet, queries: Tensor) -> None:
        self.statistics = TokenStatistics()
        self.truth = pad([np.array(item.windows, dtype=np.float64).reshape(-1, 2) for item in items.items])
        self.duration_s = torch.tensor([np.nan if item.duration_s is None else item.duration_s for item in items.items])
        number = len(items.items)
        self.windows = Windows(np.zeros((number, MOST, 2)), np.zeros((number, MOST)), np.zeros((number, MOST), bool))
        self._model, self._items, self._queries = model, items, queries

    @torch.no_grad()
    def tokens(self, device: str) -> Iterator[VideoTokens]:
        """The tokens of the videos, some at a time."""
        at = 0
        for batch in videos_of(self._items):
            tokens = self._model.encode_videos(batch.to(device))
            self.statistics.add(tokens.frames, tokens.frame_valid)
            video = self._items.video_of_query
            rows = ((video >= at) & (video < at + len(batch))).nonzero().squeeze(1)
            rows = rows[torch.from_numpy(self.truth.valid.any(1))[rows]]
            if len(rows):
                self._find(rows, video[rows] - at, batch, tokens)
            at += len(batch)
            yield tokens

    def _find(self, rows: Tensor, video: Tensor, batch: Videos, tokens: VideoTokens) -> None:
        """Moments of the queries `rows` (q,), which speak of `video` (q,) of this batch."""
        end = batch.frame_spans[..., 1].where(batch.frame_valid, 0.0).amax(1)[video]
        duration = self.duration_s[rows].where(self.duration_s[rows] > 0, end)
        stretch = duration / end  # features whose clock is not in seconds are brought to that of the annotations
        known = stretch.isfinite() & (stretch > 0)
        if not known.any():
            return
        rows, video, duration, stretch = rows[known], video[known], duration[known], stretch[known]
        self.duration_s[rows] = duration
        queries, clip_weight = self._queries[rows.to(self._queries.device)], self._model.clip_weight
        frames, clips = self._model.token_spans(batch)
        both = []
        for x, valid, seconds, weight in (
            (tokens.frames, tokens.frame_valid, frames, 1 - clip_weight),
            (tokens.clips, tokens.clip_valid, clips, clip_weight),
        ):
            read = slice(None if weight else 0)
            scores, times = token_cosines(queries, x[:, read], video), seconds[video, read] * stretch[:, None, None]
            both.append(BranchTokens(scores, times, valid[:, read].cpu()[video]))
        found = windows_of(end_to_end(*both), duration, clip_weight=clip_weight)
        place = rows.numpy()
        for whole, part in zip(self.windows, found, strict=True):
            whole[place, : part.shape[1]] = part


def _ranks(scores: BranchScores, clip_weight: float, truth: Tensor) -> Tensor:
    """Ranks by one weighting of the branches, scores (Q, V) each -> (Q,)."""
    parts = zip(*(torch.split(x, _ROWS) for x in (*scores, truth)), strict=True)
    return torch.cat([ranks(BranchScores(frame, clip).fused(clip_weight), own) for frame, clip, own in parts])
