"""A sentence in, ranked videos with moments out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Self

import torch
from torch import Tensor

from prvr.core.errors import IndexFolderError, QueryError, VideoError
from prvr.core.facts import KINDS, Facts, Where
from prvr.core.grammar import Feedback, Request, parse
from prvr.core.types import Encoder, Query, Span
from prvr.encoders.loading import load_encoder
from prvr.index.base import ZERO_SHOT, Index, IndexHeader, WordHit, unit
from prvr.index.opening import identity, open_index
from prvr.ranker.ranker import Ranker, open_run, zero_shot
from prvr.search import similar
from prvr.search.calibration import Calibrated, calibrate, outdated
from prvr.search.confidence import CONFIDENT, RELATED, UNCALIBRATED
from prvr.search.export import SearchHit
from prvr.search.heard import HeardWords, judged, listens
from prvr.search.judge import Judge, Judgement
from prvr.search.places import locate
from prvr.search.ranking import (
    DEPTH,
    HALF,
    Ranking,
    Row,
    by_instants,
    by_name,
    by_vector,
    fused,
    named,
    quoted,
    rocchio,
    sureness,
)
from prvr.search.reading import read
from prvr.search.readings import old_reading
from prvr.search.sentences import embed
from prvr.search.why import Why, explain
from prvr.search.words import Kind, kind_of
from prvr.video.apart import ask
from prvr.video.frames import first_picture

UNKNOWN = Judgement(UNCALIBRATED, None, None)
NO_FACTS: Mapping[str, Facts] = MappingProxyType({})


class SearchEngine:
    """An index with the encoder and the model that made it."""

    def __init__(self, index: Index, folder: Path, encoder: Encoder, trained: Ranker) -> None:
        self.index = index
        self.folder = folder  # that the paths of the videos are relative to
        self._identity = identity(folder)
        self.encoder = encoder
        self.trained = trained
        self._judged: tuple[str, Judge | None] = ("", None)  # the generation, and what was known of it
        self._usual = 0, 1.0  # how many videos there were, and the usual distance of their frames
        self._heard = HeardWords(index, folder)

    @classmethod
    def open(cls, folder: Path, *, encoder: str | None = None, device: str = "auto") -> Self:
        """An index folder. `encoder` only says where the encoder lies now, if it was moved.

        Raises IndexFolderError when there is no index, or when the encoder or the model is not the one it was made
        with; EncoderError when the encoder cannot be had.
        """
        lies = identity(folder)  # before it is opened: what takes its place in between is noticed
        index = open_index(folder)
        spec = index.header.encoder
        loaded = load_encoder(encoder or spec.source or spec.name, device=device, fetching=bool(encoder))
        if not loaded.spec.same_as(spec):
            raise IndexFolderError(
                f"{folder}: was made with encoder {spec.fingerprint}, not {loaded.spec.fingerprint}, so that scores "
                f"would mean nothing; use `--encoder {spec.source or spec.name}`, or index into another folder"
            )
        opened = cls(index, folder, loaded, model_of(folder, index.header))
        opened._identity = lies
        return opened

    def search(
        self,
        query: str | Request,
        *,
        k: int = 5,
        where: Where | None = None,
        words: bool = True,
        calibrated: bool = True,
    ) -> list[SearchHit]:
        """One query of the grammar -> the k best videos, best first, with their moments.

        `words`: names and subtitles count as well. `calibrated`: hits say how sure they are, where the index was
        calibrated. `where` limits what the query itself leaves open.
        Raises QueryError for what cannot be asked.
        """
        return self.search_many([query], k=k, where=where, words=words, calibrated=calibrated)[0]

    def search_many(
        self,
        queries: Sequence[str | Request],
        *,
        k: int = 5,
        where: Where | None = None,
        words: bool = True,
        calibrated: bool = True,
    ) -> list[list[SearchHit]]:
        """Several queries, their sentences encoded together -> the answer to each, in the same order."""
        rankings = self.rank_many(queries, k=k, where=where, words=words, calibrated=calibrated)
        return [self.hits(ranking) for ranking in rankings]

    def rank_many(
        self,
        queries: Sequence[str | Request],
        *,
        k: int = 5,
        where: Where | None = None,
        words: bool = True,
        calibrated: bool = True,
        feedback: Sequence[Feedback] = (),
        shown: Sequence[int] = (),
    ) -> list[Ranking]:
        """The same before moments are read, which `hits` does for as much of an answer as is shown.

        `feedback` to each query moves its sentence towards some moments and away from others; how sure hits are is
        then not known. `shown` are the smaller `k` that were asked before, ascending: a deeper look may order the
        first hits otherwise, and what was shown stays where it is. Raises IndexFolderError for a video of the feedback
        that is not there, QueryError for several steps.
        """
        requests = [query if isinstance(query, Request) else parse(query) for query in queries]
        texts = [text for request in requests for text in (*request.steps, *request.without)]
        parts = [len(request.steps) + len(request.without) for request in requests]
        vectors = torch.split(self.embed_many(texts), parts) if texts else ()
        judge = self.judge if calibrated else None
        moves = feedback or [Feedback()] * len(requests)
        looks = (
            self._answer(
                request, vector, k=most, where=request.filters.over(where), words=words, judge=judge, move=move
            )
            for request, vector, move in zip(requests, vectors, moves, strict=True)
            for most in (*shown, k)
        )
        return [reduce(Ranking.before, islice(looks, 1 + len(shown))) for _ in requests]

    def hits(
        self,
        ranking: Ranking,
        start: int = 0,
        stop: int | None = None,
        *,
        facts: Mapping[str, Facts] = NO_FACTS,
    ) -> list[SearchHit]:
        """A part of an answer with its moments. `facts` are those known already, by video id; others are looked up.

        A hit that repeats one of the fifty before it says which, wherever the part begins.
        """
        first = max(0, start - similar.BACK)
        rows = ranking.rows[first:stop]
        known = [facts.get(row.candidate.video_id) or self.index.facts(row.candidate.video_id) for row in rows]
        hits = read(rows, known, ranking.said, clip_weight=self.index.header.clip_weight)
        new = start - first
        copies: list[int | None] = [None] * len(hits[new:])
        if copies and len(hits) > 1:
            banks, best = [row.candidate.bank for row in rows], [hit.moments[0] for hit in hits]
            copies = similar.same_as(banks, best, usual=self._usual_distance(), start=new)
        return [
            replace(
                hit,
                path=locate(self.folder, one.path) if one.path else None,
                same_as=None if copy is None else hits[copy].video_id,
                **judgement._asdict(),
            )
            for hit, one, judgement, copy in zip(
                hits[new:], known[new:], ranking.judgements[start:stop], copies, strict=True
            )
        ]

    def look(self, query: str | Request, video_id: str) -> SearchHit:
        """One named video as a hit of a query, not judged. Raises IndexFolderError when it is not there."""
        request = query if isinstance(query, Request) else parse(query)
        vectors = self.embed_many([*request.steps, *request.without])
        steps, negatives = vectors[: len(request.steps)], vectors[len(request.steps) :]
        row = named(self.index, steps, negatives, video_id, within_s=request.within_s, where=request.filters)
        return self.hits(_unjudged([row]))[0]

    def why(self, query: str | Request, video_id: str) -> Why:
        """What each word of a query, and each branch, gives the best moment of one named video; see `why.explain`."""
        request = query if isinstance(query, Request) else parse(query)
        return explain(self.index, request, video_id, embed=self.embed_many)

    def search_image(self, picture: Path, *, k: int = 5, where: Where | None = None) -> list[SearchHit]:
        """The videos that show what a picture (or the first frame of a video) shows, best first; not calibrated.

        Raises QueryError for a file that is no picture, and where a trained model can read words only.
        """
        return self.hits(self.rank_image(picture, k=k, where=where))

    def rank_image(self, picture: Path | bytes, *, k: int = 5, where: Where | None = None) -> Ranking:
        """The same before moments are read, of a file or of its content."""
        if isinstance(picture, bytes):
            with TemporaryDirectory() as folder:
                (Path(folder) / "picture").write_bytes(picture)
                try:
                    return self.rank_image(Path(folder) / "picture", k=k, where=where)
                except QueryError as error:
                    raise QueryError(str(error).replace(f"{folder}/", "the ")) from error
        if self.trained.fingerprint:
            raise QueryError(
                f"{picture}: the model of this index ({self.trained.title}) reads sentences only; describe the "
                "picture in words, or index with the bare encoder: `prvr index PATH --index ANOTHER`"
            )
        try:
            frames = torch.from_numpy(ask(first_picture, picture)[None])
        except VideoError as error:
            raise QueryError(f"{picture}: cannot be read as a picture ({error}); give a JPEG or PNG file") from error
        query = self.encoder.encode_images(self.encoder.prepare(frames))[0]
        return _unjudged(by_vector(self.index, query, k=k, where=where))

    def search_like(self, video_id: str, span: Span, *, k: int = 5, where: Where | None = None) -> list[SearchHit]:
        """The other videos that show what one shows from `span[0]` to `span[1]` seconds, best first; not calibrated.

        Raises IndexFolderError for a video that is not there, QueryError for a span outside it.
        """
        return self.hits(self.rank_like(video_id, span, k=k, where=where))

    def rank_like(self, video_id: str, span: Span, *, k: int = 5, where: Where | None = None) -> Ranking:
        """The same before moments are read."""
        query = self._like(video_id, span)
        rows = by_vector(self.index, query, k=k + 1, where=where)
        return _unjudged([row for row in rows if row.candidate.video_id != video_id][:k])

    def embed(self, text: str) -> Tensor:
        """One sentence -> (D,). Raises QueryError for what is not a sentence."""
        return self.embed_many([text])[0]

    def embed_many(self, texts: Sequence[str]) -> Tensor:
        """Q sentences -> (Q, D)."""
        return embed(self.encoder, self.trained, texts)

    def calibrate(self, home: Sequence[str | Query] = ()) -> Calibrated:
        """Make hits say how sure they are; see `calibration.calibrate`. The index must be open for writing."""
        spec, unknown = self.encoder.spec, self.encoder.unknown_words
        done = calibrate(self.index, self.embed_many, encoder=spec, unknown_words=unknown, home=home)
        self._judged = ("", None)
        return done

    @property
    def judge(self) -> Judge | None:
        """Who says how sure hits are; None where the index is too small, was not calibrated or changed much since."""
        generation = self.generation
        if generation != self._judged[0]:
            self._judged = (generation, Judge.of(self.index))
        return self._judged[1]

    @property
    def problems(self) -> list[str]:
        """What is the matter with the index, a line each with the next step; answers are given all the same."""
        old = (
            f"{self.folder}: how sure hits are was measured by another version of prvr; index again to have it said, "
            f"which reads no video twice: `prvr index PATH --index {self.folder}`"
        )
        return [
            *self.index.problems,
            *old_reading(self.index, self.folder),
            *([old] if outdated(self.index) else []),
        ]

    @property
    def generation(self) -> str:
        """Another one when the index has changed."""
        return self.index.generation

    @property
    def replaced(self) -> bool:
        """Whether another index lies in the folder by now (see `replacing`): this one answers no longer for it."""
        now = identity(self.folder)
        return now is not None and now != self._identity

    def _answer(
        self,
        request: Request,
        vectors: Tensor,
        *,
        k: int,
        where: Where | None,
        words: bool,
        judge: Judge | None,
        move: Feedback,
    ) -> Ranking:
        """vectors (S + M, D) of the steps and the negatives."""
        if any(move):
            vectors = self._moved(request, vectors, move)
        steps, negatives = vectors[: len(request.steps)], vectors[len(request.steps) :]
        one = len(steps) == 1  # several steps in order are looked for, not listened to
        said = self._heard.find(request, k=k, where=where) if one and listens(request, words=words) else []
        depth = max(DEPTH, 2 * k) if said else k
        if request.channel in KINDS:
            rows = by_name(self.index, vectors[0], said, besides=())
        elif len(vectors) == 1:
            rows = by_vector(self.index, vectors[0], k=depth, where=where)
        else:
            rows = by_instants(self.index, steps, negatives, within_s=request.within_s, k=depth, where=where)
        kinds = [kind_of(step, self.encoder.unknown_words) for step in request.steps]
        heard = {hit.video_id: hit._replace(leads=True) for hit in said}
        if said and not request.channel:
            sure = sureness(_judgements(rows[:1], kinds, judge)) if self._heard.meanings else 1.0
            heard = quoted(rows, said, seen_weight=sure)
            rows = fused(rows, by_name(self.index, vectors[0], said, besides=rows), said, seen_weight=sure)
        rows = rows[:k]
        if request.channel in KINDS:
            return Ranking(rows, [judged(hit) for hit in said][:k], heard)
        judgements = _judgements(rows, kinds, None if any(move) else judge)
        both = zip(rows, judgements, strict=True)
        judgements = [_with_words(heard.get(row.candidate.video_id), judgement) for row, judgement in both]
        return Ranking(rows, judgements, heard)

    def _usual_distance(self) -> float:
        """See `similar.usual_distance`; measured again when a tenth of the videos has come or gone."""
        count = len(self.index)
        if 10 * abs(count - self._usual[0]) > self._usual[0]:
            self._usual = count, similar.usual_distance(self.index)
        return self._usual[1]

    def _moved(self, request: Request, vectors: Tensor, move: Feedback) -> Tensor:
        """vectors (1 + M, D), the first of them towards what is liked and away from what is not."""
        if len(request.steps) > 1:
            raise QueryError("feedback: goes with one sentence, not with several in order; leave one of the two out")
        liked, disliked = (
            torch.stack([self._like(*one) for one in part]) if part else vectors[:0]
            for part in (move.positive, move.negative)
        )
        return torch.cat([rocchio(unit(vectors[0]), liked, disliked)[None], vectors[1:]])

    def _like(self, video_id: str, span: Span) -> Tensor:
        """(D,) the mean of what a video's vectors in a span point to, its branches weighted as scores are."""
        bank = self.index.candidate(torch.zeros(self.index.header.width), video_id).bank
        inside = (bank.spans[:, 0] < span[1]) & (span[0] < bank.spans[:, 1])
        if not span[0] < span[1] or not inside.any():
            raise QueryError(
                f"{video_id}: there is nothing between {span[0]:g} and {span[1]:g} s; the video is "
                f"{float(bank.spans.max()):.2f} s long: give a start before the end and inside it"
            )
        weight = self.index.header.clip_weight
        clip = torch.arange(len(bank.tokens)) >= bank.num_frames
        share = torch.where(
            clip, weight / (inside & clip).sum().clamp(min=1), (1 - weight) / (inside & ~clip).sum().clamp(min=1)
        )
        return unit((bank.tokens.float() * (share * inside)[:, None]).sum(0))


