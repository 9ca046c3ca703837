"""The command line: parse, call, print. Results go to stdout, words for people to stderr.

Exit codes: 0 done, 1 failed, 2 usage, 3 some files were skipped, 130 interrupted and safe to go on.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from prvr import __version__
from prvr.core.errors import ConfigError, PrvrError

if TYPE_CHECKING:
    from prvr.core.types import Encoder, EncoderSpec, Hit
    from prvr.features.extract import Extraction, Progress
    from prvr.training.loop import TrainProgress

DONE, FAILED, USAGE, PARTIAL, INTERRUPTED = 0, 1, 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; -> its exit code."""
    # Threads that wait give way soon: where they spin beside a busy process, a step takes ten times as long.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    parser = build_parser()
    args = parser.parse_args(argv)
    if not args.command:
        parser.print_help()
        return DONE
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except PrvrError as error:
        say(f"prvr {args.command}: {error}")
        return FAILED
    except KeyboardInterrupt:
        say(f"\nStopped safely; what is finished stays. Run the same `prvr {args.command}` again to go on.")
        return INTERRUPTED
    except BrokenPipeError:  # `prvr search … | head`
        sys.stderr.close()
        return DONE


def say(text: str) -> None:
    """A line for people."""
    print(text, file=sys.stderr, flush=True)


def emit(value: Any) -> None:
    """A result for machines."""
    print(json.dumps(value, ensure_ascii=False, indent=1))


class Parser(argparse.ArgumentParser):
    """One line for a wrong command line, with the nearest name that exists."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and what to do, and leave with the code for usage."""
        words = message.split("'")
        if "invalid choice" in message and len(words) > 2:
            near = difflib.get_close_matches(
                words[1], words[3::2] or message.split("choose from ")[-1].split(", "), n=1
            )
            message = f"no {words[1]!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        say(f"{self.prog}: {message} (`{self.prog} --help` shows what there is)")
        raise SystemExit(USAGE)


def build_parser() -> Parser:
    """The verbs and their options."""
    parser = Parser(prog="prvr", description="Find the video, and the moment in it, that a sentence describes.")
    parser.add_argument("--version", action="version", version=f"prvr {__version__}")
    verbs = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    _research(verbs)
    _library(verbs)
    return parser


