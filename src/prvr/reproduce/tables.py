"""Tables 1 to 9, A1 and A2 of the MSC paper: each a function of the lab -> our values beside the printed ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, TypeVar, cast

import torch

from prvr.core.errors import ConfigError, PrvrError
from prvr.data.folder import DataFolder
from prvr.encoders.devices import pick_device
from prvr.evaluation.collapse import Similarity
from prvr.evaluation.report import Report
from prvr.methods.recipe import Recipe, load_recipe
from prvr.methods.zero_shot.runs import max_over_frames
from prvr.reproduce import msc_tables, published
from prvr.reproduce.base import NAMES, base_recipe, one_run, stamp_of
from prvr.reproduce.efficiency import library, multiply_adds, parameters, query_costs
from prvr.reproduce.lab import Lab
from prvr.reproduce.published import PrintedRow
from prvr.reproduce.sheet import Cell, Line, Sheet, cells
from prvr.reproduce.systems import SYSTEMS, recipe_for
from prvr.runs.dry import step_cost
from prvr.runs.measure import load_split

P = TypeVar("P")

RECALLS = ("R@1", "R@5", "R@10", "R@100", "SumR")


def table1(lab: Lab) -> Sheet:
    """What each part of the method brings."""
    return _ablation(lab, "table1", "Table 1: parts of the method", msc_tables.table1, published.TABLE1)


def table2(lab: Lab) -> Sheet:
    """Keeping relations between video tokens instead of aligning the branches."""
    return _ablation(lab, "table2", "Table 2: video correlation preservation", msc_tables.table2, published.TABLE2)


def table3(lab: Lab) -> Sheet:
    """Six sweeps of one setting each; SumR."""
    benchmark, data = lab.only()
    base = base_recipe(benchmark, data)
    parts: list[tuple[str, Mapping[str, Recipe], Mapping[str, PrintedRow]]] = [
        ("(a) λ_E, λ_A", msc_tables.table3a(base), published.TABLE3A),
        ("(b) λ_E, λ_A", msc_tables.table3b(base), published.TABLE3B),
        ("(c) teacher", msc_tables.table3c(base), published.TABLE3C),
        ("(d) λ_CBVA", msc_tables.table3d(base), published.TABLE3D),
        ("(e) N", msc_tables.table3e(base), published.TABLE3E),
        ("(f) τ", msc_tables.table3f(base), published.TABLE3F),
    ]
    lines = []
    for part, rows, _ in parts:
        check_rows(lab.settings, {f"{part} {title}": recipe for title, recipe in rows.items()})
    for part, rows, printed in parts:
        for title, recipe in rows.items():
            folder = _taught_by(lab, data, title) if part.startswith("(c)") else data
            reports = lab.reports(recipe, folder) if folder else []
            lines.append(Line(f"{part} {title}", recall_cells(reports, _printed(printed, title, benchmark), ("SumR",))))
    teachers = "(c) needs the text features of each teacher: --teacher NAME=PATH; CLIP-B is the benchmark's own."
    return _sheet("table3", "Table 3: settings", ("SumR",), lines, [*notes_of(lab, benchmark, data), teachers])


def table4(lab: Lab) -> Sheet:
    """QVHighlights, all systems."""
    return _systems(lab, "table4", "Table 4: QVHighlights", ["qvhighlights"], {"qvhighlights": published.TABLE4})


def table5(lab: Lab) -> Sheet:
    """TVR, ActivityNet Captions and Charades-STA, all systems."""
    return _systems(lab, "table5", "Table 5: CLIP-L/14", ["tvr", "activitynet", "charades"], published.TABLE5)


def table6(lab: Lab) -> Sheet:
    """One query against libraries of five sizes, on the present device."""
    benchmark, data = lab.only()
    device = pick_device(lab.device).name
    recipe = _first(lab, base_recipe(benchmark, data))
    items = load_split(recipe.prepared, data, data.reported)
    model = lab.run(recipe, data).model
    sizes = [size for size in published.TABLE6_VIDEOS if size <= len(items)] or [len(items)]
    tokens = library(model, items, device=device)
    found = query_costs(
        model, items.queries.batch(torch.arange(min(20, len(items.queries)))), tokens, sizes, device=device
    )
    ours = {f"{cost.num_videos}": cost for cost in found}
    columns = tuple(str(size) for size in sorted({*sizes, *published.TABLE6_VIDEOS}))
    lines, known = [], benchmark == "qvhighlights"
    for title, printed in published.TABLE6.items():
        mine = ours if title == "MSC" else {}
        for kind, values in (("time, ms", printed.time_ms), ("memory, MB", printed.memory_mb)):
            paper = dict(zip(map(str, published.TABLE6_VIDEOS), values, strict=True)) if known else {}
            shown = {size: cost.time_ms if kind.startswith("time") else cost.memory_mb for size, cost in mine.items()}
            row = tuple(Cell((shown[size],) if size in shown else (), paper.get(size)) for size in columns)
            lines.append(Line(f"{title}: {kind}", row))
    notes = [
        f"Ours on {device_name(device)}: median of single queries, from word features to every video's score; memory "
        "is weights and kept tokens in fp32. The paper's GPU was an A6000.",
        *notes_of(lab, benchmark, data),
    ]
    return Sheet(
        name="table6",
        caption="Table 6: a query, by number of videos",
        columns=columns,
        digits=2,
        lines=tuple(lines),
        notes=tuple(notes),
    )


def table7(lab: Lab) -> Sheet:
    """What training costs on the present device."""
    benchmark, data = lab.only()
    device = pick_device(lab.device).name
    recipe = _first(lab, base_recipe(benchmark, data))
    items = load_split(recipe.prepared, data, data.reported)
    model = recipe.build().eval()
    step = step_cost(recipe, data, data.queries("train"), device=device)
    logged = lab.epoch_seconds(recipe, data)
    ours = {
        "time/epoch, s": tuple(logged or [step.time_s * step.steps]),
        "memory, MB": (step.peak_mb,),
        "parameters, M": (parameters(model) / 1e6,),
        "FLOPs, G": (multiply_adds(cast(Any, model), items.videos, items.queries.batch(torch.arange(1))) / 1e9,),
    }
    printed = {
        title: (row.epoch_ms and row.epoch_ms / 1000, row.memory_mb, row.parameters_m, row.flops_g)
        if benchmark == "qvhighlights"
        else (None,) * len(row)
        for title, row in published.TABLE7.items()
    }
    lines = [
        Line(
            title,
            tuple(Cell(mine if title == "MSC" else (), paper) for mine, paper in zip(ours.values(), row, strict=True)),
        )
        for title, row in printed.items()
    ]
    how = "logged by the runs here" if logged else f"one step of {step.time_s:.1f} s times {step.steps} steps"
    notes = [
        f"Ours on {device_name(device)}: {how}; memory is the peak of one step. FLOPs are multiply-accumulates of "
        "encoding one video, as the published number is.",
        *notes_of(lab, benchmark, data),
    ]
    return Sheet(
        name="table7",
        caption="Table 7: training",
        columns=tuple(ours),
        digits=(2, 0, 2, 2),
        lines=tuple(lines),
        notes=tuple(notes),
    )


def table8(lab: Lab) -> Sheet:
    """How alike the queries, and the tokens, of one video are, against all."""
    benchmark, data = lab.only()
    rows = _baseline_and_method(benchmark, data)
    columns = tuple(f"{kind} {name}" for kind in ("text", "video") for name in ("intra", "total", "difference"))
    lines = []
    for title, text in published.TABLE8_TEXT.items():
        printed = (*text, *published.TABLE8_VIDEO[title]) if benchmark == "qvhighlights" else ()
        reports = lab.reports(rows[title], data) if title in rows else []
        ours = [_similarities(report.text, report.video_released) for report in reports]
        lines.append(Line(title, cells(columns, ours, dict(zip(columns, printed, strict=False)))))
        if reports:
            exact = [_similarities(report.text, report.video) for report in reports]
            lines.append(Line(f"{title}, exact", cells(columns, exact, {})))
    if "baseline" in rows:
        reports = lab.reports(rows["baseline"], data)
        lines.append(Line("baseline", cells(columns, [_similarities(r.text, r.video_released) for r in reports], {})))
    notes = [
        "Video tokens: by the published code's rule (total over 32 of 128 tokens a video, without diagonal chunks), "
        "and exact over all pairs. Difference = (intra - total) / (intra + total).",
        *notes_of(lab, benchmark, data),
    ]
    return Sheet(
        name="table8", caption="Table 8: similarity", columns=columns, digits=4, lines=tuple(lines), notes=tuple(notes)
    )


def table9(lab: Lab) -> Sheet:
    """How far the model's queries keep the order of similarities that the encoder sees."""
    benchmark, data = lab.only()
    rows = _baseline_and_method(benchmark, data)
    lines = []
    for title in published.TABLE9:
        reports = lab.reports(rows[title], data) if title in rows else []
        found = tuple(100 * r.correlation_encoder for r in reports if r.correlation_encoder is not None)
        lines.append(Line(title, (Cell(found, _printed(published.TABLE9, title, benchmark)),)))
    notes = [
        "Spearman's rank correlation, in percent, over pairs of queries i < j: cosine of the model's pooled queries "
        "with cosine of the encoder's [EOS] tokens. The paper does not say which pairs it took.",
        *notes_of(lab, benchmark, data),
    ]
    return _sheet("table9", "Table 9: rank correlation with the encoder", ("ρ, %",), lines, notes)


