"""The five lines: a folder of videos that can be searched.

>>> from prvr import Library
>>> lib = Library("~/Videos", encoder="siglip2-b16").index()                     # doctest: +SKIP
>>> hits = lib.search("a dog jumps into the pool", k=5)                         # doctest: +SKIP
>>> for h in hits: print(h.video, h.start, h.end, h.score, h.confidence)        # doctest: +SKIP
>>> hits[0].export("dog.mp4")                                                   # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from prvr.core.errors import IndexFolderError, VideoError
from prvr.core.facts import Where
from prvr.core.files import there
from prvr.core.places import expanded
from prvr.core.types import Hit, Query, Span
from prvr.encoders.loading import load_encoder
from prvr.encoders.pair import paired
from prvr.features.extract import Progress
from prvr.search.choosing import Chosen, choose_encoder
from prvr.search.engine import SearchEngine
from prvr.search.export import SearchHit, export
from prvr.search.indexing import Indexing, build_index
from prvr.search.replacing import replace_index


class Library:
    """Folders of video and the index over them.

    The index lies in `.prvr` beside the videos unless `index` names another folder. Without a `model` (a run folder)
    the bare encoder ranks; without an `encoder`, the one that the index was made with, else the user's default model
    (see `choosing`). A `clip_encoder` reads windows of frames beside it, for what moves. Settings that do not fit an
    index which exists are refused, not mixed in: see `index`.
    Raises VideoError where there are neither videos nor an index of them.
    """

    def __init__(
        self,
        videos: str | Path,
        *,
        encoder: str | None = None,
        clip_encoder: str | None = None,
        index: str | Path | None = None,
        model: str | Path | None = None,
        device: str = "auto",
    ) -> None:
        self.videos = expanded(videos)
        self.folder = expanded(index) if index else self.videos / ".prvr"
        self.encoder, self.clip_encoder = encoder, clip_encoder
        self.model = expanded(model) if model else None
        self.device = device
        self.last: Indexing | None = None  # what the last call of `index` did
        self._engine: SearchEngine | None = None
        if not there(self.folder) and not there(self.videos):
            raise VideoError(f"{self.videos}: no such file or folder; check the path")

    def index(
        self,
        *,
        home: Sequence[str | Query] = (),
        replace: bool = False,
        exclude: Sequence[str] = (),
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Self:
        """Read what is new or changed; safe to stop and to call again. `last` then says what was done.

        `home` are sentences about what these videos are about, though none of them shows it: with them, hits are said
        to be `confident`. With `replace` an index of another encoder or model is made anew, see `replacing`; without it
        that raises IndexFolderError. `exclude` are patterns of files and folders to leave out. Raises VideoError where
        there is nothing to read.
        """
        chosen = Chosen(self.encoder) if self.encoder else choose_encoder([self.videos], self.folder)
        name = paired(chosen.encoder, self.clip_encoder)
        encoder = load_encoder(name, device=self.device, fetching=chosen.fetching)
        build = replace_index if replace else build_index
        self.last = build(
            [self.videos], self.folder, encoder, model=self.model, home=home, exclude=exclude, on_progress=on_progress
        )
        if not self.last.extraction.video_ids:
            why = next(iter(self.last.extraction.failed.values()), "give a folder that holds video files")
            raise VideoError(f"{self.videos}: no video could be read there; {why}")
        self._engine = None
        return self

    def search(
        self, query: str, *, k: int = 5, where: Where | None = None, words: bool = True, calibrated: bool = True
    ) -> list[SearchHit]:
        """The k best videos for a query, best first: a sentence, `-what not`, `A then B within 30s`, `path:` filters.

        `words`: names and subtitles are searched too. `calibrated`: hits say how sure they are. Raises QueryError for
        what cannot be asked, IndexFolderError when nothing was indexed yet.
        """
        return self.engine.search(query, k=k, where=where, words=words, calibrated=calibrated)

    def search_image(self, picture: str | Path, *, k: int = 5) -> list[SearchHit]:
        """The k videos that show what a picture shows. Raises QueryError where the model reads words only."""
        return self.engine.search_image(expanded(picture), k=k)

    def search_like(self, hit: Hit, span: Span | None = None, *, k: int = 5) -> list[SearchHit]:
        """The k other videos that show what a hit shows in its best moment, or from `span[0]` to `span[1]` seconds."""
        return self.engine.search_like(hit.video_id, span or hit.moments[0], k=k)

    def export(
        self, hits: Sequence[Hit], out: str | Path, *, query: str = "", before_s: float = 0.0, after_s: float = 0.0
    ) -> Path:
        """Write the moments of several hits as `out` names: a table or an edit list (see `search.export`); -> it."""
        return export(hits, expanded(out), query=query, before_s=before_s, after_s=after_s)

    @property
    def engine(self) -> SearchEngine:
        """What answers. Raises IndexFolderError when nothing was indexed yet."""
        if self._engine is None:
            if not self.folder.exists():
                raise IndexFolderError(f"{self.folder}: nothing is indexed yet; call .index() first")
            self._engine = SearchEngine.open(self.folder, device=self.device)
        return self._engine
