"""A folder that holds one benchmark: annotations a split, and frozen features, ours or as others published them::

DIR/annotations/train.jsonl, val.jsonl, test.jsonl    queries, see `prvr.data.annotations`; or the authors' own files,
                                                      or caption files, see `prvr.data.benchmarks`
DIR/features/                                         a feature store, see `prvr.features.store`;
DIR/FeatureData, DIR/TextData                         or a published pack, see `prvr.features.packs`
DIR/prepared/                                         made by `prvr`, may be deleted
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from prvr.core.config import fingerprint
from prvr.core.errors import FeatureError
from prvr.core.method import Prepared
from prvr.core.types import Encoder, EncoderSpec, FeatureSpec, Query
from prvr.data.benchmarks import Annotations, open_annotations
from prvr.data.dataset import RetrievalSet
from prvr.data.sources import FeatureSource, PackSource, StoreSource
from prvr.data.teachers import Resample, TeacherSource, open_teacher, taught
from prvr.features.packs import packs_at
from prvr.features.store import HEADER, FeatureStore
from prvr.features.texts import encoder_of


@dataclass(frozen=True)
class DataFolder:
    """Where annotations and features lie."""

    root: Path
    features: Path | None = None  # a store or a pack that does not lie in root
    teacher: Path | None = None  # another encoder's, which training is taught by: a store, a pack, or a text pack
    encoder: Callable[[EncoderSpec], Encoder] = encoder_of  # brought only for sentences that were never encoded before
    scratch: Path | None = None  # where what is worked out is kept, in place of root/prepared and of the store

    def __getstate__(self) -> dict[str, Any]:
        """Where everything is, for another process, which reads it there."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def annotations(self) -> Annotations:
        """The queries of every split. Raises DataError when there are none."""
        return open_annotations(self.root)

    @property
    def reported(self) -> str:
        """The split that results are reported on."""
        return "test" if "test" in self.annotations.splits else "val"

    @property
    def chooses(self) -> str:
        """The split that chooses a checkpoint."""
        return "val" if "val" in self.annotations.splits else "test"

    @cached_property
    def source(self) -> FeatureSource:
        """The features. Raises FeatureError when there are none."""
        folder = self.features or self.root / "features"
        if not (folder / HEADER).exists() and (packs := packs_at(self.features or self.root)):
            return PackSource(packs, self._annotated, memory=self._memory)
        return StoreSource(FeatureStore.open(folder), self.encoder, texts=self.scratch)

    @property
    def store(self) -> FeatureStore:
        """The feature store. Raises FeatureError when the features are a published pack."""
        if isinstance(self.source, StoreSource):
            return self.source.store
        raise FeatureError(f"{self.source.place}: is a published pack, which holds no frames of known encoder")

    @property
    def spec(self) -> FeatureSpec:
        """What the features have in common."""
        return replace(self.source.spec, teacher=self._teacher.spec if self._teacher else None)

    @property
    def content(self) -> str:
        """What the features hold, and those of the teacher: other bytes, another run."""
        return fingerprint([self.source.content, self._teacher.content]) if self._teacher else self.source.content

    @cached_property
    def _teacher(self) -> TeacherSource | None:
        if self.teacher is None:
            return None
        return open_teacher(self.teacher, self._annotated, self.encoder, memory=self._memory, texts=self.scratch)

    @cached_property
    def _annotated(self) -> Sequence[Query]:
        """The queries of all splits: what a pack does not say of its videos and queries."""
        return self.annotations.all_queries()

    @property
    def _prepared(self) -> Path:
        return self.scratch or self.root / "prepared"

    @property
    def _memory(self) -> Path:
        return self._prepared / "contents.json"

    def queries(self, split: str) -> list[Query]:
        """Queries of `train`, `val` or `test`. Raises DataError naming the file that is missing or wrong."""
        return self.annotations.queries(split)

    def load(self, name: str, items: Sequence[Query], prepared: Prepared) -> RetrievalSet:
        """Queries and their videos, ready for a model."""
        return RetrievalSet.build(name, items, self.source, prepared, cache=self._prepared)

    def taught(self, items: RetrievalSet, resample: Resample) -> RetrievalSet:
        """What is learned from, with what the teacher makes of it, where there is one.

        Raises DataError for a video or a query that the teacher does not know.
        """
        return taught(items, self._teacher, resample, cache=self._prepared) if self._teacher else items