def table_a1(lab: Lab) -> Sheet:
    """τ on the three other benchmarks."""
    lines, notes = [], []
    for benchmark in ("tvr", "activitynet", "charades"):
        data = lab.folder(benchmark)
        rows = msc_tables.table_a1(load_recipe(f"prvr.methods.msc.runs:{benchmark}"))
        for title, printed in published.TABLE_A1[benchmark].items():
            reports = lab.reports(rows[title], data) if data else []
            lines.append(Line(f"{NAMES[benchmark]}, τ = {title}", recall_cells(reports, printed)))
        notes += notes_of(lab, benchmark, data)
    return _sheet("tableA1", "Table A1: the threshold τ", RECALLS, lines, notes)


def table_a2(lab: Lab) -> Sheet:
    """Which queries the method answers and the bare encoder does not, and the other way round."""
    benchmark, data = next(((name, folder) for name, folder in lab.data.items() if name == "tvr"), lab.only())
    columns = ("both", "ours only", "encoder only", "neither")
    printed: dict[int, Mapping[str, float]] = {}
    if benchmark == "tvr":
        agreement = {1: published.TABLE_A2_R1, 10: published.TABLE_A2_R10}
        printed = {at: dict(zip(columns, map(float, found), strict=True)) for at, found in agreement.items()}
    notes = notes_of(lab, benchmark, data)
    counted: dict[int, list[Mapping[str, float]]] = {1: [], 10: []}
    if data.spec.comparable:
        bare = lab.measured(max_over_frames(), data)
        for one, other in product(lab.measured(base_recipe(benchmark, data), data), bare):
            for at, found in counted.items():
                ours, theirs = one.ranks.fused <= at, other.ranks.fused <= at
                parts = (ours & theirs, ours & ~theirs, ~ours & theirs, ~ours & ~theirs)
                found.append({name: float(part.sum()) for name, part in zip(columns, parts, strict=True)})
    else:
        notes.append("Frames and sentences of these features have no common space, so there is no zero-shot ranking.")
    lines = [Line(f"R@{at}", cells(columns, found, printed.get(at, {}))) for at, found in counted.items()]
    return Sheet(
        name="tableA2",
        caption="Table A2: queries answered, against zero-shot",
        columns=columns,
        digits=0,
        lines=tuple(lines),
        notes=tuple(notes),
    )