def _research(verbs: argparse._SubParsersAction[Parser]) -> None:
    """Making features, training, measuring."""
    demo = verbs.add_parser("demo", help="make a small library of videos and go the whole way through it")
    demo.add_argument("--out", type=Path, default=Path("demo"), help="folder to work in (default: %(default)s)")
    demo.add_argument("--size", default="demo", help="tiny or demo (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="of the world (default: %(default)s)")
    demo.add_argument("--seeds", type=int, default=1, help="training runs a row of the table (default: %(default)s)")
    _device(demo)
    demo.set_defaults(run=run_demo)

    extract = verbs.add_parser("extract", help="videos to features, safe to stop and go on")
    _reading(extract, encoder="world")
    extract.add_argument("--out", type=Path, required=True, help="the feature store")
    extract.set_defaults(run=run_extract)

    train = verbs.add_parser("train", help="train a recipe on annotated features")
    train.add_argument("recipe", help="package.module:function, such as prvr.recipes.msc:world")
    train.add_argument("--data", type=Path, required=True, help="folder with annotations/ and features/")
    train.add_argument("--features", type=Path, help="feature store, where it is not DATA/features")
    train.add_argument("--out", type=Path, help="run folder (default: runs/RECIPE)")
    train.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings", help="a setting")
    train.add_argument("--seed", type=int, help="short for --set train.seed=SEED")
    train.add_argument("--json", action="store_true", help="print the result as JSON")
    _device(train)
    train.set_defaults(run=run_train)

    evaluate = verbs.add_parser("evaluate", help="measure a run, or `zero-shot`, on a split")
    evaluate.add_argument("what", metavar="RUN", help="a run folder, or zero-shot for the bare encoder")
    evaluate.add_argument("--data", type=Path, required=True, help="folder with annotations/ and features/")
    evaluate.add_argument("--features", type=Path, help="feature store, where it is not DATA/features")
    evaluate.add_argument("--split", default="test", help="train, val or test (default: %(default)s)")
    evaluate.add_argument("--json", action="store_true", help="print the report as JSON")
    _device(evaluate)
    evaluate.set_defaults(run=run_evaluate)


def _library(verbs: argparse._SubParsersAction[Parser]) -> None:
    """Folders of video and sentences."""
    index = verbs.add_parser("index", help="folders of video to an index that can be searched")
    _reading(index, encoder=None)
    index.add_argument("--index", type=Path, help="the index folder (default: one for this user)")
    index.add_argument("--model", type=Path, help="a run folder; without it the bare encoder ranks")
    index.set_defaults(run=run_index)

    search = verbs.add_parser("search", help="a sentence to ranked videos with moments")
    search.add_argument("query", help="what happens, in a sentence")
    search.add_argument("--index", type=Path, help="the index folder (default: the one for this user)")
    search.add_argument("-k", "--top-k", type=int, default=5, help="videos to show (default: %(default)s)")
    search.add_argument("--encoder", help="where the index's encoder lies now, if it was moved")
    search.add_argument("--json", action="store_true", help="print the hits as JSON")
    _device(search)
    search.set_defaults(run=run_search)

    doctor = verbs.add_parser("doctor", help="check this machine, a line a check, with the fix")
    doctor.add_argument("--index", type=Path, help="the index folder to look at (default: the one for this user)")
    doctor.add_argument("--json", action="store_true", help="print the checks as JSON")
    doctor.set_defaults(run=run_doctor)


def _device(parser: Parser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: %(default)s)")


def _reading(parser: Parser, *, encoder: str | None) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="video files, or folders to walk")
    parser.add_argument("--encoder", default=encoder, help="world, a folder, or a hub name")
    parser.add_argument("--rate", type=float, default=1.0, help="frames a second (default: %(default)s)")
    parser.add_argument("--max-frames", type=int, help="at most so many a video, spread over its length")
    parser.add_argument("--workers", type=int, help="videos at a time (default: one a core)")
    parser.add_argument("--dtype", default="auto", help="auto, fp32 or bf16 (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    _device(parser)


def run_extract(args: argparse.Namespace) -> int:
    """Videos to features."""
    from prvr.features.extract import extract

    encoder = _encoder(args.encoder, args)
    rate, most, workers = _sampling(args)
    with _reading_bar() as show:
        done = extract(args.paths, encoder, args.out, rate=rate, max_frames=most, workers=workers, on_progress=show)
    if args.json:
        emit({"store": str(args.out), **_extraction(done)})
    return _closing(done, f"in {args.out}", args.paths)


def run_train(args: argparse.Namespace) -> int:
    """Train a recipe."""
    from prvr.data.folder import DataFolder
    from prvr.recipes.recipe import load_recipe
    from prvr.recipes.runs import train_run

    seed = [] if args.seed is None else [f"train.seed={args.seed}"]
    recipe = load_recipe(args.recipe).with_settings([*args.settings, *seed])
    out = args.out or Path("runs") / args.recipe.rpartition(".")[2].replace(":", "-")
    with _training_bar(recipe.title) as on_progress:
        result = train_run(
            recipe, DataFolder(args.data, args.features), out, device=args.device, on_progress=on_progress
        )
    if args.json:
        emit({"run": str(out), "best": result.best, "best_epoch": result.best_epoch, "epochs": result.epochs})
    else:
        print(f"{out}  best SumR {result.best:.1f} at epoch {result.best_epoch} of {result.epochs} (validation)")
    say(f"Next: prvr evaluate {out} --data {args.data}")
    return DONE


def run_evaluate(args: argparse.Namespace) -> int:
    """Measure a run."""
    from prvr.data.folder import DataFolder
    from prvr.evaluation.report import table
    from prvr.recipes.runs import evaluate_run, open_run, zero_shot

    data = DataFolder(args.data, args.features)
    trained = zero_shot(data.store.header.encoder) if args.what == "zero-shot" else open_run(Path(args.what))
    report = evaluate_run(trained, data, args.split, device=args.device)
    if args.json:
        emit(report.to_dict())
    else:
        print(table({trained.recipe.title: [report]}))
    return DONE


def run_index(args: argparse.Namespace) -> int:
    """Folders of video to an index."""
    from prvr.index.exact import read_header
    from prvr.recipes.runs import open_run
    from prvr.search.indexing import build_index
    from prvr.search.places import index_folder

    folder = args.index or index_folder()
    name = args.encoder
    if name is None and (maker := open_run(args.model) if args.model else read_header(folder)):
        name = maker.encoder.source or maker.encoder.name
    encoder = _encoder(name or "world", args)
    rate, most, workers = _sampling(args)
    with _reading_bar() as show:
        done = build_index(
            args.paths,
            folder,
            encoder,
            model=args.model,
            rate=rate,
            max_frames=most,
            workers=workers,
            on_progress=show,
        )
    if args.json:
        emit({"index": str(folder), "videos": done.num_videos, **_extraction(done.extraction)})
    code = _closing(done.extraction, f"searchable in {folder}", args.paths)
    if code != FAILED:
        say(f'Next: prvr search "what happens in it" --index {folder}')
    return code


def run_search(args: argparse.Namespace) -> int:
    """A sentence to ranked videos with moments."""
    from prvr.search.engine import SearchEngine
    from prvr.search.listing import hit_table
    from prvr.search.places import index_folder

    engine = SearchEngine.open(args.index or index_folder(), encoder=args.encoder, device=args.device)
    hits = engine.search(args.query, k=int(_positive(args.top_k, "-k")))
    unknown = engine.encoder.unknown_words(args.query)
    if unknown:
        spec = engine.encoder.spec
        say(f"Encoder {spec.fingerprint} does not know: {', '.join(unknown)}{_limits(spec)}")
    if args.json:
        emit([_hit(rank, hit) for rank, hit in enumerate(hits, 1)])
    else:
        print(hit_table(hits))
    return DONE


def run_doctor(args: argparse.Namespace) -> int:
    """Check this machine."""
    from prvr.doctor import examine
    from prvr.search.places import index_folder

    checks = examine(args.index or index_folder())
    if args.json:
        emit([check._asdict() for check in checks])
    else:
        for check in checks:
            print(
                f"{'ok ' if check.ok else '!! '} {check.name:<12} {check.found}"
                + (f"  -> {check.fix}" if check.fix else "")
            )
    return DONE if all(check.ok for check in checks) else FAILED


def run_demo(args: argparse.Namespace) -> int:
    """The whole way, once."""
    from prvr.demo import Screen
    from prvr.demo import run_demo as walk

    screen = Screen(say=say, show=print, counting=_count_bar, reading=_reading_bar, training=_training_bar)
    seeds = int(_positive(args.seeds, "--seeds"))
    walk(args.out, screen, size=args.size, seed=args.seed, seeds=seeds, device=args.device)
    return DONE


def _hit(rank: int, hit: Hit) -> dict[str, Any]:
    return {
        "rank": rank,
        "video_id": hit.video_id,
        "path": str(hit.path) if hit.path else None,
        "score": round(hit.score, 6),
        "confidence": hit.confidence,
        "start": hit.start,
        "end": hit.end,
        "moments": hit.moments,
        "duration_s": hit.duration_s,
    }


def _extraction(done: Extraction) -> dict[str, Any]:
    return {"made": done.made, "kept": done.kept, "failed": done.failed, "video_s": done.video_s, "wall_s": done.wall_s}


def _closing(done: Extraction, place: str, paths: Sequence[Path]) -> int:
    """What was done, a line for each file that could not be read; -> the exit code."""
    for problem in done.failed.values():
        say(f"skipped  {problem}")
    if not done.video_ids:
        where = ", ".join(map(str, paths))
        say(f"prvr: no video could be read below {where}; give a folder that holds video files" * (not done.failed))
        return FAILED
    speed = f", {done.video_s / done.wall_s:.0f} x realtime" if done.made and done.wall_s else ""
    skipped = f", {len(done.failed)} skipped" if done.failed else ""
    say(f"{len(done.made)} videos read now{speed}, {len(done.kept)} unchanged{skipped}; {len(done.video_ids)} {place}")
    return PARTIAL if done.failed else DONE


def _encoder(name: str, args: argparse.Namespace) -> Encoder:
    from prvr.encoders.loading import load_encoder

    encoder = load_encoder(name, device=args.device, dtype=args.dtype)
    say(f"Encoder {encoder.spec.fingerprint}, {encoder.spec.width} wide{_limits(encoder.spec)}")
    return encoder


def _limits(spec: EncoderSpec) -> str:
    """What an encoder does not know, said wherever it is used."""
    if spec.domain == "general":
        return ""
    return f"; it knows the {spec.domain}: for other footage name a general one (--encoder FOLDER or hub name)"


def _sampling(args: argparse.Namespace) -> tuple[float, int | None, int | None]:
    """--rate, --max-frames and --workers, judged."""
    whole = [(args.max_frames, "--max-frames"), (args.workers, "--workers")]
    most, workers = (None if value is None else int(_positive(value, name)) for value, name in whole)
    return _positive(args.rate, "--rate"), most, workers


def _positive(value: float, name: str) -> float:
    if not 0 < value < float("inf"):
        raise ConfigError(f"{name} {value:g}: must be greater than 0")
    return value


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """So many of so many, time left, and a word beside it; gone when done, silent where there is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[word]}", markup=False),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None, word="")
        yield lambda done, total, word: bar.update(task, completed=done, total=total, word=word)


@contextlib.contextmanager
def _count_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    with _bar(title) as show:
        yield lambda done, total: show(done, total, "")


@contextlib.contextmanager
def _reading_bar() -> Iterator[Callable[[Progress], None]]:
    with _bar("Reading") as show:
        yield lambda now: show(now.done, now.total, f"{now.realtime:.0f} x realtime  {now.current[-40:]}")


@contextlib.contextmanager
def _training_bar(title: str) -> Iterator[Callable[[TrainProgress], None]]:
    with _bar(f"Training {title}") as show:

        def on_progress(now: TrainProgress) -> None:
            best = f"best {now.best:.1f} at epoch {now.best_epoch}" if now.best is not None else ""
            show(now.epoch, now.epochs, f"step {now.step}/{now.steps or '?'}  {best}")

        yield on_progress
