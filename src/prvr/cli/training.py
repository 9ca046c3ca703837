"""The verb train, and the options that verbs of research share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prvr.cli.placing import place_of, place_options
from prvr.cli.screen import DONE, FAILED, Parser, device_option, emit, say, training_bar
from prvr.core.errors import ConfigError

if TYPE_CHECKING:
    from prvr.data.folder import DataFolder
    from prvr.methods.recipe import Recipe


def add_train(verbs: argparse._SubParsersAction[Parser]) -> None:
    """The verb train."""
    train = verbs.add_parser("train", help="train a recipe on annotated features")
    train.add_argument("recipe", help="package.module:function, such as prvr.methods.msc.runs:world")
    data_options(train)
    train.add_argument("--out", type=Path, help="run folder (default: runs/RECIPE)")
    how = train.add_argument_group("how it is trained")
    settings_option(how)
    how.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="NAME=A,B,…",
        help="one run for each of these values of a setting, below --out, and a table; given several times, one for "
        "each combination",
    )
    how.add_argument("--seed", type=int, help="short for --set train.seed=SEED")
    train.add_argument(
        "--dry-run",
        action="store_true",
        help="measure one step and print what the run would read, write and cost; write nothing",
    )
    teacher_option(how)
    protocol_option(how)
    _kept_options(train)
    place_options(train)
    train.add_argument("--json", action="store_true", help="print the result as JSON")
    device_option(train)
    train.set_defaults(run=run_train)
    train.description = (
        "Train a recipe on annotated features, and keep the epoch that is best on the validation split. "
        "After an interruption, the same command continues."
    )
    train.shows(
        "prvr train prvr.methods.msc.runs:world --data demo",
        "prvr train prvr.methods.msc.runs:qvhighlights --data DIR --set train.epochs=50 --seed 1",
        "prvr train my_lab.agree:world --data demo   # a recipe of your own",
        "prvr train prvr.methods.msc.runs:world --data demo --grid optim.lr=1e-4,3e-4 --workers 2",
        "prvr train prvr.methods.msc.runs:tvr --data DIR --dry-run   # shapes, weights, memory, time, files",
    )


def _kept_options(train: Parser) -> None:
    kept = train.add_argument_group("what is recorded")
    kept.add_argument(
        "--log",
        action="append",
        default=[],
        metavar="NAME",
        help="log to tensorboard, wandb or mlflow too, in the run's folder, offline; may be given several times",
    )
    kept.add_argument("--name", help="how tables call the run (default: the recipe's title); may be changed later")
    kept.add_argument("--notes", help="what you want to remember about it, kept in about.json of its folder")


def data_options(parser: Parser) -> None:
    """--data and --features."""
    parser.add_argument("--data", type=Path, required=True, help="folder with annotations and features")
    parser.add_argument("--features", type=Path, help="feature store or pack, if not in DATA")


def settings_option(parser: Parser | argparse._ArgumentGroup) -> None:
    """--set, of every verb that trains or imports."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="a setting of the recipe, such as train.epochs=50; `prvr recipes msc tvr --show` lists all",
    )


def teacher_option(parser: Parser | argparse._ArgumentGroup) -> None:
    """--teacher, of every verb that trains."""
    parser.add_argument(
        "--teacher",
        type=Path,
        help="features of another encoder as a teacher: a store, a pack (or its video file), or sentences alone",
    )


def protocol_option(parser: Parser | argparse._ArgumentGroup) -> None:
    """--protocol, of every verb that chooses an epoch."""
    parser.add_argument(
        "--protocol",
        choices=["published", "clean"],
        default="published",
        help="choose the epoch on the split `val` (published), or on a part of train that is held out (clean)",
    )


def run_train(args: argparse.Namespace) -> int:
    """Train a recipe."""
    from prvr.data.folder import DataFolder
    from prvr.methods.recipe import load_recipe
    from prvr.runs.train import note, train_run
    from prvr.training.distributed import is_first
    from prvr.training.trackers import check_trackers

    _check_grid(args)
    trackers = check_trackers(args.log)
    seed = [] if args.seed is None else [f"train.seed={args.seed}"]
    recipe = load_recipe(args.recipe).with_settings([*args.settings, *seed])
    out = args.out or _folder_of(args.recipe)
    data = DataFolder(args.data, args.features, args.teacher)
    if args.dry_run:
        return _dry_run(args, recipe, data, out)
    if args.grid:
        return _sweep(args, recipe, data, out, trackers)
    speaks = is_first()  # one of the processes that torchrun starts
    if speaks:
        say_simulated(data)
        _say_rounded(recipe.settings)
        _say_schedule(recipe.settings, args.settings)
        note(out, name=args.name, notes=args.notes)
    with training_bar(recipe.title) if speaks else nullcontext() as on_progress:
        result = train_run(
            recipe,
            data,
            out,
            clean=args.protocol == "clean",
            device=args.device,
            trackers=trackers,
            on_progress=on_progress,
        )
    if not speaks:
        return DONE
    if args.json:
        emit({"run": str(out), "best": result.best, "best_epoch": result.best_epoch, "epochs": result.epochs})
    else:
        print(f"{out}  best SumR {result.best:.1f} at epoch {result.best_epoch} of {result.epochs} (validation)")
    say(f"Next: prvr evaluate {out} --data {args.data}")
    return DONE


