"""Verbs of research: train, evaluate."""

from __future__ import annotations

import argparse
from pathlib import Path

from prvr.cli.screen import DONE, Parser, device_option, emit, say, training_bar


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """train, evaluate."""
    train = verbs.add_parser("train", help="train a recipe on annotated features")
    train.add_argument("recipe", help="package.module:function, such as prvr.recipes.msc:world")
    train.add_argument("--data", type=Path, required=True, help="folder with annotations/ and features/")
    train.add_argument("--features", type=Path, help="feature store, where it is not DATA/features")
    train.add_argument("--out", type=Path, help="run folder (default: runs/RECIPE)")
    train.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings", help="a setting")
    train.add_argument("--seed", type=int, help="short for --set train.seed=SEED")
    train.add_argument("--json", action="store_true", help="print the result as JSON")
    device_option(train)
    train.set_defaults(run=run_train)

    evaluate = verbs.add_parser("evaluate", help="measure a run, or `zero-shot`, on a split")
    evaluate.add_argument("what", metavar="RUN", help="a run folder, or zero-shot for the bare encoder")
    evaluate.add_argument("--data", type=Path, required=True, help="folder with annotations/ and features/")
    evaluate.add_argument("--features", type=Path, help="feature store, where it is not DATA/features")
    evaluate.add_argument("--split", default="test", help="train, val or test (default: %(default)s)")
    evaluate.add_argument("--json", action="store_true", help="print the report as JSON")
    device_option(evaluate)
    evaluate.set_defaults(run=run_evaluate)


def run_train(args: argparse.Namespace) -> int:
    """Train a recipe."""
    from prvr.data.folder import DataFolder
    from prvr.recipes.recipe import load_recipe
    from prvr.recipes.runs import train_run

    seed = [] if args.seed is None else [f"train.seed={args.seed}"]
    recipe = load_recipe(args.recipe).with_settings([*args.settings, *seed])
    out = args.out or Path("runs") / args.recipe.rpartition(".")[2].replace(":", "-")
    with training_bar(recipe.title) as on_progress:
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