def _ablation(
    lab: Lab,
    name: str,
    caption: str,
    rows: Callable[[Recipe], Mapping[str, Recipe]],
    printed: Mapping[str, PrintedRow],
) -> Sheet:
    benchmark, data = lab.only()
    recipes = rows(base_recipe(benchmark, data))
    check_rows(lab.settings, recipes)
    lines = [
        Line(title, recall_cells(lab.reports(recipe, data), _printed(printed, title, benchmark)))
        for title, recipe in recipes.items()
    ]
    return _sheet(name, caption, RECALLS, lines, notes_of(lab, benchmark, data))


def check_rows(settings: Sequence[str], recipes: Mapping[str, Recipe]) -> None:
    """Raises ConfigError for rows that the user's settings make one run, before anything is trained for them: their
    numbers would be the same and compare nothing.
    """
    changed = {
        title: recipe.with_settings(settings) for title, recipe in recipes.items() if recipe.objective is not None
    }
    for titles in one_run(changed):
        if len({repr(recipes[title].settings) for title in titles}) > 1:
            raise ConfigError(
                f"rows {' and '.join(f'“{title}”' for title in titles)} are one and the same run under --set "
                f"{' '.join(settings)}: they differ in what that sets; leave it out"
            )


def _systems(
    lab: Lab, name: str, caption: str, benchmarks: Sequence[str], printed: Mapping[str, Mapping[str, PrintedRow]]
) -> Sheet:
    """MSC is trained where it is not yet; the others are read from the runs of `prvr compare`."""
    lines, notes = [], []
    named = {system.title: system for system in SYSTEMS}
    for benchmark in benchmarks:
        data, missing = lab.folder(benchmark), []
        for title, row in printed[benchmark].items():
            reports: Sequence[Report] = []
            if data and title == "MSC":
                reports = lab.reports(load_recipe(f"prvr.methods.msc.runs:{benchmark}"), data)
            elif data:
                try:
                    recipe = recipe_for(named[title], benchmark, data, settings=lab.settings)
                    reports = lab.compared().finished(recipe, data)
                    missing += [named[title].name] if recipe.objective and not reports else []
                except PrvrError as error:
                    notes.append(f"{NAMES[benchmark]}, {title}: {error}")
            shown = f"{NAMES[benchmark]}: {title}" if len(benchmarks) > 1 else title
            lines.append(Line(shown, recall_cells(reports, row)))
        notes += notes_of(lab, benchmark, data)
        if data and missing:
            names = ",".join(missing)
            notes.append(
                f"{NAMES[benchmark]}: no whole runs of {names} in {lab.others}; `prvr compare --data {data.root} "
                f"--systems {names}` makes them, with the same --seeds, --set and --protocol."
            )
    return _sheet(name, caption, RECALLS, lines, notes)