def _check_grid(args: argparse.Namespace) -> None:
    """Raises ConfigError for options of one run beside --grid, and of many without it."""
    if args.grid:
        wrong = ["--dry-run"] if args.dry_run else ["--notes"] if args.notes else []
        if os.environ.get("WORLD_SIZE", "1") != "1":
            raise ConfigError("--grid: is not for torchrun, whose processes share one run; use --workers or --on")
    else:
        wrong = [f"--{name}" for name in ("workers", "on") if getattr(args, name) is not None]
    if wrong:
        raise ConfigError(f"{wrong[0]}: is for {'one run; leave --grid out' if args.grid else 'many runs; add --grid'}")


def _sweep(args: argparse.Namespace, recipe: Recipe, data: DataFolder, out: Path, trackers: Sequence[str]) -> int:
    from prvr.reproduce.sheet import markdown, write
    from prvr.reproduce.sweep import SweepPlan, sweep

    say_simulated(data)
    plan = SweepPlan(
        recipe=recipe,
        data=data,
        out=out,
        grid=tuple(args.grid),
        clean=args.protocol == "clean",
        device=args.device,
        trackers=tuple(trackers),
        title=args.name or recipe.title,
        training=training_bar,
    )
    with place_of(args) as place:
        found = sweep(plan, place, say=say)
    paths = write(found.sheet, out)
    if args.json:
        emit(found.sheet.to_dict())
    else:
        print(markdown(found.sheet))
    say(f"Written to {', '.join(map(str, paths))}")
    if found.best:
        say(f"Next: prvr evaluate {found.best} --data {args.data}")
    return FAILED if found.failed else DONE


def _dry_run(args: argparse.Namespace, recipe: Recipe, data: DataFolder, out: Path) -> int:
    from prvr.runs.dry import dry_run

    found = dry_run(recipe, data, out, clean=args.protocol == "clean", device=args.device)
    if args.json:
        emit(found.to_dict())
    else:
        print("\n".join(found.lines()))
    say_simulated(data)
    _say_rounded(recipe.settings)
    _say_schedule(recipe.settings, args.settings)
    return DONE


def _say_schedule(settings: Any, changed: Sequence[str]) -> None:
    """A schedule that the recipe set does not follow the epochs that the user set."""
    names = {text.partition("=")[0].strip() for text in changed}
    if "train.epochs" in names and "optim.schedule_epochs" not in names and settings.optim.schedule_epochs:
        say(
            f"The rate falls over {settings.optim.schedule_epochs} epochs, as the recipe has it: "
            "--set optim.schedule_epochs=none lets it follow train.epochs"
        )


def _say_rounded(settings: Any) -> None:
    """Random bytes know multiples of 1/256: a rate that is none of them is applied as the nearest."""
    from prvr.kernels.dropout import applied_rate

    if getattr(getattr(settings, "train", None), "dropout", "torch") == "torch":
        return
    rates = {name: rate for name, rate in vars(settings.model).items() if "dropout" in name and isinstance(rate, float)}
    rounded = [
        f"{name} {rate:g} as {applied_rate(rate):.4g}" for name, rate in rates.items() if applied_rate(rate) != rate
    ]
    if rounded:
        say(f"Dropout is applied in steps of 1/256: {', '.join(rounded)} (--set train.dropout=torch: exactly, slower)")


def say_simulated(data: DataFolder) -> None:
    """A line where features were made from annotations."""
    if data.spec.simulated:
        say(f"{data.root}: SIMULATED features; numbers compare methods with each other and say nothing of real videos")


def _folder_of(target: str) -> Path:
    """`prvr.methods.msc.runs:world` -> runs/msc-world."""
    module, _, function = target.partition(":")
    return Path("runs") / f"{module.removesuffix('.runs').rpartition('.')[2]}-{function}"
