"""What a library holds, without its encoder: its videos, whether their files are there, and how they were read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import torch

from prvr.core.errors import FeatureError, IndexFolderError, VideoError
from prvr.core.facts import EVERY, Where
from prvr.core.files import Presence, presence
from prvr.core.places import expanded
from prvr.core.text import count, nearest, text_of
from prvr.core.types import EncoderSpec
from prvr.features.store import FeatureStore, StoreHeader
from prvr.index.base import ZERO_SHOT
from prvr.index.opening import engine_of, open_index
from prvr.ranker.ranker import open_run
from prvr.search.judge import Judge
from prvr.search.keeping import failures
from prvr.search.places import locate
from prvr.search.replacing import kept_features
from prvr.search.spoken import Spoken
from prvr.subtitles.beside import Beside
from prvr.video.probe import probe
from prvr.video.promise import cut_short

Order = Literal["name", "newest", "longest"]


@dataclass(frozen=True, kw_only=True)
class ShelfVideo:
    """A video of a library."""

    video_id: str
    path: Path | None  # None: only its features are known
    duration_s: float
    state: Presence
    modified: float  # unix seconds, of the file when it was read
    read_at: float | None  # unix seconds; None where its features are not kept
    tags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file, for people."""
        return text_of(self.path.name) if self.path else PurePosixPath(self.video_id).name

    def as_dict(self) -> dict[str, Any]:
        """As JSON tells it."""
        return {
            **asdict(self),
            "path": text_of(self.path) if self.path else None,
            "duration_s": round(self.duration_s, 3),
        }


