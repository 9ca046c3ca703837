"""A table with our value and the published one in every cell, as Markdown, LaTeX and JSON."""

from __future__ import annotations

import json
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from prvr.core.errors import DataError
from prvr.core.files import write_whole

MISSING = "n/a"


class Cell(NamedTuple):
    """One number of a table, twice."""

    ours: tuple[float, ...] = ()  # one a seed; empty: not measured
    published: float | None = None
    word: str = ""  # in the place of ours, where that is no number

    def shown(self, digits: int) -> tuple[str, str]:
        """Ours, with ± the sample standard deviation over seeds, and the paper's."""
        if not self.ours:
            ours = self.word or MISSING
        else:
            ours = f"{statistics.fmean(self.ours):,.{digits}f}"
            if len(self.ours) > 1:
                ours += f" ± {statistics.stdev(self.ours):.{digits}f}"
        return ours, MISSING if self.published is None else f"{self.published:,.{digits}f}"


class Line(NamedTuple):
    """One row: a system."""

    title: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One table of the paper."""

    name: str  # `table1`
    caption: str
    columns: tuple[str, ...]
    digits: int | tuple[int, ...]  # behind the point; one number for all columns or one each
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()  # what one has to know to read the numbers
    stamps: tuple[str, ...] = ()  # that the data were made, on the face of the table

    @property
    def title(self) -> str:
        """The caption, with what stands on its face."""
        return " – ".join([self.caption, *self.stamps])

    def grid(self) -> list[list[str]]:
        """Header, then a row or two a line: ours, and the paper's where it has any."""
        digits = (self.digits,) * len(self.columns) if isinstance(self.digits, int) else self.digits
        rows = [["", "", *self.columns]]
        for line in self.lines:
            shown = [cell.shown(places) for cell, places in zip(line.cells, digits, strict=True)]
            rows.append([line.title, "ours", *(ours for ours, _ in shown)])
            if any(cell.published is not None for cell in line.cells):
                rows.append(["", "paper", *(paper for _, paper in shown)])
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "caption": self.caption,
            "stamps": list(self.stamps),
            "columns": list(self.columns),
            "lines": [
                {"title": line.title, "ours": [cell.word or list(cell.ours) for cell in line.cells]}
                | {"paper": [cell.published for cell in line.cells]}
                for line in self.lines
            ],
            "notes": list(self.notes),
        }


def cells(
    names: Sequence[str], ours: Sequence[Mapping[str, float]], published: Mapping[str, float]
) -> tuple[Cell, ...]:
    """One cell a name: the values of all seeds that have it, and the paper's."""
    return tuple(Cell(tuple(seed[name] for seed in ours if name in seed), published.get(name)) for name in names)


def markdown(sheet: Sheet) -> str:
    """-> a Markdown table that a terminal shows too, with its notes."""
    head, *rows = sheet.grid()
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = [
            cell.ljust(wide) if column < 2 else cell.rjust(wide)
            for column, (cell, wide) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * max(wide, 3) if column < 2 else "-" * max(wide - 1, 2) + ":") for column, wide in enumerate(widths)]
    return "\n".join([f"{sheet.title}\n", line(head), line(rule), *map(line, rows), "", *map(_wrapped, sheet.notes)])


def _wrapped(note: str) -> str:
    return textwrap.fill(note, width=120)


def latex(sheet: Sheet) -> str:
    """-> a LaTeX table of the `booktabs` package."""
    head, *rows = sheet.grid()
    body = [" & ".join(map(_escape, row)) + r" \\" for row in rows]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_escape(sheet.title)}}}",
            rf"\begin{{tabular}}{{ll{'r' * len(sheet.columns)}}}",
            r"\toprule",
            " & ".join(map(_escape, head)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par\small {_escape(note)}" for note in sheet.notes),
            r"\end{table}",
        ]
    )


def write(sheet: Sheet, folder: Path) -> list[Path]:
    """NAME.md, NAME.tex and NAME.json in a folder; -> the files. Raises DataError where they cannot be written."""
    forms = {
        "md": markdown(sheet),
        "tex": latex(sheet),
        "json": json.dumps(sheet.to_dict(), indent=1, ensure_ascii=False),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, text in forms.items():
            write_whole(folder / f"{sheet.name}.{suffix}", f"{text}\n".encode())
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error
    return [folder / f"{sheet.name}.{suffix}" for suffix in forms]


_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "±": r"$\pm$",
    "λ": r"$\lambda$", "τ": r"$\tau$", "ω": r"$\omega$", "ρ": r"$\rho$", "×": r"$\times$", "≤": r"$\le$", "~": r"\~{}",
    "^": r"\^{}", "$": r"\$", "–": "--",
}  # fmt: skip


def _escape(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)
