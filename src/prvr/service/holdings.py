"""What a library holds, for those who show it: read once a commit, then looked at without the engine."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from prvr.core.facts import Facts, Where
from prvr.core.files import there
from prvr.core.text import path_of, text_of
from prvr.core.types import EncoderSpec
from prvr.search.engine import SearchEngine
from prvr.search.examples import kept_examples
from prvr.search.places import locate

Order = Literal["name", "newest", "oldest", "longest"]
ORDERS: dict[Order, Callable[[tuple[str, Facts]], tuple[object, ...]]] = {
    "name": lambda item: ((item[1].path or item[0]).casefold(), item[0]),
    "newest": lambda item: (-item[1].modified, item[0]),
    "oldest": lambda item: (item[1].modified, item[0]),
    "longest": lambda item: (-item[1].duration_s, item[0]),
}


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """One commit of an index."""

    folder: Path  # of the index
    generation: str
    facts: Mapping[str, Facts]  # by video id, in order of the ids
    encoder: EncoderSpec
    model: str
    calibrated: bool
    pictures: bool  # it can be asked with a picture
    num_bytes: int
    problems: tuple[str, ...]
    examples: tuple[str, ...]  # sentences that this library answers

    def file(self, video_id: str) -> Path | None:
        """Where a video lies; None where only its features are known."""
        path = self.facts[video_id].path
        return locate(self.folder, path) if path else None

    def name(self, video_id: str) -> str:
        """A video's file name."""
        return PurePosixPath(self.facts[video_id].path or video_id).name or video_id

    def path(self, video_id: str) -> str:
        """Where a video lies below the library; its id where it lies elsewhere, so that no other folder is named."""
        path = self.facts[video_id].path
        return video_id if not path or PurePosixPath(path).is_absolute() else path

    def listed(self, *, path: str | None = None, order: Order = "name", of: Container[str] | None = None) -> list[str]:
        """The videos whose paths hold a text, or fit a pattern, in some order; `of` limits them further."""
        where = Where(path=path)
        items = [item for item in self.facts.items() if where.holds(item[1]) and (of is None or item[0] in of)]
        return [video_id for video_id, _ in sorted(items, key=ORDERS[order])]

    def twin(self, path: Path, own: str) -> str | None:
        """Which other video a file, or that of the old name in a folder, is in the index as."""
        here = (path / path_of(self.name(own)) if path.is_dir() else path).resolve()
        ends = text_of(here.name)
        alike = (name for name, facts in self.facts.items() if name != own and facts.path.endswith(ends))
        places = ((name, self.file(name)) for name in alike)
        return next((name for name, file in places if file and file.resolve() == here), None)

    def gone(self) -> dict[str, str]:
        """The videos whose files are not there, and the paths that the index has for them; a look at the disk for each.

        What cannot be looked at, for want of a right or of the drive that it is on, is not said to be gone.
        """
        places = self.folder, self.folder.absolute().parent
        files = {video_id: facts.path for video_id, facts in self.facts.items() if facts.path}
        return {one: path for one, path in files.items() if not any(there(place / path_of(path)) for place in places)}

    def meant(self, where: Where | None) -> int:
        """How many videos a filter means."""
        return len(self.facts) if not where else sum(where.holds(facts) for facts in self.facts.values())


def name_of(folder: Path) -> str:
    """What a library is called, by where its index lies."""
    folder = folder.absolute()
    return folder.parent.name if folder.name in (".prvr", "index") else folder.name


def holdings(engine: SearchEngine) -> Holdings:
    """What the index of an engine holds now. Raises IndexFolderError when it cannot be read."""
    index, generation, trained = engine.index, engine.generation, engine.trained
    facts = index.all_facts()  # damage is met by reading
    return Holdings(
        folder=engine.folder,
        generation=generation,
        facts=facts,
        encoder=engine.encoder.spec,
        model=f"{trained.title}@{trained.fingerprint[:6]}" if trained.fingerprint else index.header.model,
        calibrated=engine.judge is not None,
        pictures=not trained.fingerprint,
        num_bytes=index.num_bytes,
        problems=tuple(engine.problems),
        examples=kept_examples(index),
    )