@dataclass(frozen=True, kw_only=True)
class ShelfFacts:
    """An index as a whole."""

    folder: Path
    encoder: EncoderSpec
    model: str  # its title and fingerprint, or `zero-shot`: the bare encoder ranks
    width: int  # D of its vectors
    videos: int
    missing: int  # of them, whose files are gone
    failures: int  # files that could not be read, or only in part
    ignored: int  # of them, that are left alone
    duration_s: float
    calibrated: bool
    num_bytes: int  # of the index without the features; 0 where a server holds the vectors
    server: str | None
    sampled: StoreHeader | None  # None: no features are kept
    kept: tuple[Path, ...]  # features of other encoders
    tags: tuple[str, ...]
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON tells it."""
        return {
            **asdict(self),
            "folder": str(self.folder),
            "encoder": self.encoder.fingerprint,
            "kept": [text_of(path) for path in self.kept],
            "sampled": {"rate": self.sampled.rate, "max_frames": self.sampled.max_frames} if self.sampled else None,
        }


ORDERS: dict[Order, Callable[[ShelfVideo], tuple[object, ...]]] = {
    "name": lambda one: (text_of(one.path or one.video_id).casefold(), one.video_id),
    "newest": lambda one: (-one.modified, one.video_id),
    "longest": lambda one: (-one.duration_s, one.video_id),
}


def videos_of(folder: Path, *, where: Where = EVERY, order: Order = "name") -> list[ShelfVideo]:
    """The videos of the index at `folder` that a filter means. Raises IndexFolderError when it cannot be read."""
    with open_index(folder) as index:
        facts = index.all_facts()
    store = _store(folder)
    found = []
    for video_id, one in facts.items():
        if where.holds(one):
            path = locate(folder, one.path) if one.path else None
            read_at = store.read_at(video_id) if store else None
            found.append(
                ShelfVideo(
                    video_id=video_id,
                    path=path,
                    duration_s=one.duration_s,
                    state=presence(path),
                    modified=one.modified,
                    read_at=read_at,
                    tags=one.tags,
                )
            )
    return sorted(found, key=ORDERS[order])


def facts_of(folder: Path) -> ShelfFacts:
    """The index at `folder`. Raises IndexFolderError when it cannot be read."""
    videos = videos_of(folder)
    unread = failures(folder)
    store = _store(folder)
    with open_index(folder) as index:
        header = index.header
        trained = None if header.model == ZERO_SHOT else open_run(folder / "model")
        return ShelfFacts(
            folder=folder,
            encoder=header.encoder,
            model=f"{trained.title}@{trained.fingerprint[:6]}" if trained else header.model,
            width=header.width,
            videos=len(videos),
            missing=sum(one.state == "missing" for one in videos),
            failures=len(unread),
            ignored=sum(one.ignored for one in unread),
            duration_s=sum(one.duration_s for one in videos),
            calibrated=Judge.of(index) is not None,
            num_bytes=index.num_bytes,
            server=engine_of(folder),
            sampled=store.header if store else None,
            kept=tuple(kept_features(folder)),
            tags=tuple(sorted({tag for one in videos for tag in one.tags})),
            problems=tuple(index.problems),
        )


def chosen(videos: Sequence[ShelfVideo], names: Iterable[str | Path]) -> list[ShelfVideo]:
    """The videos that are named: by id, by path, by the name of their file, or by a folder that they are in.

    Each once, in the order in which they are named. Raises IndexFolderError for a name that means none of them, or
    that several files have.
    """
    found = {one.video_id: one for name in names for one in _named(videos, str(name))}
    return list(found.values())


def _named(videos: Sequence[ShelfVideo], name: str) -> list[ShelfVideo]:
    by_id = [one for one in videos if one.video_id == name]
    if by_id:
        return by_id
    here = expanded(name).resolve()
    below = [one for one in videos if one.path and one.path.resolve().is_relative_to(here)]
    if below:
        return below
    called = [one for one in videos if one.name == name]
    if len(called) > 1:
        raise IndexFolderError(
            f"{name}: {len(called)} videos are called so; give the path of one: {', '.join(map(_place, called[:3]))}"
        )
    if called:
        return called
    names = {one.name for one in videos} | {one.video_id for one in videos}
    near = nearest(name, sorted(names)) or nearest(PurePosixPath(name).name, sorted(names))
    hint = f"did you mean {near}?" if near else "`prvr list` names them"
    raise IndexFolderError(f"{name}: no such video or folder in this library; {hint}")


def _place(video: ShelfVideo) -> str:
    return text_of(video.path or video.video_id)


def _store(folder: Path) -> FeatureStore | None:
    try:
        return FeatureStore.open(folder / "features")
    except FeatureError:
        return None


def vectors_of(folder: Path, video_id: str) -> tuple[int, int]:
    """How many vectors of the frame branch and of the clip branch a video has. Raises IndexFolderError."""
    with open_index(folder) as index:
        bank = index.candidate(torch.zeros(index.header.width), video_id).bank
    return bank.num_frames, len(bank.tokens) - bank.num_frames


def file_facts(folder: Path, video: ShelfVideo) -> dict[str, Any]:
    """What the file of a video in the index at `folder`, and those beside it, say now; nothing where it is gone."""
    if video.path is None or video.state != "here":
        return {}
    names = [text_of(file.name) for file in Beside().of(video.path)]
    notes: list[str] = []
    said = Spoken(folder / "features").cues(video.video_id, video.path, notes)
    found: dict[str, Any] = {"subtitles": names, "num_cues": len(said), "notes": notes}
    if said or names:
        found["subtitles_said"] = f"{', '.join(names) or 'in the file'}: {count(len(said), 'line')}"
    try:
        info = probe(video.path)
        cut = cut_short(video.path, duration_s=info.duration_s)
    except VideoError as error:
        return {**found, "problem": str(error)}
    notes += info.notes
    varies = ", varying" if info.variable_rate else ""
    return {
        **found,
        "picture": f"{info.video_codec}, {info.width} x {info.height}, {info.rate:.3g} frames a second{varies}",
        "sound": info.audio_codec or "none",
        "start_s": round(info.start_s, 3),
        "browser_playable": info.browser_playable,
        "problem": cut.told(video.path) if cut else None,
    }
