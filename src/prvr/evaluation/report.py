"""What was measured and how, as JSON for machines and as a Markdown table that a terminal shows too."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, Self

from prvr.core.errors import DataError
from prvr.evaluation.collapse import Similarity
from prvr.evaluation.curves import MomentReport
from prvr.evaluation.intervals import NAMES, Comparison, Interval, Intervals, Unit
from prvr.evaluation.metrics import Recalls
from prvr.evaluation.ratios import RATIOS, RatioGroup

FORMAT = "prvr report 2"
TIES = "a tie counts against us"

Protocol = Literal["published", "clean"]
"""published: the checkpoint was chosen on the reported split, as the authors do; clean: on other queries."""


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
    by_ratio: tuple[RatioGroup, ...] | None = None  # of the fused score, by the share of the video that is described
    moments: MomentReport | None = None  # inside the right video
    intervals: Intervals | None = None  # of the fused score, queries drawn
    intervals_video: Intervals | None = None  # of the fused score, videos drawn with all their queries
    selected_on: str | None = None  # the queries that chose the checkpoint; None: nothing was chosen
    protocol: Protocol | None = None  # how it was chosen; None: nothing was
    seed: int | None = None
    recipe: str | None = None  # `package.module:function`
    settings: str | None = None  # fingerprint of the recipe's settings
    features: str | None = None  # name of the features
    data: str | None = None  # fingerprint of the queries and of the features
    simulated: bool = False  # the features were made from annotations: no number here speaks of real videos
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
            elif isinstance(value, (MomentReport, Intervals)):
                plain[name] = asdict(value)
            else:
                plain[name] = dict(value) if isinstance(value, Mapping) else value
        if self.by_ratio is not None:
            found = [(group, group.recalls and group.recalls.to_dict()) for group in self.by_ratio]
            plain["by_ratio"] = [{**vars(group), "recalls": recalls} for group, recalls in found]
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What `to_dict` gave. Raises DataError for anything else."""
        if plain.get("format") != FORMAT:
            raise DataError(
                f"this is no {FORMAT!r} (format: {plain.get('format')!r}), so that numbers of the two could not be "
                "compared; measure again with `prvr evaluate`"
            )
        try:
            values = {name: plain[name] for name in cls.__dataclass_fields__}
            for name in ("fused", "frame", "clip"):
                values[name] = values[name] and Recalls.from_dict(values[name])
            for name in ("text", "text_encoder", "video", "video_released"):
                found = values[name]
                values[name] = found and Similarity(intra=found["intra"], total=found["total"])
            values["moments"] = values["moments"] and MomentReport(**values["moments"])
            for name in ("intervals", "intervals_video"):
                values[name] = values[name] and _intervals(values[name])
            values["by_ratio"] = values["by_ratio"] and tuple(map(_ratio_group, values["by_ratio"]))
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the report is damaged ({error!r}); write it again with `prvr evaluate`") from error


def _intervals(plain: Mapping[str, Any]) -> Intervals:
    return Intervals(**{**plain, "of": {name: Interval(*bounds) for name, bounds in plain["of"].items()}})


def _ratio_group(plain: Mapping[str, Any]) -> RatioGroup:
    return RatioGroup(**{**plain, "recalls": plain["recalls"] and Recalls.from_dict(plain["recalls"])})


def versions() -> dict[str, str]:
    """What the numbers depend on."""
    import torch

    from prvr import __version__

    return {"prvr": __version__, "torch": str(torch.__version__), "python": platform.python_version()}


SUMMARY = ("R@1", "R@5", "R@10", "SumR", "R1@0.5")


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
    tables = ["\n".join(grid(titles, columns)) for columns in blocks]
    return "\n\n".join([*tables, "\n".join(_notes(rows))])


def summary(rows: Mapping[str, Sequence[Report]]) -> str:
    """Reports by row title as the one small table that people see first, of six columns with the title."""
    columns = [column for group in _GROUPS for column in group if column.name in SUMMARY]
    cells = [[column.name, *(column.cell(reports) for reports in rows.values())] for column in columns]
    return "\n".join(grid(["", *rows], cells))


