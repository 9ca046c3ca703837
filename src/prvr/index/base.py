"""What every engine behind the index answers to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from prvr.core.errors import IndexFolderError
from prvr.core.facts import UNKNOWN, Cue, Facts, Where
from prvr.core.types import Bank, Candidate, EncoderSpec

VERSION = 2
ZERO_SHOT = "zero-shot"


@dataclass(frozen=True, kw_only=True)
class IndexHeader:
    """What the vectors of an index have in common; a query made otherwise would score nonsense."""

    encoder: EncoderSpec
    model: str  # ZERO_SHOT, or the fingerprint of the trained model that lies in the index
    width: int  # D of the vectors
    clip_weight: float  # share of the clip branch in the score, 0..1
    version: int = VERSION  # of the format on disk


class Video(NamedTuple):
    """All that is given to `add`."""

    video_id: str
    bank: Bank
    version: str = ""  # what the vectors were made from
    facts: Facts = UNKNOWN
    cues: tuple[Cue, ...] = ()


class WordHit(NamedTuple):
    """A video whose name or subtitles hold words of a text."""

    video_id: str
    score: float  # 0..1, the share of the text's information that its best cue, or its name, holds
    cues: tuple[Cue, ...]  # those that hold words of it, best first; none where only the name does
    named: bool = False  # whether it holds a word that hardly any other does in a large library
    weight: float | None = None  # 0..1, how much it counts beside what is seen; None: as its score says
    p: float | None = None  # chance that a text about other things comes as near, where it is said by its meaning
    leads: bool = False  # whether its moment comes first, however little of the text it holds


class Index(Protocol):
    """Whatever is asked of an index; text becomes a vector before it arrives.

    Written with `add`, `remove`, `put_tags`, `put_note` and `save`; read with `search`, `score_all`, `candidate` and
    `words` by what videos show and say, and with the others by what is known of them and of the index.
    """

    @property
    def header(self) -> IndexHeader:
        """What the vectors have in common."""
        ...

    @property
    def generation(self) -> str:
        """Another one after every change, whoever made it."""
        ...

    @property
    def problems(self) -> Sequence[str]:
        """Damage that was met so far, one line each; what is sound answers all the same."""
        ...

    @property
    def num_bytes(self) -> int:
        """Bytes of the index on this machine's disk; 0 where it lies in memory, or a server holds it."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """Every video's `version`, as it was given to `add`."""
        ...

    def add(
        self, video_id: str, bank: Bank, *, version: str = "", facts: Facts = UNKNOWN, cues: Sequence[Cue] = ()
    ) -> None:
        """One video; replaces what was there under this id. `version` says what the vectors were made from."""
        ...

    def remove(self, video_id: str) -> None:
        """Forget one video; nothing happens if it is not there."""
        ...

    def search(self, query: Tensor, *, k: int, where: Where | None = None) -> list[Candidate]:
        """query (D,) -> the k best videos, best first, with exact scores; equal scores in order of their ids."""
        ...

    def save(self, folder: Path) -> None:
        """Make everything that was added durable."""
        ...

    def __len__(self) -> int:
        """Number of videos."""
        ...

    def facts(self, video_id: str) -> Facts:
        """What is known of one video. Raises IndexFolderError when it is not there."""
        ...

    def all_facts(self) -> Mapping[str, Facts]:
        """What is known of every video, in order of their ids."""
        ...

    def candidate(self, query: Tensor, video_id: str) -> Candidate:
        """query (D,) -> one named video, scored. Raises IndexFolderError when it is not there."""
        ...

    def score_all(self, queries: Tensor, *, where: Where | None = None) -> tuple[list[str], Tensor]:
        """queries (B, D) -> ids in order, and the exact fused score of every video (B, V)."""
        ...

    def words(self, text: str, *, k: int, where: Where | None = None, kind: str | None = None) -> list[WordHit]:
        """The k videos whose names or words say most of a text, best first: BM25 over its content words.

        With `kind` (`core.facts.SAID` or `WRITTEN`) only words of that kind count, and no names.
        """
        ...

    def put_tags(self, tags: Mapping[str, Sequence[str]]) -> None:
        """Set `Facts.tags` of some videos; nothing happens for those that are not there."""
        ...

    def note(self, name: str) -> str | None:
        """A text kept with the index, such as the state of its calibration."""
        ...

    def notes(self) -> Mapping[str, str]:
        """All notes by their names."""
        ...

    def put_note(self, name: str, text: str) -> None:
        """Keep a text with the index; replaces what was there under this name."""
        ...

    def videos(self, ids: Iterable[str] | None = None) -> Iterator[Video]:
        """These videos, or all, with all that was given to `add`, in order of their ids.

        Raises IndexFolderError for one that is not there.
        """
        ...


def check_bank(video_id: str, bank: Bank, header: IndexHeader) -> None:
    """Raises IndexFolderError unless the vectors of a video are as wide as the index."""
    if bank.tokens.shape[1] != header.width:
        raise IndexFolderError(
            f"{video_id}: vectors are {bank.tokens.shape[1]} wide, the index holds {header.width}; "
            "index into another folder"
        )


def fits(ours: IndexHeader, theirs: IndexHeader) -> bool:
    """Whether vectors of the two can be compared; an encoder may have another name or place."""
    return theirs.encoder.same_as(ours.encoder) and replace(theirs, encoder=ours.encoder) == ours


def difference(there: IndexHeader, asked: IndexHeader) -> str:
    """What vectors of two indexes have not in common, naming both; empty where they can be compared."""
    parts = {
        "encoder": (there.encoder.fingerprint, asked.encoder.fingerprint),
        "model": (there.model, asked.model),
        "width": (there.width, asked.width),
        "share of clips": (there.clip_weight, asked.clip_weight),
        "format": (there.version, asked.version),
    }
    if there.encoder.same_as(asked.encoder):
        del parts["encoder"]
    found = [f"its {name} is {ours}, not {theirs}" for name, (ours, theirs) in parts.items() if ours != theirs]
    return ", ".join(found)


def unit(query: Tensor) -> Tensor:
    """(..., D) -> the same directions, of length one."""
    return torch.nn.functional.normalize(query.float(), dim=-1, eps=1e-12)
