"""What is said or written, by its meaning: vectors of passages of about ten seconds beside the transcripts, and who
asks them.

Passages overlap by half, so that a sentence stands whole in one of them. How near a passage must be to count is
measured, not fixed: by what sentences about other topics (`background`) reach in this library. Some of those are about
what is said here after all, so their tail is no measure; the median and the height of nine in ten are, and beyond them
chances fall as they do between the two. A passage counts in full where one such sentence in a hundred would be as near
(`SURE`); one that is less near counts less, and as far as no picture stands out. It is called a match where that is one
in twenty (`LEVEL`, as of pictures). So what is said decides nothing where nothing of that kind is said.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from prvr.core.errors import FeatureError
from prvr.core.facts import KINDS, Cue
from prvr.core.files import write_whole
from prvr.core.weights import tensor_bytes
from prvr.encoders.catalogue import THINGS
from prvr.encoders.meaning import SentenceModel, load_sentence_model
from prvr.index.base import WordHit
from prvr.index.words import content
from prvr.search.background import background
from prvr.search.confidence import LEVEL
from prvr.search.ranking import HALF
from prvr.search.words import SIZES, size_of
from prvr.speech.store import FOLDER, ON_SCREEN, SPOKEN, TranscriptStore

HEADER = "meaning.json"
PASSAGE_S, STEP_S = 10.0, 5.0
UNSURE, SURE = 0.5, 0.01  # chances that a sentence about other things is as near: counts from, counts in full from
SENTENCES = 120  # of each size that a library is compared with: enough for a median and for nine in ten
ROWS = 1 << 16  # vectors that are compared at once


def passages(cues: Sequence[Cue]) -> Iterator[Cue]:
    """Cues joined to passages of at most `PASSAGE_S`, each begun `STEP_S` after the one before; a longer cue is one."""
    at = 0
    while at < len(cues):
        end = at + 1
        while end < len(cues) and cues[end].end_s - cues[at].start_s <= PASSAGE_S:
            end += 1
        last_s = max(cue.end_s for cue in cues[at:end])
        yield Cue(cues[at].start_s, last_s, " ".join(cue.text for cue in cues[at:end]), cues[at].kind)
        if end == len(cues):
            return
        following = next((i for i in range(at + 1, end) if cues[i].start_s >= cues[at].start_s + STEP_S), end)
        at = following


class MeaningStore:
    """The vectors of passages of an index folder, a file a video."""

    def __init__(self, folder: Path, model: str, revision: str) -> None:
        self.folder, self.model, self.revision = folder, model, revision

    @classmethod
    def open(cls, index: Path) -> Self | None:
        """That of an index folder; None where there is none that can be read."""
        try:
            values = json.loads((index / FOLDER / HEADER).read_text(encoding="utf-8"))
            return cls(index / FOLDER, str(values["model"]), str(values["revision"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @classmethod
    def create(cls, index: Path, model: SentenceModel) -> Self:
        """That of an index folder, begun anew where it was of another model. Raises FeatureError for a full disk."""
        known = cls.open(index)
        if known is None or known.revision != model.revision:
            known = cls(index / FOLDER, model.name, model.revision)
            known._put(index / FOLDER / HEADER, json.dumps({"model": model.name, "revision": model.revision}).encode())
        return known

    def path_of(self, video_id: str) -> Path:
        """Where the vectors of a video lie."""
        return self.folder / "meaning" / f"{hashlib.sha256(video_id.encode()).hexdigest()[:24]}.safetensors"

    def update(self, video_id: str, cues: Sequence[Cue], model: SentenceModel) -> bool:
        """Make the vectors of a video's passages anew where its words have changed; -> whether they had."""
        found = [one for kind in KINDS for one in passages([cue for cue in cues if cue.kind == kind])]
        stamp = f"{self.revision[:12]}:{zlib.crc32(json.dumps(found).encode()):08x}"
        path = self.path_of(video_id)
        if not found:
            had = path.exists()
            path.unlink(missing_ok=True)
            return had
        if self._stamp(path) == stamp:
            return False
        vectors = model.encode([one.text for one in found]).half()
        spans = torch.tensor([one[:2] for one in found], dtype=torch.float64)
        said = json.dumps([(one.text, one.kind) for one in found])
        metadata = {"video_id": video_id, "stamp": stamp, "said": said}
        self._put(path, tensor_bytes({"vectors": vectors, "spans": spans}, metadata))
        return True

    def read(self, video_ids: Sequence[str]) -> Iterator[tuple[str, Tensor, list[Cue]]]:
        """Of those videos that have any: vectors (P, D) float16 and the passages."""
        for video_id in video_ids:
            try:
                with safe_open(self.path_of(video_id), framework="pt") as file:
                    known = file.metadata()
                    if known["video_id"] != video_id or not known["stamp"].startswith(self.revision[:12]):
                        continue
                    spans = file.get_tensor("spans").tolist()
                    said = json.loads(known["said"])
                    cues = [Cue(*span, *one) for span, one in zip(spans, said, strict=True)]
                    yield video_id, file.get_tensor("vectors"), cues
            except (OSError, SafetensorError, KeyError, ValueError, TypeError):
                continue

    def foreign(self, model: SentenceModel) -> dict[int, Tensor]:
        """By size of a sentence, the vectors (B, D) of background sentences; made once and kept."""
        path = self.folder / "meaning" / "background.safetensors"
        stamp = f"{self.revision}:{zlib.crc32(repr([_foreign(size) for size in range(len(SIZES))]).encode()):08x}"
        if self._stamp(path) == stamp:
            with safe_open(path, framework="pt") as file:
                return {size: file.get_tensor(str(size)).float() for size in range(len(SIZES))}
        made = {size: model.encode(_foreign(size)) for size in range(len(SIZES))}
        with suppress(FeatureError):  # nothing may be written here: some seconds the next time, too
            rows = {str(size): vectors.half() for size, vectors in made.items()}
            self._put(path, tensor_bytes(rows, {"stamp": stamp}))
        return made

    def _stamp(self, path: Path) -> str:
        try:
            with safe_open(path, framework="pt") as file:
                return str(file.metadata()["stamp"])
        except (OSError, SafetensorError, KeyError, TypeError):
            return ""

    def _put(self, path: Path, content: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        except OSError as error:
            raise FeatureError(
                f"{self.folder}: cannot be written ({error.strerror}); free some space, then run the same command again"
            ) from error


class Usual(NamedTuple):
    """How near sentences about other topics come to their nearest passage."""

    middle: float  # half of them no nearer
    high: float  # nine in ten no nearer

    def chance(self, score: float) -> float:
        """That such a sentence is as near: falls from the middle on as it does from there to the height."""
        steps = (score - self.middle) / max(self.high - self.middle, 1e-6)
        return min(1.0, 0.5 * math.exp(-math.log(5) * min(steps, 400.0)))


@dataclass
class Meanings:
    """All passages of a library, as they are asked."""

    model: SentenceModel
    vectors: Tensor  # (P, D) float16
    owner: Tensor  # (P,) which of the videos
    video_ids: list[str]
    passages: list[Cue]
    foreign: Mapping[int, Tensor]  # by size of a sentence: (B, D) of background sentences
    _usual: dict[tuple[int, str], Usual] = field(default_factory=dict)  # by size of a sentence, and kind of words

    @classmethod
    def of(cls, index: Path, video_ids: Sequence[str], model: SentenceModel | None = None) -> Self | None:
        """Those of some videos of an index folder; None where there are none.

        Raises EncoderError where the model that made them cannot be had any more, or is another by now.
        """
        store = MeaningStore.open(index)
        rows = list(store.read(video_ids)) if store else []
        if store is None or not rows:
            return None
        model = model or load_sentence_model(store.model, fetching=False)
        if model.revision != store.revision:
            return None
        owner = torch.repeat_interleave(torch.tensor([len(cues) for _, _, cues in rows]))
        every = [cue for _, _, cues in rows for cue in cues]
        vectors, ids = torch.cat([vectors for _, vectors, _ in rows]), [row[0] for row in rows]
        return cls(model, vectors, owner, ids, every, store.foreign(model))

    def find(self, text: str, *, k: int, holds: Callable[[str], bool], kind: str = "") -> list[WordHit]:
        """The videos of which a passage is nearer to a text than chance, best first, of those that `holds` means.

        `kind` of words: said, written; both without it.
        A hit's score is half of what words that are all said would have, less where it is not sure; its weight how
        sure it is.
        """
        if not content(text):  # function words mean nothing by themselves
            return []
        query = self.model.encode([text])
        scores = self._scores(query)[0]  # (P,)
        usual = self._usual_of(size_of(text), kind)
        if kind:
            scores = scores.masked_fill(~self._of(kind), -torch.inf)
        best, places = _best_of_each(scores, self.owner, len(self.video_ids))
        order = best.argsort(descending=True, stable=True)[: max(k, 100)]
        chances = [usual.chance(score) for score in best[order].tolist()]
        found: list[WordHit] = []
        for video, p in zip(order.tolist(), chances, strict=True):
            if p >= UNSURE or len(found) == k:
                break
            if holds(self.video_ids[video]):
                quote = (self.passages[int(places[video])],)
                score = HALF if p <= LEVEL else HALF * weight(p) / 2
                found.append(WordHit(self.video_ids[video], score, quote, weight=weight(p), p=p))
        return found

    def _usual_of(self, size: int, kind: str) -> Usual:
        """What sentences of a size about other topics reach in this library."""
        if (size, kind) not in self._usual:
            vectors = self.vectors[self._of(kind)] if kind else self.vectors
            parts = [(self.foreign[size] @ rows.float().T).amax(1) for rows in torch.split(vectors, ROWS) if len(rows)]
            best = torch.stack(parts).amax(0) if parts else torch.ones(len(self.foreign[size]))
            middle, high = torch.quantile(best, torch.tensor([0.5, 0.9])).tolist()
            self._usual[size, kind] = Usual(middle, high)
        return self._usual[size, kind]

    def _of(self, kind: str) -> Tensor:
        """(P,) whether a passage is of a kind."""
        return torch.tensor([one.kind == kind for one in self.passages])

    def _scores(self, queries: Tensor) -> Tensor:
        """queries (Q, D) -> (Q, P)."""
        return torch.cat([queries @ rows.float().T for rows in torch.split(self.vectors, ROWS)], 1)


def _foreign(size: int) -> tuple[str, ...]:
    return background(size)[:SENTENCES]


def weight(p: float) -> float:
    """0 at `UNSURE`, 1 from `SURE` on, by the logarithm of a chance."""
    return min(1.0, max(0.0, math.log(max(p, 1e-300) / UNSURE) / math.log(SURE / UNSURE)))


def _best_of_each(scores: Tensor, owner: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """scores (P,), owner (P,) increasing -> the highest of each owner and its place, (V,) each."""
    best = torch.full((count,), -torch.inf).scatter_reduce(0, owner, scores, "amax")
    hits = (scores == best[owner]).nonzero().squeeze(1)
    places = torch.full((count,), len(scores)).scatter_reduce(0, owner[hits], hits, "amin")
    return best, places


def forget_words(index: Path, video_id: str) -> None:
    """Take what was heard and read in a video of an index folder, and what it means, from the disk."""
    for kind in (SPOKEN, ON_SCREEN):
        with suppress(FeatureError):  # transcripts whose header cannot be read
            if transcripts := TranscriptStore.open(index, kind):
                transcripts.remove(video_id)
    if meanings := MeaningStore.open(index):
        meanings.path_of(video_id).unlink(missing_ok=True)


def keep_meanings(index: Path, words: Mapping[str, Sequence[Cue]], name: str = THINGS) -> list[str]:
    """Bring the vectors of the words in some videos up to date; -> the ids of those that changed.

    Raises EncoderError where the sentence model cannot be had.
    """
    model = load_sentence_model(name)
    store = MeaningStore.create(index, model)
    changed = [video_id for video_id, cues in words.items() if store.update(video_id, cues, model)]
    if changed:
        store.foreign(model)
    return changed