def interval_table(rows: Mapping[str, Sequence[Report]], *, unit: Unit = "video") -> str:
    """The same reports with their bootstrap intervals, a line a seed, as Markdown: value [lower, upper]."""
    titles, columns = [""], [[name] for name in NAMES]
    notes: dict[str, None] = {}
    for title, reports in rows.items():
        for report in reports:
            found = report.intervals if unit == "query" else report.intervals_video
            titles.append(title if len(reports) == 1 else f"{title}, seed {report.seed}")
            for column, (name, value) in zip(columns, report.fused.to_dict().items(), strict=True):
                bounds = found.of[name] if found else None
                column.append(f"{value:.1f} [{bounds.low:.1f}, {bounds.high:.1f}]" if bounds else _MISSING)
            if found:
                drawn = "queries" if unit == "query" else "videos, each with all its queries,"
                notes[
                    f"[ ]: {found.level:.0%} bootstrap over {drawn} {found.resamples} resamples, seed {found.seed}."
                ] = None
    return "\n".join([*grid(titles, columns), "", *notes, *_warnings(rows)])


def comparison_table(title: str, comparison: Comparison) -> str:
    """One run against another, a line a metric, as Markdown; `title` names the difference, as in 'CBVA - baseline'."""
    found = list(comparison.of.items())
    columns = [
        [title, *(f"{one.value:+.2f}" for _, one in found)],
        [f"{comparison.level:.0%} interval", *(f"[{one.low:+.2f}, {one.high:+.2f}]" for _, one in found)],
        ["p bootstrap", *(f"{one.p_bootstrap:.4f}" for _, one in found)],
        ["p exact", *(_MISSING if one.p_exact is None else f"{one.p_exact:.2g}" for _, one in found)],
    ]
    drawn = "queries" if comparison.unit == "query" else "videos with all their queries"
    return "\n".join(
        [
            *grid(["", *comparison.of], columns),
            "",
            f"Paired by query. Bootstrap over {drawn}: {comparison.resamples} resamples, seed {comparison.seed}; p is "
            "two-sided.",
            f"p exact: sign flips of {'queries' if comparison.unit == 'query' else 'videos'}, all patterns"
            + (" (R@K: McNemar's exact test; SumR: paired permutation test)." if comparison.unit == "query" else "."),
        ]
    )


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


def _ratios() -> list[_Column]:
    def pick(place: int) -> Callable[[Report], float | None]:
        def value(report: Report) -> float | None:
            found = report.by_ratio[place].recalls if report.by_ratio else None
            return None if found is None else found.sum_r

        return value

    return [_Column(f"SumR ({above:g}, {upto:g}]", pick(place), 1) for place, (above, upto) in enumerate(RATIOS)]


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
    [
        _Column("R1@0.5", lambda report: report.moments.r1_50 if report.moments else None, 1),
        _Column("R1@0.7", lambda report: report.moments.r1_70 if report.moments else None, 1),
        _Column("moment mAP", lambda report: report.moments.mean_precision if report.moments else None, 1),
    ],
    _ratios(),
]


def grid(titles: Sequence[str], columns: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a Markdown table: what stands in front of each row, and the columns, all with their heading first."""
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
        protocols = sorted({report.protocol for report in reports if report.protocol})
        how = f"checkpoint chosen on {', '.join(chosen)}" if chosen else "nothing trained or chosen"
        how += f" ({' and '.join(protocols)} protocol)" if protocols else ""
        if len(seeds) > 1:
            how += f"; mean ± sample s.d. over seeds {', '.join(seeds)}"
        elif seeds:
            how += f"; one seed ({seeds[0]})"
        told.setdefault(how, []).append(title)
    yield from (f"{', '.join(titles)}: {how}." for how, titles in told.items())
    yield from _warnings(rows)


def _warnings(rows: Mapping[str, Sequence[Report]]) -> Iterator[str]:
    simulated = [title for title, reports in rows.items() if any(report.simulated for report in reports)]
    if simulated:
        yield f"simulated: {', '.join(simulated)}: features made from annotations; nothing here is about real videos."
