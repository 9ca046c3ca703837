"""Verbs on annotations and features: data info, check, convert, simulate."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prvr.cli.screen import DONE, FAILED, Parser, count_bar, emit, say, tell

if TYPE_CHECKING:
    from prvr.data.benchmarks import SplitInfo
    from prvr.data.benchmarks.splits import Quartiles


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """data, with verbs of its own."""
    data = verbs.add_parser("data", help="look at, check, convert or simulate the data of a benchmark")
    data.description = "Look at, check, convert or simulate the data of a benchmark."
    data.shows("prvr data check DIR", "prvr data convert annotations/ out/ --to tvr")
    inner = data.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser, required=True)

    info = inner.add_parser("info", help="summarise annotations, one line per split")
    info.add_argument("folder", type=Path, help="folder of annotations in any known form")
    info.add_argument("--json", action="store_true", help="print it as JSON")
    info.set_defaults(run=run_info)
    info.description = "Summarise the annotations of a folder, one line per split, beside the published counts."
    info.shows(
        "prvr data info DIR",
    )

    check = inner.add_parser("check", help="check a data folder: what is there, what is missing")
    check.add_argument("folder", type=Path, help="folder of annotations and features")
    check.add_argument("--json", action="store_true", help="print the checks as JSON")
    check.set_defaults(run=run_check)
    check.description = "Check what a folder has of a benchmark, what is missing, and where to get it."
    check.shows(
        "prvr data check DIR",
    )

    _add_making(inner)


def _add_making(inner: argparse._SubParsersAction[Parser]) -> None:
    convert = inner.add_parser("convert", help="convert annotations, and report what is lost")
    convert.add_argument("source", type=Path, help="a file, or a folder of them")
    convert.add_argument("target", type=Path, help="where to write")
    convert.add_argument(
        "--to",
        default="jsonl",
        choices=["jsonl", "captions", "qvhighlights", "tvr", "activitynet", "charades", "charades_sta"],
        help="the form to write (default: %(default)s)",
    )
    convert.set_defaults(run=run_convert)
    convert.description = "Convert annotations from one form to another; what the other form cannot hold is reported."
    convert.shows(
        "prvr data convert annotations/ out/ --to qvhighlights",
    )

    simulate = inner.add_parser("simulate", help="simulate features for real annotations, in the published layout")
    simulate.add_argument("annotations", type=Path, help="folder of annotations in any known form")
    simulate.add_argument("--out", type=Path, required=True, help="folder to write")
    simulate.add_argument(
        "--difficulty", choices=["easy", "hard"], default="easy", help="how hard they are (default: %(default)s)"
    )
    simulate.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="settings", help="a setting, such as noise=2"
    )
    simulate.add_argument("--seed", type=int, default=0, help="seed (default: %(default)s)")
    simulate.add_argument("--encoder", help="a text encoder: a folder or a hub name (default: hashed words)")
    simulate.set_defaults(run=run_simulate)
    simulate.description = (
        "Make simulated features for real annotations, in the published layout. "
        "They serve to compare methods and say nothing about real videos."
    )
    simulate.shows(
        "prvr data simulate annotations/ --out simulated --difficulty hard",
    )


def run_info(args: argparse.Namespace) -> int:
    """What the annotations hold."""
    from dataclasses import asdict

    from prvr.data.benchmarks import describe, open_annotations

    annotations = open_annotations(args.folder)
    found = describe(annotations)
    if args.json:
        emit([asdict(info) | {"source": str(info.source), "as_published": info.as_published} for info in found])
    else:
        title = annotations.benchmark.title if annotations.benchmark else "own annotations"
        tell(f"{title}, {annotations.form.expected}")
        tell(f"\n{_info_table(found)}")
    return DONE


def _info_table(found: Sequence[SplitInfo]) -> str:
    head = ["split", "videos", "queries", "a video", "words", "windows", "moment/video", "video, s", "published"]
    rows = [
        [
            " = ".join(info.splits),
            f"{info.videos:,}",
            f"{info.queries:,}",
            f"{info.queries_per_video:.1f}",
            f"{info.words_per_query:.1f}",
            f"{info.windows_per_query:.1f}",
            _quartiles(info.moment_ratio, 2),
            _quartiles(info.duration_s, 0),
            ""
            if info.published is None
            else "as published"
            if info.as_published
            else "{:,} / {:,}".format(*info.published),
        ]
        for info in found
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]
    return "\n".join([*lines, "", "a video, words, windows: means; moment/video, video: quartiles"])


def _quartiles(found: Quartiles | None, digits: int) -> str:
    return "n/a" if found is None else " ".join(f"{value:.{digits}f}" for value in found)


def run_check(args: argparse.Namespace) -> int:
    """What is there and what is missing."""
    from prvr.data.check import check

    with count_bar("Reading") as on_progress:
        found = check(args.folder, on_progress=on_progress)
    if args.json:
        emit([one._asdict() for one in found.checks])
    else:
        for one in found.checks:
            fix = f"  -> {one.fix}" if one.fix else ""
            tell(f"{'ok ' if one.ok else '!! '} {one.name:<18} {one.found}{fix}")
    return DONE if found.ok else FAILED


def run_convert(args: argparse.Namespace) -> int:
    """Annotations from one form to another."""
    from prvr.data.convert import convert

    done = convert(args.source, args.target, to=args.to)
    for loss in done.lost:
        say(f"lost     {loss}")
    for path in done.files:
        tell(str(path))
    say(f"{done.queries} queries written")
    return DONE


def run_simulate(args: argparse.Namespace) -> int:
    """Simulated features over real annotations."""
    from prvr.core.config import override
    from prvr.data.benchmarks import open_annotations
    from prvr.data.simulate import SimulateConfig, TextEncoder, simulate
    from prvr.encoders.loading import load_encoder

    preset = SimulateConfig.easy if args.difficulty == "easy" else SimulateConfig.hard
    config = override(preset(seed=args.seed), args.settings)
    encoder = TextEncoder.of(load_encoder(args.encoder)) if args.encoder else None
    with count_bar("Simulating") as on_progress:
        done = simulate(
            open_annotations(args.annotations), args.out, config=config, encoder=encoder, on_progress=on_progress
        )
    say(f"{done.root}: SIMULATED features of {done.videos} videos ({done.frames} frames) and {done.queries} queries")
    say(f"Next: prvr data check {done.root}")
    return DONE
