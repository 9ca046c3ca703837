"""Verbs that read folders of video: extract, doctor, demo; and what the others that do share with them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prvr.cli.screen import (
    DONE,
    FAILED,
    PARTIAL,
    Parser,
    called,
    count_bar,
    device_option,
    emit,
    positive,
    reading_bar,
    say,
    tell,
    training_bar,
)
from prvr.core.errors import ConfigError
from prvr.core.places import index_folder
from prvr.core.text import count

if TYPE_CHECKING:
    from prvr.core.types import Encoder
    from prvr.features.extract import Extraction
    from prvr.features.hands import Workplace
    from prvr.search.choosing import Chosen


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """demo, extract, doctor."""
    demo = verbs.add_parser("demo", help="make a small library of generated videos and try everything on it")
    demo.add_argument("--out", type=Path, default=Path("demo"), help="folder to work in (default: %(default)s)")
    demo.add_argument("--size", default="demo", help="size: tiny or demo (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="seed of the generated videos (default: %(default)s)")
    demo.add_argument("--seeds", type=int, default=1, help="training runs per row of the table (default: %(default)s)")
    demo.add_argument("--serve", action="store_true", help="open the page at once, without training")
    device_option(demo)
    demo.set_defaults(run=run_demo)
    demo.description = (
        "Make a small library of generated videos, then index, search, train and measure. "
        "A second call does what is missing."
    )
    demo.shows("prvr demo", "prvr demo --size tiny --out tiny")

    extract = verbs.add_parser("extract", help="read videos into features for training")
    reading_options(extract, encoder=None)
    extract.add_argument("--out", type=Path, required=True, help="the feature store")
    extract.set_defaults(run=run_extract)
    extract.description = (
        "Read videos into a feature store, for training. You can stop it at any time: what is finished stays."
    )
    extract.shows(
        "prvr extract videos/ --encoder world --out features", "prvr extract a.mp4 b.mp4 --out features --rate 2"
    )

    doctor = verbs.add_parser("doctor", help="check this machine: one line per check, with the fix")
    doctor.add_argument("--index", type=Path, help="the index folder to look at (default: the one for this user)")
    doctor.add_argument("--json", action="store_true", help="print the checks as JSON")
    doctor.set_defaults(run=run_doctor)
    doctor.description = "Check this machine and the index: one line per check, each with its fix."
    doctor.shows("prvr doctor", "prvr doctor --json   # what a bug report needs")


def reading_options(parser: Parser, *, encoder: str | None, paths: str = "+") -> None:
    """What every verb that reads videos takes."""
    parser.add_argument("paths", nargs=paths, type=Path, metavar="PATH", help="video files, or folders to walk")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    reading = parser.add_argument_group("how videos are read")
    reading.add_argument("--encoder", default=encoder, help="a model of `prvr models`, a folder, or a hub name")
    reading.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="leave out files and folders whose name, or path below PATH, fits: '*.part.mp4', private; may be repeated",
    )
    reading.add_argument("--rate", type=float, default=1.0, help="frames a second (default: %(default)s)")
    reading.add_argument("--max-frames", type=int, help="at most this many frames per video, evenly spaced")
    reading.add_argument("--workers", type=int, help="videos at a time (default: one per core)")
    reading.add_argument("--dtype", default="auto", help="number format: auto, fp32 or bf16 (default: %(default)s)")
    device_option(reading)
    cluster = parser.add_argument_group("on several machines (`pip install 'prvr[ray]'`)")
    cluster.add_argument("--on", metavar="WHERE", help="ray: processes of this machine; ray://HOST:PORT: a cluster")
    cluster.add_argument("--cpus-per-worker", type=int, default=1, help="cores per worker (default: %(default)s)")
    cluster.add_argument(
        "--gpus-per-worker", type=float, default=0, help="GPUs per worker, such as 1 or 0.5 (default: none)"
    )
    cluster.add_argument(
        "--decoders",
        type=int,
        metavar="N",
        help="cores per worker that decode (default: with a GPU, all that are left)",
    )
    cluster.add_argument("--fetch", action="store_true", help="send features back, if no folder is shared")
    cluster.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="HERE=THERE",
        help="where workers have a folder of this machine: /mnt/a=/data/a; may be repeated",
    )


def run_extract(args: argparse.Namespace) -> int:
    """Videos to features."""
    from prvr.features.extract import extract
    from prvr.features.store import FeatureStore, holds_features
    from prvr.search.choosing import Chosen, choose_encoder, made_with

    if args.encoder is not None:
        chosen = Chosen(args.encoder)
    elif holds_features(args.out):
        chosen = made_with(FeatureStore.open(args.out).header.encoder)
    else:
        chosen = choose_encoder(args.paths)
    rate, most, workers = sampling(args)
    encoder = bring_encoder(chosen, args)
    with reading_bar() as show:
        done = extract(
            args.paths,
            encoder,
            args.out,
            rate=rate,
            max_frames=most,
            place=workplace(args, encoder, workers),
            exclude=args.exclude,
            on_progress=show,
        )
    if args.json:
        emit({"store": str(args.out), "notes": done.notes, **extraction(done)})
    for note in done.notes:
        say(f"note     {note}")
    return closing(done, f"in {args.out}", args.paths)


def run_doctor(args: argparse.Namespace) -> int:
    """Check this machine."""
    from prvr.doctor import examine

    checks = examine(args.index or index_folder())
    if args.json:
        emit([check._asdict() for check in checks])
    else:
        for check in checks:
            tell(
                f"{'ok ' if check.ok else '!! '} {check.name:<12} {check.found}"
                + (f"  -> {check.fix}" if check.fix else "")
            )
    return DONE if all(check.ok for check in checks) else FAILED


def run_demo(args: argparse.Namespace) -> int:
    """A library that answers, then the page, or the table."""
    from prvr.demo import Screen, measure, open_library

    screen = Screen(
        command=called(), say=say, show=print, counting=count_bar, reading=reading_bar, training=training_bar
    )
    seeds = int(positive(args.seeds, "--seeds"))
    open_library(args.out, screen, size=args.size, seed=args.seed, device=args.device)
    if args.serve:
        from prvr.cli.serve import serve_folder

        return serve_folder(args.out, device=args.device)
    measure(args.out, screen, seeds=seeds, device=args.device)
    return DONE


def extraction(done: Extraction) -> dict[str, Any]:
    """What reading did, as JSON."""
    return {
        "made": done.made,
        "kept": done.kept,
        "failed": done.failed,
        "known": sorted(done.known),
        "ignored": done.ignored,
        "video_s": done.video_s,
        "wall_s": done.wall_s,
    }


def closing(done: Extraction, place: str, paths: Sequence[Path], *, known: str = "") -> int:
    """What was done, a line for each file that could not be read, or not whole; -> the exit code.

    Those that failed before and have not changed are counted only, if it is said how they are `known`, and are no
    reason for code 3: nothing new is wrong.
    """
    new = [problem for path, problem in done.failed.items() if not known or path not in done.known]
    for problem in new:
        say(f"skipped  {problem}")
    if old := len(done.failed) - len(new):
        say(f"{count(old, 'file')} still cannot be read, or not whole, as before: {known}")
    if not done.video_ids:
        if paths and not done.failed:
            say(
                f"prvr: no video could be read below {', '.join(map(str, paths))}; give a folder that holds video files"
            )
        elif new:
            say(f"{count(len(new), 'file')} could not be read")
        elif not done.failed:
            say("There is nothing to try again")
        return FAILED if done.failed or paths else DONE
    speed = f", {done.video_s / done.wall_s:.0f} x realtime" if done.made and done.wall_s else ""
    skipped = f", {len(new)} could not be read or not whole" if new else ""
    skipped += f", {done.ignored} ignored" if done.ignored else ""
    made, kept = count(len(done.made), "video"), len(done.kept)
    say(f"{made} read now{speed}, {kept} unchanged{skipped}; {len(done.video_ids)} {place}")
    return PARTIAL if new else DONE


def bring_encoder(chosen: Chosen, args: argparse.Namespace) -> Encoder:
    """The encoder, announced, with the reason where it was not named; with one of windows beside it.

    Raises VideoError where a path is no video.
    """
    from prvr.encoders.known import knows_only
    from prvr.encoders.loading import load_encoder
    from prvr.encoders.pair import paired
    from prvr.video.source import check_there

    check_there(args.paths)  # before a model is loaded for them
    name = paired(chosen.encoder, getattr(args, "clip_encoder", None))
    encoder = load_encoder(name, device=args.device, dtype=args.dtype, fetching=chosen.fetching)
    say(f"Encoder {encoder.spec.fingerprint}" + (f": {chosen.why}" if chosen.why else knows_only(encoder.spec)))
    return encoder


def workplace(args: argparse.Namespace, encoder: Encoder, workers: int | None) -> Workplace:
    """Where videos are read, as --workers, --on and its options say. Raises ConfigError for what cannot be."""
    if args.on is None:
        from prvr.features.hands import ReadingThreads

        theirs = (args.fetch, args.map, args.gpus_per_worker, args.cpus_per_worker != 1, args.decoders is not None)
        if any(theirs):
            raise ConfigError(
                "--fetch, --map, --decoders, --cpus-per-worker and --gpus-per-worker are for --on WHERE; add that"
            )
        return ReadingThreads(workers or os.cpu_count() or 1)
    from prvr.cluster.opening import parse_on
    from prvr.cluster.reading import PathMap, RayWorkers
    from prvr.encoders.loading import load_encoder

    parse_on(args.on)
    name = encoder.spec.source or encoder.spec.name
    return RayWorkers(
        on=args.on,
        load=partial(load_encoder, name, device=args.device, dtype=args.dtype, fetching=False),
        workers=workers,
        cpus=int(positive(args.cpus_per_worker, "--cpus-per-worker")),
        gpus=positive(args.gpus_per_worker, "--gpus-per-worker") if args.gpus_per_worker else 0.0,
        decoders=args.decoders and int(positive(args.decoders, "--decoders")),
        fetch=args.fetch,
        mapped=PathMap(args.map),
    )


def sampling(args: argparse.Namespace) -> tuple[float, int | None, int | None]:
    """--rate, --max-frames and --workers, judged."""
    whole = [(args.max_frames, "--max-frames"), (args.workers, "--workers")]
    most, workers = (None if value is None else int(positive(value, name)) for value, name in whole)
    return positive(args.rate, "--rate"), most, workers
