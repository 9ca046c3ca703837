"""Which film of a library a clip or a picture comes from, and at which second it is in it.

The index has a vector for every second or so of a film: by these a few places are chosen that look like the clip, as it
is or mirrored. An encoder says what is seen, not that it is the very same pictures. So the films' files are read around
these places, and the clip's small grey pictures are laid over theirs (`aligning`): that says whether it is from there,
and when, to a fraction of a second. A film whose file is gone cannot be looked at, and is named instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from prvr.core.errors import FeatureError, QueryError, VideoError
from prvr.core.files import there
from prvr.core.text import clock, text_of
from prvr.features.store import FeatureStore
from prvr.index.base import unit
from prvr.search.aligning import SIDE, fit, shows_something
from prvr.search.engine import SearchEngine
from prvr.search.places import locate
from prvr.video.apart import ask
from prvr.video.small import Glance, glance, small_pictures
from prvr.video.source import shown

LONGEST_S = 20.0  # of a clip that are looked at
STEP_S = 0.125  # between two pictures
PROBES = 8  # pictures of a clip that the encoder reads, and that are compared
VIDEOS = 20  # among which each of them is looked for
PLACES = 6  # that are looked at closely
APART_S = 4.0  # two places
AROUND_S = 3.0  # a place: the index may be off by so much
BESIDE_S = 30.0  # places of one film that may show the same set
GRID_S = 0.5  # between two offsets that are tried by the index alone
ALIKE, WEAKEST = 0.88, 0.6  # of what is from there, see `aligning.ClipFit` (benchmarks/locate.py)


class LikelyPlace(NamedTuple):
    """Where a clip may begin in a film, by the index alone."""

    video_id: str
    start_s: float
    score: float  # mean cosine of the clip's pictures with those of the film


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a clip comes from, or might."""

    video_id: str
    path: Path
    start_s: float  # of the film's clock, where the clip begins
    end_s: float  # where it ends, or where it was looked at no further
    alike: float  # see `aligning.ClipFit`
    weakest: float
    mirrored: bool

    @property
    def video(self) -> str:
        """The film, for people."""
        return text_of(self.path)

    @property
    def certain(self) -> bool:
        """Whether it is from there."""
        return self.alike >= ALIKE and self.weakest >= WEAKEST

    def as_dict(self) -> dict[str, Any]:
        """As JSON tells it."""
        return {
            "video_id": self.video_id,
            "path": text_of(self.path),
            "start": round(self.start_s, 3),
            "end": round(self.end_s, 3),
            "alike": round(self.alike, 3),
            "mirrored": self.mirrored,
        }


class Origins(NamedTuple):
    """What was found out about a clip."""

    origins: list[Origin]  # the best first; none where it is from no film that can be looked at
    unseen: dict[str, str]  # video id -> a line: films that it may be from and that cannot be looked at
    looked_at: list[Origin]  # every place that was compared, certain or not, the best first

    def as_dict(self) -> dict[str, Any]:
        """As JSON tells it."""
        return {
            "origins": [{"rank": rank, **one.as_dict()} for rank, one in enumerate(self.origins, 1)],
            "unseen": [{"video_id": video_id, "reason": reason} for video_id, reason in self.unseen.items()],
        }


def look_at(path: Path) -> Glance:
    """The beginning of a clip, or a picture. Raises QueryError for what is neither."""
    try:
        return ask(glance, path, longest_s=LONGEST_S, step_s=STEP_S, side=SIDE, colours=PROBES)
    except VideoError as error:
        raise QueryError(f"{shown(path)}: cannot be read as a clip or a picture ({error})") from error


def likely_places(engine: SearchEngine, seen: Glance) -> list[LikelyPlace]:
    """The places that look most like a clip, best first. Raises QueryError where the index knows no single pictures."""
    spec = engine.encoder.spec
    if spec.clips and spec.clips.width == spec.width:
        raise QueryError(
            f"the encoder of this index ({spec.name}) reads windows of frames, and cannot be asked about pictures; "
            "index with one that reads frames: `prvr index PATH --index ANOTHER --encoder NAME`"
        )
    colours = torch.from_numpy(seen.colours)
    images = engine.encoder.prepare(torch.cat([colours, colours.flip(3)]))
    queries = unit(engine.encoder.encode_images(images))  # (2P, E), the mirrored ones last
    at_s = torch.tensor(seen.places) * STEP_S
    found = [place for film in _films(engine, queries) for place in _best_places(*film, queries, at_s)]
    return sorted(found, key=lambda place: -place.score)[:PLACES]