def _baseline_and_method(benchmark: str, data: DataFolder) -> dict[str, Recipe]:
    rows = msc_tables.table1(base_recipe(benchmark, data))
    return {"baseline": rows["baseline"], "MSC": rows["+ adaptive CBVA"]}


def _printed(rows: Mapping[str, P], title: str, benchmark: str) -> P | None:
    """The paper's row, where it is of the same benchmark as the data: its ablations are all on QVHighlights."""
    return rows[title] if benchmark == "qvhighlights" else None


def recall_cells(
    reports: Sequence[Report], printed: PrintedRow | None, names: Sequence[str] = RECALLS
) -> tuple[Cell, ...]:
    """Recalls of all seeds beside the paper's row."""
    paper = {} if printed is None else dict(zip(RECALLS, printed, strict=True))
    known = {name: value for name, value in paper.items() if value is not None}
    return cells(names, [report.fused.to_dict() for report in reports], known)


def _similarities(text: Similarity | None, video: Similarity | None) -> dict[str, float]:
    return {
        f"{kind} {name}": getattr(found, name)
        for kind, found in (("text", text), ("video", video))
        if found is not None
        for name in ("intra", "total", "difference")
    }


def _taught_by(lab: Lab, data: DataFolder, title: str) -> DataFolder | None:
    """The data with another teacher of TCPL, or None where the user has not got its text features."""
    if title == msc_tables.TEACHERS[0]:
        return data
    return replace(data, teacher=lab.teachers[title]) if title in lab.teachers else None


def _first(lab: Lab, recipe: Recipe) -> Recipe:
    return lab.recipes(recipe)[0]


def device_name(name: str) -> str:
    """A device for people."""
    return torch.cuda.get_device_name() if name == "cuda" else f"{name} ({torch.get_num_threads()} threads)"


def _sheet(name: str, caption: str, columns: tuple[str, ...], lines: Sequence[Line], notes: Sequence[str]) -> Sheet:
    return Sheet(name=name, caption=caption, columns=columns, digits=1, lines=tuple(lines), notes=tuple(notes))


def notes_of(lab: Lab, benchmark: str, data: DataFolder | None) -> list[str]:
    """What our numbers are of: the data, the protocol, the seeds, the user's settings."""
    title = NAMES.get(benchmark, "own data")
    if data is None:
        return [f"{title}: no data were given, so ours are n/a."]
    kind = "SIMULATED features, which say nothing about real videos" if data.spec.simulated else data.spec.name
    kind += f" taught by {data.spec.teacher.name}" if data.spec.teacher else ""
    same = not lab.clean and data.queries(data.reported) == data.queries(data.chooses)
    where = "a held-out part of train" if lab.clean else data.chooses
    protocol = f"protocol {'published' if same else 'clean'}, epoch chosen on {where}"
    changed = f"; changed by --set {' '.join(lab.settings)}" if lab.settings else ""
    seeds = f"mean ± sample s.d. of {lab.seeds} seeds" if lab.seeds > 1 else "one seed"
    return [f"{title}: {kind}; split {data.reported}; {protocol}; {seeds}{changed}."]


def _stamped(table: Callable[[Lab], Sheet]) -> Callable[[Lab], Sheet]:
    """The same table, which says on its face that it is of made data."""

    def made(lab: Lab) -> Sheet:
        sheet = table(lab)
        return replace(sheet, stamps=tuple(dict.fromkeys(filter(None, map(stamp_of, lab.data.values())))))

    return made


TABLES: Mapping[str, Callable[[Lab], Sheet]] = {
    **{
        f"table{i}": _stamped(table)
        for i, table in enumerate((table1, table2, table3, table4, table5, table6, table7, table8, table9), 1)
    },
    "tableA1": _stamped(table_a1),
    "tableA2": _stamped(table_a2),
}
