"""The verb about encoders: models, with get, import, default, speed, export and remove."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from prvr.cli.screen import DONE, Parser, count_bar, emit, say
from prvr.core.places import expanded

if TYPE_CHECKING:
    from prvr.encoders.catalogue import KnownModel


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """models, with verbs of its own."""
    models = verbs.add_parser("models", help="list, download, import and export models, and choose the default")
    models.add_argument("--json", action="store_true", help="print the table as JSON")
    models.set_defaults(run=run_table)
    models.description = (
        "Show the models that can read videos: what they know, their size and licence, and which are installed."
    )
    models.shows("prvr models", "prvr models --json")
    inner = models.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)

    get = inner.add_parser("get", help="download a model from the hub; run it again to continue")
    get.add_argument("name", metavar="NAME", help="a name of the table, or a hub name")
    get.add_argument("--to", type=Path, metavar="DIR", help="put its folder there, to carry to another machine")
    get.set_defaults(run=run_get)
    get.description = "Download a model from the hub. If it is interrupted, the same command continues."
    get.shows("prvr models get siglip2-b16", "prvr models get clip-b32 --to /media/stick")

    bring = inner.add_parser("import", help="copy the folder of a model to this machine's models")
    bring.add_argument("folder", type=Path, metavar="FOLDER", help="as `models get --to` made it, or any checkpoint")
    bring.add_argument("--name", help="its name here (default: the name in it, else the folder's)")
    bring.set_defaults(run=run_import)
    bring.description = "Copy the folder of a model to your models."
    bring.shows("prvr models import /media/stick/clip-b32")

    default = inner.add_parser("default", help="set the default model; without NAME, print it")
    default.add_argument("name", nargs="?", metavar="NAME", help="a model that is installed")
    default.set_defaults(run=run_default)
    default.description = "Set the model that new indexes use, or print it."
    default.shows("prvr models default siglip2-b16", "prvr models default")

    speed = inner.add_parser("speed", help="measure how many images a second the installed models read")
    speed.add_argument("names", nargs="*", metavar="NAME", help="models to measure (default: all installed)")
    speed.set_defaults(run=run_speed)
    speed.description = "Measure how many images a second the installed models read on this machine."
    speed.shows("prvr models speed", "prvr models speed things")

    _add_rest(inner)


def _add_rest(inner: argparse._SubParsersAction[Parser]) -> None:
    export = inner.add_parser("export", help="export a model as an ONNX folder, which is faster on CPUs")
    export.add_argument("model", metavar="MODEL", help="a name of the table, a hub name, or a folder")
    export.add_argument("--to", type=Path, metavar="DIR", help="the folder to make (default: MODEL-onnx, here)")
    export.set_defaults(run=run_export)
    export.description = "Export a model as a folder of ONNX graphs, and compare their vectors with its own."
    export.shows("prvr models export siglip2-b16", "prvr models export ~/checkpoints/mine --to ~/models/mine-onnx")
    _add_remove(inner)


def _add_remove(inner: argparse._SubParsersAction[Parser]) -> None:
    remove = inner.add_parser("remove", help="delete a model from this machine")
    remove.add_argument("name", metavar="NAME", help="a model that is installed")
    remove.set_defaults(run=run_remove)
    remove.description = "Delete one of your models from the disk."
    remove.shows("prvr models remove clip-b32")


def run_table(args: argparse.Namespace) -> int:
    """What is known, what is here."""
    from prvr.encoders import catalogue

    chosen, speeds = catalogue.default(), catalogue.speeds()
    models = (*catalogue.known(), *catalogue.known(catalogue.HEARS))
    if args.json:
        rows = [
            {
                **asdict(model),
                "folder": str(place) if (place := catalogue.on_disk(model.name)) else None,
                "default": model.name == chosen,
                "images_per_second": speeds.get(model.name),
            }
            for model in models
        ]
        emit(rows)
        return DONE
    head = ["", "name", "width", "MB", "languages", "licence", "images/s", "here"]
    cells = [_row(model, chosen, speeds.get(model.name)) for model in models]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    for row, model in zip([head, *cells], [None, *models], strict=True):
        print("  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip())
        if model:
            print(" " * (widths[0] + 4) + model.understands)
    say("* the default for own videos" if chosen else "No default is chosen: `prvr models default NAME`")
    missing = catalogue.RECOMMENDED
    if catalogue.on_disk(missing.name) is None:
        say(f"Recommended: `prvr models get {missing.name}` ({missing.size_bytes / 1e9:.1f} GB)")
    if not speeds:
        say("How fast they are on this machine: `prvr models speed`")
    return DONE


def _row(model: KnownModel, chosen: str | None, speed: float | None) -> list[str]:
    from prvr.encoders import catalogue

    return [
        "*" * (model.name == chosen),
        model.name,
        "speech" if model.kind == catalogue.HEARS else f"{model.width or '?'}",
        f"{model.size_bytes / 1e6:,.0f}",
        model.languages or "?",
        model.licence or "?",
        f"{speed:.0f}" if speed else "",
        "yes" if catalogue.on_disk(model.name) else "",
    ]


def run_get(args: argparse.Namespace) -> int:
    """Fetch a model."""
    from prvr.encoders import catalogue

    model = catalogue.find(args.name)
    if model and model.source and not catalogue.on_disk(model.name):
        say(f"{model.name}: {model.source} from the hub, about {model.size_bytes / 1e6:,.0f} MB, {model.licence}")
    with count_bar("Fetching", unit="MB") as show:
        folder = catalogue.get(args.name, to=args.to, progress=show)
    print(folder)
    name = folder.name if model is None else model.name
    if args.to:
        say(f"Next, on the other machine: prvr models import {folder}")
    elif (found := catalogue.find(name)) and found.kind == catalogue.HEARS:
        say(f"Next: prvr listen --speech {name}")
    elif catalogue.default() is None and name not in (catalogue.WORLD, catalogue.THINGS):
        say(f"Next: prvr models default {name}, then prvr index ~/Videos")
    return DONE


def run_import(args: argparse.Namespace) -> int:
    """Copy the folder of a model."""
    from prvr.encoders import catalogue

    model = catalogue.import_folder(args.folder, args.name)
    after = "listen --speech" if model.kind == catalogue.HEARS else "models default"
    say(f"{model.name} is here, {model.size_bytes / 1e6:,.0f} MB. Next: prvr {after} {model.name}")
    return DONE


def run_default(args: argparse.Namespace) -> int:
    """Say or change the default."""
    from prvr.encoders import catalogue

    if args.name:
        model = catalogue.set_default(args.name)
        say(f"Own videos are read by {model.name} from now on. An index that exists keeps its model")
        say(f"To make one anew with this one: prvr index --replace --encoder {model.name}")
    elif chosen := catalogue.default():
        print(chosen)
    else:
        say("No default is chosen: `prvr models` names what there is, `prvr models default NAME` chooses")
    return DONE


def run_speed(args: argparse.Namespace) -> int:
    """Measure models."""
    from prvr.encoders import catalogue
    from prvr.encoders.loading import load_encoder
    from prvr.encoders.speed import images_per_second

    names = args.names or [model.name for model in catalogue.known() if catalogue.on_disk(model.name)]
    for name in names:
        speed = images_per_second(load_encoder(name))
        catalogue.note_speed(name, speed)
        print(f"{name}  {speed:.0f} images/s")
    return DONE


def run_export(args: argparse.Namespace) -> int:
    """Make an ONNX folder."""
    from prvr.core.errors import EncoderError
    from prvr.encoders.huggingface import HuggingFaceEncoder
    from prvr.encoders.loading import load_encoder
    from prvr.encoders.onnx import export_folder

    encoder = load_encoder(args.model, device="cpu")
    if not isinstance(encoder, HuggingFaceEncoder):
        raise EncoderError(f"{args.model}: is no checkpoint of transformers, so there is nothing to export")
    folder = args.to or Path(f"{expanded(args.model).resolve().name}-onnx")
    off = export_folder(encoder, folder)
    print(folder)
    say(f"Its vectors are those of {encoder.spec.name} to {off:.0e} of their length. Next: prvr models import {folder}")
    return DONE


def run_remove(args: argparse.Namespace) -> int:
    """Delete a model."""
    from prvr.encoders import catalogue

    catalogue.remove(args.name)
    say(f"{args.name} is deleted. Indexes made with it need it again to be searched")
    return DONE
