"""A report with the rank of every query beside it, so that two runs can be tested against each other later."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from prvr.core.errors import DataError
from prvr.core.files import write_whole
from prvr.evaluation.intervals import RESAMPLES, Comparison, compare
from prvr.evaluation.report import Report


@dataclass(frozen=True, kw_only=True)
class QueryRanks:
    """Where each query found its video, from 1."""

    query_ids: tuple[str, ...]  # Q
    video_of_query: Tensor  # (Q,) int64
    fused: Tensor  # (Q,) int64
    frame: Tensor | None = None  # (Q,) int64, by the frame branch alone
    clip: Tensor | None = None  # (Q,) int64, by the clip branch alone


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One system on one split, as a whole and query by query."""

    report: Report
    ranks: QueryRanks

    def save(self, path: Path) -> None:
        """`path` for the report, JSON, and the ranks beside it, `.npz`. Raises DataError where it cannot be written."""
        columns = {name: value for name, value in vars(self.ranks).items() if isinstance(value, Tensor)}
        table = torch.stack(list(columns.values())).cpu().numpy().astype(np.int32)
        content = io.BytesIO()
        np.savez_compressed(content, query_ids=np.array(self.ranks.query_ids), names=np.array([*columns]), table=table)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(_beside(path), content.getvalue())
            write_whole(path, json.dumps(self.report.to_dict(), indent=1).encode())
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror}); choose another place") from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote. Raises DataError for what is missing or damaged."""
        try:
            report = Report.from_dict(json.loads(path.read_text(encoding="utf-8")))
            with _beside(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                ids, names, table = (file[name] for name in ("query_ids", "names", "table"))
            columns = zip(map(str, names), torch.from_numpy(table.astype(np.int64)), strict=True)
            ranks = QueryRanks(query_ids=tuple(map(str, ids)), **dict(columns))
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path}: no report with its ranks, or a damaged one ({error}); write it again with `prvr evaluate`"
            ) from error
        return cls(report=report, ranks=ranks)

    def against(
        self, other: Measured, *, by_video: bool = True, resamples: int = RESAMPLES, seed: int = 0
    ) -> Comparison:
        """The other run minus this one on the same queries; `by_video` draws videos, else queries.

        Raises DataError for runs that were measured on different queries.
        """
        if self.ranks.query_ids != other.ranks.query_ids:
            raise DataError(
                f"the two runs were measured on different queries ({self.report.split}: {len(self.ranks.query_ids)}, "
                f"{other.report.split}: {len(other.ranks.query_ids)}); measure both on one split of one data set"
            )
        videos = self.ranks.video_of_query if by_video else None
        return compare(self.ranks.fused, other.ranks.fused, video_of_query=videos, resamples=resamples, seed=seed)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}.ranks.npz")