def _with_words(said: WordHit | None, judgement: Judgement) -> Judgement:
    """All words said are a sure match and half of them a related one, whatever is seen."""
    if said is None or judgement.confidence in (UNCALIBRATED, CONFIDENT) or said.score < HALF:
        return judgement
    return judgement._replace(confidence=CONFIDENT if said.score > 1 - 1e-6 else RELATED)


def calibrate_folder(folder: Path, encoder: Encoder, *, home: Sequence[str | Query] = ()) -> Calibrated:
    """Bring the calibration of an index folder up to date; see `calibration.calibrate`.

    Raises IndexFolderError when it cannot be written, or is being written by another process.
    """
    with open_index(folder, write=True) as index:
        return SearchEngine(index, folder, encoder, model_of(folder, index.header)).calibrate(home)


def model_of(folder: Path, header: IndexHeader) -> Ranker:
    """The model that an index was made with. Raises IndexFolderError when another lies in its folder."""
    if header.model == ZERO_SHOT:
        return zero_shot(header.encoder)
    trained = open_run(folder / "model")
    if header.model != trained.fingerprint:
        raise IndexFolderError(
            f"{folder}: was made with model {header.model}, but {folder / 'model'} holds "
            f"{trained.fingerprint}; index again with `prvr index PATH --index {folder} --model RUN`"
        )
    return trained


def _judgements(rows: Sequence[Row], kinds: Sequence[Kind], judge: Judge | None) -> list[Judgement]:
    """The kinds of S steps -> what is known of each row."""
    if judge is None or not rows:
        return [UNKNOWN] * len(rows)
    return judge.judge(kinds, torch.stack([row.evidence for row in rows], 1))


def _unjudged(rows: list[Row]) -> Ranking:
    return Ranking(rows, [UNKNOWN] * len(rows))