def _films(engine: SearchEngine, queries: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Id, vectors (N, E) and seconds (N,) of the films that may be meant; of all of them where a model ranks.

    What a model makes of pictures hangs on those around them, so there the encoder's own vectors are compared.
    """
    if not engine.trained.fingerprint:
        near = {one.video_id: one.bank for query in queries for one in engine.index.search(query, k=VIDEOS)}
        for video_id, bank in near.items():
            yield video_id, bank.tokens[: bank.num_frames].float(), bank.spans[: bank.num_frames].mean(1)
        return
    try:
        store = FeatureStore.open(engine.folder / "features")
    except FeatureError as error:
        raise QueryError(
            f"the model of this index ({engine.trained.title}) needs the features beside it: {error}"
        ) from error
    for video_id in engine.index.versions:
        if video_id in store:
            video = store.read(video_id)
            yield video_id, unit(video.features), video.times.float()


def _best_places(video_id: str, tokens: Tensor, times: Tensor, queries: Tensor, at_s: Tensor) -> Iterator[LikelyPlace]:
    """The offsets of one film at which a clip looks most like it, some seconds apart."""
    cosines = (tokens @ queries.T).view(len(tokens), 2, -1)  # (N, 2, P)
    starts = torch.arange(0, max(GRID_S, float(times[-1]) - float(at_s[-1]) + 1), GRID_S)  # (O,)
    nearest = torch.bucketize(starts[:, None] + at_s, (times[1:] + times[:-1]) / 2)  # (O, P)
    scores = cosines[nearest, :, torch.arange(len(at_s))].mean(1).amax(1)  # (O, P, 2) -> (O,)
    for _ in range(PLACES):
        best = int(scores.argmax())
        if scores[best] == -torch.inf:
            return
        yield LikelyPlace(video_id, float(starts[best]), float(scores[best]))
        scores[(starts - starts[best]).abs() < APART_S] = -torch.inf


def compare(seen: Glance, places: Sequence[LikelyPlace], files: Mapping[str, Path | None]) -> Origins:
    """Look at the places themselves, the likeliest first, until the clip is found.

    `files` has the file of every film, None where there is none. Raises QueryError for a clip that shows nothing.
    """
    at = torch.tensor(seen.places)
    clip = torch.from_numpy(seen.small.greys)[at]
    if not (real := shows_something(clip)).any():
        raise QueryError("the clip shows nothing to know it by, its pictures are blank; give one that shows more")
    clip, at = clip[real], at[real]
    found: list[Origin] = []
    unseen: dict[str, str] = {}
    for place in places:
        if any(one.certain and not _beside(one, place) for one in found):
            continue
        file = files.get(place.video_id)
        try:
            if file is None or not there(file):
                where = "only its features are here" if file is None else f"{shown(file)} is gone"
                raise VideoError(
                    f"it may be from here, about {clock(place.start_s)}, but {where}: it cannot be compared"
                )
            found += _look(place, file, clip, at, len(seen.small.greys) * STEP_S)
        except VideoError as error:
            unseen[place.video_id] = str(error)
    found.sort(key=lambda one: (-one.certain, -one.alike))
    certain = _once([one for one in found if one.certain])
    return Origins(certain, {} if certain else unseen, found)


def find_origin(engine: SearchEngine, path: Path) -> Origins:
    """Where a clip or a picture comes from. Raises QueryError for a file that is neither."""
    seen = look_at(path)
    places = likely_places(engine, seen)
    facts = {place.video_id: engine.index.facts(place.video_id) for place in places}
    files = {video_id: locate(engine.folder, one.path) if one.path else None for video_id, one in facts.items()}
    return compare(seen, places, files)


def _look(place: LikelyPlace, file: Path, clip: Tensor, at: Tensor, lasts_s: float) -> list[Origin]:
    """Where a clip fits best around a place; nothing where the film is too short for it. Raises VideoError."""
    begin, end = max(0.0, place.start_s - AROUND_S), place.start_s + lasts_s + AROUND_S
    film = ask(small_pictures, file, begin, end, step_s=STEP_S, side=SIDE)
    if len(film.greys) <= int(at.max()):
        return []
    best = fit(clip, at, torch.from_numpy(film.greys))
    start = film.start_s + best.offset * STEP_S
    return [
        Origin(
            video_id=place.video_id,
            path=file,
            start_s=start,
            end_s=start + lasts_s,
            alike=best.alike,
            weakest=best.weakest,
            mirrored=best.mirrored,
        )
    ]


def _beside(found: Origin, place: LikelyPlace) -> bool:
    return found.video_id == place.video_id and abs(found.start_s - place.start_s) < BESIDE_S


def _once(origins: Sequence[Origin]) -> list[Origin]:
    """Without what was found near a better one: what stands still fits a while, and less well."""
    kept: list[Origin] = []
    for one in origins:
        if not any(one.video_id == other.video_id and abs(one.start_s - other.start_s) < BESIDE_S for other in kept):
            kept.append(one)
    return kept
