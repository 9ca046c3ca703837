"""A folder that holds one benchmark: annotations a split, and the features of its videos::

DIR/annotations/train.jsonl, val.jsonl, test.jsonl    queries, see `prvr.data.annotations`
DIR/features/                                         a feature store, see `prvr.features.store`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prvr.core.errors import DataError
from prvr.core.types import Encoder, Query
from prvr.data.annotations import read_queries
from prvr.data.dataset import Prepare, RetrievalSet
from prvr.features.store import FeatureStore
from prvr.features.texts import text_features


@dataclass(frozen=True)
class DataFolder:
    """Where annotations and features lie."""

    root: Path
    features: Path | None = None  # another store than root/features

    @property
    def store(self) -> FeatureStore:
        """The feature store. Raises FeatureError when there is none."""
        return FeatureStore.open(self.features or self.root / "features")

    def queries(self, split: str) -> list[Query]:
        """Queries of `train`, `val` or `test`. Raises DataError naming the file that is missing or wrong."""
        path = self.root / "annotations" / f"{split}.jsonl"
        if not path.exists():
            there = sorted(file.stem for file in path.parent.glob("*.jsonl"))
            raise DataError(
                f"{path}: no annotations of split {split!r} here"
                + (f"; there are {', '.join(there)}" if there else f"; expected {self.root}/annotations/train.jsonl")
            )
        return read_queries(path)

    def load(self, split: str, *, prepare: Prepare, encoder: Callable[[], Encoder]) -> RetrievalSet:
        """One split, ready for a model; `encoder` is called only for sentences that were never encoded before."""
        items, store = self.queries(split), self.store
        texts = text_features(store, [item.text for item in items], encoder)
        return RetrievalSet.build(f"{self.root / 'annotations' / split}.jsonl", items, store, texts, prepare)
