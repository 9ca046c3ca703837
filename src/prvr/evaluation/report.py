"""What was measured and how, as JSON for machines and as a Markdown table that a terminal shows too."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from prvr.core.errors import DataError
from prvr.evaluation.collapse import Similarity
from prvr.evaluation.metrics import Recalls

FORMAT = "prvr report 1"
TIES = "a tie counts against us"


@dataclass(frozen=True, kw_only=True)
class Report:
    """One system on one split. What was not measured, or is not defined there, is None."""

    split: str
    num_videos: int
    num_queries: int
    fused: Recalls
    frame: Recalls | None = None
    clip: Recalls | None = None
    text: Similarity | None = None  # of the model's queries, grouped by video
    text_encoder: Similarity | None = None  # of the encoder's sentence embeddings (the teacher)
    video: Similarity | None = None  # of the frame branch's tokens, over all pairs
    video_released: Similarity | None = None  # the same by the published code's rule
    correlation_truth: float | None = None  # Spearman: the queries' cosines with their true similarities
    correlation_encoder: float | None = None  # Spearman: the queries' cosines with those of the encoder
    selected_on: str | None = None  # the split that chose the checkpoint; None: nothing was chosen
    seed: int | None = None
    device: str = "cpu"
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; recalls by the names that the field uses."""
        plain: dict[str, Any] = {"format": FORMAT, "ties": TIES}
        for name, value in vars(self).items():
            if isinstance(value, Recalls):
                plain[name] = value.to_dict()
            elif isinstance(value, Similarity):
                plain[name] = {"intra": value.intra, "total": value.total, "difference": value.difference}
            else:
                plain[name] = dict(value) if isinstance(value, Mapping) else value
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What `to_dict` gave. Raises DataError for anything else."""
        if plain.get("format") != FORMAT:
            raise DataError(f"this is no {FORMAT!r} (format: {plain.get('format')!r}); write it with `prvr evaluate`")
        try:
            values = {name: plain[name] for name in cls.__dataclass_fields__}
            for name in ("fused", "frame", "clip"):
                values[name] = values[name] and Recalls.from_dict(values[name])
            for name in ("text", "text_encoder", "video", "video_released"):
                found = values[name]
                values[name] = found and Similarity(intra=found["intra"], total=found["total"])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the report is damaged ({error!r}); write it again with `prvr evaluate`") from error


def versions() -> dict[str, str]:
    """What the numbers depend on."""
    import torch

    from prvr import __version__

    return {"prvr": __version__, "torch": str(torch.__version__), "python": platform.python_version()}


def table(rows: Mapping[str, Sequence[Report]], *, width: int = 120) -> str:
    """Reports by row title, one a seed -> Markdown, groups of columns side by side as far as `width` characters allow.

    A cell is the mean, with ± the sample standard deviation where there is more than one seed, or n/a.
    """
    titles = ["", *rows]
    title_width = max(map(len, titles))
    blocks: list[list[list[str]]] = []
    room = 0
    for group in _GROUPS:
        cells = [[column.name, *(column.cell(reports) for reports in rows.values())] for column in group]
        if all(cell == _MISSING for column in cells for cell in column[1:]):
            continue
        needed = sum(max(map(len, column)) + 3 for column in cells)
        if needed > room:
            blocks.append([])
            room = width - title_width - 4
        blocks[-1] += cells
        room -= needed
    tables = ["\n".join(_markdown(titles, columns)) for columns in blocks]
    return "\n\n".join([*tables, "\n".join(_notes(rows))])


class _Column(NamedTuple):
    name: str
    value: Callable[[Report], float | None]
    decimals: int

    def cell(self, reports: Sequence[Report]) -> str:
        values = [value for value in map(self.value, reports) if value is not None]
        if not values or len(values) < len(reports):
            return _MISSING
        text = f"{statistics.fmean(values):.{self.decimals}f}"
        return text if len(values) == 1 else f"{text} ± {statistics.stdev(values):.{self.decimals}f}"


_MISSING = "n/a"


def _similarities(title: str, of: Callable[[Report], Similarity | None]) -> list[_Column]:
    def pick(name: str) -> Callable[[Report], float | None]:
        def value(report: Report) -> float | None:
            found = of(report)
            return None if found is None else getattr(found, name)

        return value

    names = {"intra": "intra", "total": "total", "diff": "difference"}
    return [_Column(f"{title} {short}", pick(name), 3) for short, name in names.items()]


_GROUPS: list[list[_Column]] = [
    [
        _Column("R@1", lambda report: report.fused.r1, 1),
        _Column("R@5", lambda report: report.fused.r5, 1),
        _Column("R@10", lambda report: report.fused.r10, 1),
        _Column("R@100", lambda report: report.fused.r100, 1),
        _Column("SumR", lambda report: report.fused.sum_r, 1),
        _Column("MedR", lambda report: report.fused.med_r, 1),
    ],
    [
        _Column("SumR frame", lambda report: report.frame.sum_r if report.frame else None, 1),
        _Column("SumR clip", lambda report: report.clip.sum_r if report.clip else None, 1),
    ],
    [
        *_similarities("text", lambda report: report.text),
        _Column("ρ truth", lambda report: report.correlation_truth, 3),
        _Column("ρ encoder", lambda report: report.correlation_encoder, 3),
    ],
    _similarities("video", lambda report: report.video),
]


def _markdown(titles: Sequence[str], columns: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in columns]
    first = max(map(len, titles))
    for number, title in enumerate(titles):
        cells = [column[number].rjust(wide) for column, wide in zip(columns, widths, strict=True)]
        yield f"| {title.ljust(first)} | {' | '.join(cells)} |"
        if number == 0:
            yield f"| {'-' * max(first, 1)} | {' | '.join('-' * (wide - 1) + ':' for wide in widths)} |"


def _notes(rows: Mapping[str, Sequence[Report]]) -> Iterator[str]:
    """What one has to know to read the numbers."""
    places = {(report.split, report.num_videos, report.num_queries) for reports in rows.values() for report in reports}
    for split, num_videos, num_queries in sorted(places):
        yield f"{split}: {num_videos} videos, {num_queries} queries; {TIES}; SumR is summed before rounding."
    told: dict[str, list[str]] = {}
    for title, reports in rows.items():
        chosen = sorted({report.selected_on for report in reports if report.selected_on})
        seeds = [str(report.seed) for report in reports if report.seed is not None]
        how = f"checkpoint chosen on {', '.join(chosen)}" if chosen else "nothing trained or chosen"
        if len(seeds) > 1:
            how += f"; mean ± sample s.d. over seeds {', '.join(seeds)}"
        elif seeds:
            how += f"; one seed ({seeds[0]})"
        told.setdefault(how, []).append(title)
    yield from (f"{', '.join(titles)}: {how}." for how, titles in told.items())
