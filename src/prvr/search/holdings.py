"""What a library holds, for those who show it: read once a commit, then looked at without the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from prvr.core.errors import DataError
from prvr.core.facts import Facts, Where
from prvr.core.files import there
from prvr.core.types import EncoderSpec
from prvr.data.annotations import read_queries
from prvr.index.base import ZERO_SHOT
from prvr.index.opening import exists
from prvr.search.confidence import CONFIDENT, RELATED, verdict
from prvr.search.engine import SearchEngine
from prvr.search.indexing import locate

__all__ = ["Facts", "Holdings", "Where", "holdings", "is_index", "opening"]

EXAMPLES = Path("annotations") / "test.jsonl"


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """One commit of an index."""

    folder: Path  # of the index
    generation: str
    facts: Mapping[str, Facts]  # by video id, in order of the ids
    encoder: EncoderSpec
    model: str
    calibrated: bool
    num_bytes: int
    problems: tuple[str, ...]

    def file(self, video_id: str) -> Path | None:
        """Where a video lies; None where only its features are known."""
        path = self.facts[video_id].path
        return locate(self.folder, path) if path else None

    def gone(self) -> dict[str, str]:
        """The videos whose files are not there, and the paths that the index has for them; a look at the disk for each.

        What cannot be looked at, for want of a right or of the drive that it is on, is not said to be gone.
        """
        places = self.folder, self.folder.absolute().parent
        files = {video_id: facts.path for video_id, facts in self.facts.items() if facts.path}
        return {one: path for one, path in files.items() if not any(there(place / path) for place in places)}

    def meant(self, where: Where | None) -> int:
        """How many videos a filter means."""
        return len(self.facts) if not where else sum(where.holds(facts) for facts in self.facts.values())

    @cached_property
    def examples(self) -> tuple[str, ...]:
        """Sentences that this library can answer: of the annotations in its folder, or in the one that it lies in."""
        return examples(self.folder, self.facts)


def holdings(engine: SearchEngine) -> Holdings:
    """What the index of an engine holds now. Raises IndexFolderError when it cannot be read."""
    index, generation, trained = engine.index, engine.generation, engine.trained
    facts = index.all_facts()  # damage is met by reading
    return Holdings(
        folder=engine.folder,
        generation=generation,
        facts=facts,
        encoder=engine.encoder.spec,
        model=f"{trained.title}@{trained.fingerprint[:6]}" if trained.fingerprint else ZERO_SHOT,
        calibrated=engine.judge is not None,
        num_bytes=index.num_bytes,
        problems=tuple(index.problems),
    )


def is_index(folder: Path) -> bool:
    """Whether an index lies in a folder, of whatever state."""
    return exists(folder)


def opening(engine: SearchEngine, held: Holdings, *, most: int = 30) -> str:
    """The sentence to begin with: the first of some captions whose answer stands out; empty where none is known."""
    texts = examples(engine.folder, held.facts, most=most)
    sure = (text for text in texts if verdict(engine.search(text, k=1)) in (CONFIDENT, RELATED))
    return next(sure, texts[0] if texts else "")


def examples(folder: Path, known: Mapping[str, Facts], *, most: int = 6) -> tuple[str, ...]:
    """At most so many captions of videos that are there, each of another video, spread over all; none without any."""
    for place in (folder, folder.absolute().parent):
        try:
            queries = read_queries(place / EXAMPLES)
        except (OSError, DataError):
            continue
        texts = list({query.video_id: query.text for query in queries if query.video_id in known}.values())
        if texts:
            return tuple(texts[at * len(texts) // most] for at in range(most)) if len(texts) > most else tuple(texts)
    return ()
