"""Verbs of research: evaluate, compare, reproduce, import-checkpoint; train is in a file of its own."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prvr.cli.placing import place_of, place_options
from prvr.cli.screen import DONE, FAILED, Parser, device_option, emit, positive, say, training_bar, trust_option
from prvr.cli.training import add_train, data_options, protocol_option, say_simulated, settings_option, teacher_option
from prvr.core.errors import ConfigError, PrvrError

if TYPE_CHECKING:
    from prvr.data.folder import DataFolder
    from prvr.ranker.ranker import Ranker

TABLES = (*(f"table{i}" for i in range(1, 10)), "tableA1", "tableA2")
FIGURES = ("figure1", "figure3")


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """train, evaluate, compare, reproduce, import-checkpoint."""
    add_train(verbs)
    _add_evaluate(verbs)
    _add_compare(verbs)
    _add_reproduce(verbs)
    _add_import(verbs)


def _add_evaluate(verbs: argparse._SubParsersAction[Parser]) -> None:
    evaluate = verbs.add_parser("evaluate", help="measure a run, `zero-shot` or a submission on a split")
    evaluate.add_argument("what", metavar="RUN", nargs="?", help="a run folder, or zero-shot for the bare encoder")
    submitted = evaluate.add_argument_group("a submission")
    submitted.add_argument(
        "--submission",
        type=Path,
        metavar="FILE",
        help="instead of RUN: a file for the evaluator of QVHighlights or TVR; --data may then be the annotation file",
    )
    submitted.add_argument(
        "--lenient", action="store_true", help="submission: score what there is where the published evaluator fails"
    )
    submitted.add_argument(
        "--nms", type=float, metavar="IOU", help="submission: drop windows that overlap a better one by more than this"
    )
    data_options(evaluate)
    measured = evaluate.add_argument_group("what is measured of a run")
    measured.add_argument("--split", help="train, val or test (default: test, or val where there is no test)")
    measured.add_argument("--against", type=Path, metavar="RUN", help="test the difference to another run")
    measured.add_argument(
        "--absent",
        action="store_true",
        help="also ask every query of a video that does not answer it: AUROC, F1 of rejection, G-mIoU",
    )
    measured.add_argument("--intervals", action="store_true", help="print 95 %% intervals")
    evaluate.add_argument("--out", type=Path, help="report file (default: RUN/reports/SPLIT.json)")
    evaluate.add_argument("--json", action="store_true", help="print the report as JSON")
    device_option(evaluate)
    trust_option(evaluate)
    evaluate.set_defaults(run=run_evaluate)
    evaluate.description = (
        "Measure a run, the bare encoder or a submission file on a split: recalls, moments, confidence intervals."
    )
    evaluate.shows(
        "prvr evaluate runs/msc-world --data demo --intervals",
        "prvr evaluate zero-shot --data demo",
        "prvr evaluate zero-shot --data demo --absent   # and what it refuses",
        "prvr evaluate --submission val.jsonl --data DIR",
    )


def _add_compare(verbs: argparse._SubParsersAction[Parser]) -> None:
    compare = verbs.add_parser("compare", help="train and measure all systems under one protocol")
    data_options(compare)
    runs = compare.add_argument_group("which runs")
    runs.add_argument(
        "--systems",
        default="all",
        metavar="A,B,…",
        help="names such as msc,ms-sl,zero-shot, recipes as package.module:function, or all (default: %(default)s)",
    )
    runs.add_argument("--seeds", type=int, default=1, help="runs of each system (default: %(default)s)")
    runs.add_argument("--budget", type=int, metavar="EPOCHS", help="epochs of every run (default: as published)")
    settings_option(runs)
    teacher_option(runs)
    protocol_option(runs)
    compare.add_argument("--out", type=Path, default=Path("compared"), help="where runs and results are kept")
    place_options(compare)
    compare.add_argument("--json", action="store_true", help="print the tables as JSON")
    device_option(compare)
    compare.set_defaults(run=run_compare)
    compare.description = "Train and measure every system under one protocol, ours beside the published values."
    compare.shows(
        "prvr compare --data DIR --systems msc,ms-sl,zero-shot",
        "prvr compare --data DIR --systems all --seeds 3",
    )


def _add_reproduce(verbs: argparse._SubParsersAction[Parser]) -> None:
    reproduce = verbs.add_parser(
        "reproduce", help="make a table or figure of the MSC paper, beside the published values"
    )
    reproduce.add_argument(
        "what", choices=[*TABLES, *FIGURES], metavar="WHAT", help=f"{', '.join([*TABLES, *FIGURES])}"
    )
    reproduce.add_argument(
        "--data", type=Path, action="append", required=True, help="folder of one benchmark; may be given several times"
    )
    reproduce.add_argument("--out", type=Path, default=Path("reproduced"), help="where runs and results are kept")
    runs = reproduce.add_argument_group("which runs")
    runs.add_argument("--seeds", type=int, default=1, help="runs of each row (default: %(default)s)")
    settings_option(runs)
    protocol_option(runs)
    runs.add_argument(
        "--teacher", action="append", default=[], metavar="NAME=PATH", help="text features of a teacher of Table 3c"
    )
    runs.add_argument(
        "--compared",
        type=Path,
        default=Path("compared"),
        help="table4, table5: where `prvr compare` keeps the runs of the other systems (default: %(default)s)",
    )
    shown = reproduce.add_argument_group("figure3")
    shown.add_argument("--videos", type=Path, help="folder of the video files")
    shown.add_argument("--query", help="id of the query to show")
    place_options(reproduce)
    reproduce.add_argument("--json", action="store_true", help="print the table as JSON")
    device_option(reproduce)
    reproduce.set_defaults(run=run_reproduce)
    reproduce.description = "Make a table or figure of the MSC paper from your data, ours beside the published values."
    reproduce.shows("prvr reproduce table1 --data DIR --seeds 3", "prvr reproduce figure1 --data DIR")


def _add_import(verbs: argparse._SubParsersAction[Parser]) -> None:
    bring = verbs.add_parser("import-checkpoint", help="import an official checkpoint as a run")
    bring.add_argument("checkpoint", type=Path, help="the authors' .ckpt")
    data_options(bring)
    bring.add_argument(
        "--recipe",
        default="prvr.methods.msc.runs:qvhighlights",
        help="whose authors' it is, and its settings (default: %(default)s)",
    )
    settings_option(bring)
    bring.add_argument("--out", type=Path, required=True, help="run folder")
    bring.set_defaults(run=run_import)
    bring.description = (
        "Import an official checkpoint, as the authors' code writes it, as a run. Nothing in the file is executed."
    )
    bring.shows(
        "prvr import-checkpoint best.ckpt --data DIR --out runs/official",
    )


def run_evaluate(args: argparse.Namespace) -> int:
    """Measure a run, or a submission."""
    if (args.what is None) == (args.submission is None):
        raise ConfigError("evaluate needs a run folder, or zero-shot, or --submission FILE, and one of them alone")
    of_run, of_file = ("against", "intervals", "absent", "features"), ("lenient", "nms")
    for name in of_run if args.submission else of_file:
        if getattr(args, name) not in (None, False):
            other = "a run" if args.submission else "a submission"
            raise ConfigError(f"--{name}: is of {other}; leave it out")
    return _evaluate_submission(args) if args.submission else _evaluate_run(args)


def _evaluate_submission(args: argparse.Namespace) -> int:
    from prvr.runs.submitted import evaluate_submission

    found = evaluate_submission(args.submission, args.data, args.split, strict=not args.lenient, nms=args.nms)
    if args.out:
        found.save(args.out)
    if args.json:
        emit(found.tree)
    else:
        print(f"{found.title}, in percent\n")
        print("\n\n".join(found.tables))
    for note in found.notes:
        say(note)
    return DONE


def _evaluate_run(args: argparse.Namespace) -> int:
    from prvr.data.folder import DataFolder
    from prvr.evaluation.report import comparison_table, interval_table, table
    from prvr.methods.zero_shot.runs import max_over_frames
    from prvr.ranker.ranker import open_run
    from prvr.runs.measure import evaluate_run, untrained

    data = DataFolder(args.data, args.features)
    bare = args.what == "zero-shot"
    trained = untrained(max_over_frames(), data.spec) if bare else open_run(Path(args.what))
    split = args.split or data.reported
    if args.absent:
        return _evaluate_absent(args, trained, data, split)
    found = evaluate_run(trained, data, split, device=args.device)
    path = args.out or (None if bare else Path(args.what) / "reports" / f"{split}.json")
    if path:
        found.save(path)
    rows = {trained.title: [found.report]}
    if args.json:
        emit(found.report.to_dict())
    else:
        print(table(rows))
        if args.intervals:
            print(f"\n{interval_table(rows)}")
    if args.against:
        other = open_run(args.against)
        theirs = evaluate_run(other, data, split, device=args.device)
        title = f"{trained.title} - {other.title}"
        print(f"\n{comparison_table(title, theirs.against(found))}")
    return DONE


def _evaluate_absent(args: argparse.Namespace, trained: Ranker, data: DataFolder, split: str) -> int:
    from prvr.runs.absent import evaluate_absent

    for name in ("against", "intervals", "out"):
        if getattr(args, name):
            raise ConfigError(f"--{name}: does not go with --absent; leave one of them out")
    found = evaluate_absent(trained, data, split, device=args.device)
    if args.json:
        emit(found.to_dict())
    else:
        print(f"{trained.title}, {split}, in percent\n\n{found.table()}")
    say_simulated(data)
    own = ", the very split that is measured" if found.chosen_on == split else ""
    say(f"Refused is what scores below {found.threshold:.4f}, best for rejection on {found.chosen_on}{own}")
    return DONE


def run_reproduce(args: argparse.Namespace) -> int:
    """A table or figure of the paper."""
    from prvr.data.folder import DataFolder
    from prvr.reproduce import figures
    from prvr.reproduce.lab import Lab, by_benchmark
    from prvr.reproduce.placed import placed
    from prvr.reproduce.sheet import markdown, write
    from prvr.reproduce.tables import TABLES as SHEETS

    if args.what in FIGURES:
        figures.need_matplotlib()
    lab = Lab(
        root=args.out,
        data=by_benchmark([DataFolder(folder) for folder in args.data]),
        seeds=int(positive(args.seeds, "--seeds")),
        settings=tuple(args.settings),
        clean=args.protocol == "clean",
        device=args.device,
        teachers=dict(_teacher(text) for text in args.teacher),
        others=args.compared,
        say=say,
        training=training_bar,
    )
    for data in lab.data.values():
        say_simulated(data)
    with place_of(args) as place:
        if args.what in FIGURES:
            path = args.out / f"{args.what}.png"
            draw = figures.figure1 if args.what == "figure1" else figures.figure3
            wanted = figures.Wanted(videos=args.videos, query_id=args.query)
            print(placed(lab, place, lambda lab: draw(lab, path, wanted))[0])
            say(f"Drawn in {path}")
            return DONE
        sheet, lab = placed(lab, place, SHEETS[args.what])
    sheet = replace(sheet, notes=(*sheet.notes, *(f"Failed: {why}" for why in lab.failed.values())))
    paths = write(sheet, args.out)
    if args.json:
        emit(sheet.to_dict())
    else:
        print(markdown(sheet))
    say(f"Written to {', '.join(map(str, paths))}")
    return FAILED if lab.failed else DONE


def run_compare(args: argparse.Namespace) -> int:
    """Systems side by side."""
    from prvr.data.folder import DataFolder
    from prvr.reproduce.compare import ComparePlan, compare, draw
    from prvr.reproduce.lab import Lab, by_benchmark
    from prvr.reproduce.sheet import markdown, write
    from prvr.reproduce.systems import choose

    plan = ComparePlan(
        systems=choose(args.systems),
        budget=None if args.budget is None else int(positive(args.budget, "--budget")),
        settings=tuple(args.settings),
    )
    lab = Lab(
        root=args.out,
        data=by_benchmark([DataFolder(args.data, args.features, args.teacher)]),
        seeds=int(positive(args.seeds, "--seeds")),
        clean=args.protocol == "clean",
        device=args.device,
        say=say,
        training=training_bar,
    )
    say_simulated(lab.only()[1])
    with place_of(args) as place:
        found = compare(lab, plan, place)
    paths = [path for sheet in (found.recalls, found.costs) for path in write(sheet, args.out)]
    if args.json:
        emit({"recalls": found.recalls.to_dict(), "costs": found.costs.to_dict()})
    else:
        print(f"{markdown(found.recalls)}\n\n{markdown(found.costs)}")
    say(f"Written to {', '.join(map(str, paths))}")
    picture = args.out / f"{found.recalls.name}.png"
    try:
        draw(found, picture)
    except PrvrError as error:  # the tables are there without it
        say(str(error))
    else:
        say(f"Drawn in {picture}")
    return DONE if any(outcome.reports for outcome in found.outcomes) else FAILED


def run_import(args: argparse.Namespace) -> int:
    """An authors' checkpoint to a run folder."""
    from prvr.data.folder import DataFolder
    from prvr.methods.recipe import load_recipe
    from prvr.runs.imports import import_run

    recipe = load_recipe(args.recipe).with_settings(args.settings)
    trained = import_run(args.checkpoint, recipe, DataFolder(args.data, args.features), args.out)
    say(f"{args.out}: {trained.title}, {trained.features.name}")
    say(f"Next: prvr evaluate {args.out} --data {args.data}")
    return DONE


def _teacher(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not equals or not path:
        raise ConfigError(f"--teacher {text}: expected NAME=PATH, such as CLIP-L=TextData/clip_L14.h5")
    return name, Path(path)
