"""The five lines: a folder of videos that can be searched.

>>> from prvr import Library
>>> lib = Library("~/Videos", encoder="openai/clip-vit-base-patch32").index()   # doctest: +SKIP
>>> hits = lib.search("a dog jumps into the pool", k=5)                         # doctest: +SKIP
>>> for h in hits: print(h.video, h.start, h.end, h.score, h.confidence)        # doctest: +SKIP
>>> hits[0].export("dog.mp4")                                                   # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

from prvr.core.errors import IndexFolderError, VideoError
from prvr.core.types import Hit
from prvr.encoders.loading import load_encoder
from prvr.features.extract import Progress
from prvr.search.engine import SearchEngine
from prvr.search.indexing import Indexing, build_index
from prvr.video.cut import cut


class Found(Hit):
    """A hit whose best moment can be saved as a file."""

    @property
    def video(self) -> str:
        """The file, or the id where the file is not known."""
        return str(self.path or self.video_id)

    def export(self, out: str | Path) -> Path:
        """Write the best moment as .mp4 or .webm; -> that file. Raises VideoError when the video is gone."""
        if self.path is None or not self.path.exists():
            raise VideoError(f"{self.video}: is not there any more; index the folder where it lies now")
        target = Path(out).expanduser()
        cut(self.path, self.start, self.end, target)
        return target


class Library:
    """Folders of video and the index over them.

    The index lies in `.prvr` beside the videos unless `index` names another folder. Without a `model` (a run folder)
    the bare encoder ranks. Settings that do not fit an index which exists are refused, not mixed in.
    """

    def __init__(
        self,
        videos: str | Path,
        *,
        encoder: str = "world",
        index: str | Path | None = None,
        model: str | Path | None = None,
        device: str = "auto",
    ) -> None:
        self.videos = Path(videos).expanduser()
        self.folder = Path(index).expanduser() if index else self.videos / ".prvr"
        self.encoder = encoder
        self.model = Path(model).expanduser() if model else None
        self.device = device
        self.last: Indexing | None = None  # what the last call of `index` did
        self._engine: SearchEngine | None = None

    def index(self, *, on_progress: Callable[[Progress], None] | None = None) -> Self:
        """Read what is new or changed; safe to stop and to call again. `last` then says what was done."""
        self.last = build_index(
            [self.videos],
            self.folder,
            load_encoder(self.encoder, device=self.device),
            model=self.model,
            on_progress=on_progress,
        )
        self._engine = None
        return self

    def search(self, query: str, *, k: int = 5) -> list[Found]:
        """The k best videos for a sentence, best first.

        Raises QueryError for what is not a sentence, IndexFolderError when nothing was indexed yet.
        """
        if self._engine is None:
            if not self.folder.exists():
                raise IndexFolderError(f"{self.folder}: nothing is indexed yet; call .index() first")
            self._engine = SearchEngine.open(self.folder, device=self.device)
        return [Found(**vars(hit)) for hit in self._engine.search(query, k=k)]
