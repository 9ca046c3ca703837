"""An index whose vectors lie in a server: its options, and copies between the two."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prvr.cli.screen import DONE, FAILED, Parser, count_bar, emit, positive, say
from prvr.core.text import count

if TYPE_CHECKING:
    from prvr.index.collection import CollectionForm

SERVERS = ("qdrant://", "qdrants://")


def engine_options(index: Parser) -> None:
    """Where vectors lie that are too many for one machine."""
    server = index.add_argument_group(
        "vectors in a Qdrant server",
        "URL is qdrant://HOST:6333/COLLECTION, or qdrants:// over TLS, with commas between several nodes; a key comes "
        "from QDRANT_API_KEY. How a collection is kept is said when it is made, and compared from then on.",
    )
    server.add_argument(
        "--engine", metavar="URL", help="keep the vectors on this Qdrant server instead of in the folder"
    )
    server.add_argument("--copy-to", metavar="URL", help="copy the index there and compare the two; reads no video")
    server.add_argument("--copy-from", metavar="URL", help="copy what is there into the folder and compare the two")
    server.add_argument("--shards", type=int, help="parts that the nodes share; cannot be changed later (one per node)")
    server.add_argument("--replicas", type=int, help="copies of every part, on different nodes (1)")
    server.add_argument("--keep", choices=["disk", "memory"], help="where searches read vectors (disk)")
    server.add_argument(
        "--quantise", choices=["none", "int8", "turbo4"], help="smaller vectors in memory for the first pass (none)"
    )
    server.add_argument(
        "--payload-index",
        metavar="FIELDS",
        help="fields to index, of tags,words,modified,duration_s (all); filters on others are slower",
    )


def collection_form(args: argparse.Namespace) -> CollectionForm | None:
    """How a collection is to be kept; None where nothing was said of it."""
    given = (args.shards, args.replicas, args.keep, args.quantise, args.payload_index)
    if all(value is None for value in given):
        return None
    if not (args.engine or args.copy_to):
        args.wrong("--shards, --replicas, --keep, --quantise and --payload-index: add --engine URL or --copy-to URL")
    from prvr.index.collection import CollectionForm

    fields = None if args.payload_index is None else tuple(filter(None, args.payload_index.split(",")))
    return CollectionForm(
        shards=args.shards, replicas=args.replicas, keep=args.keep, quantised=args.quantise, indexed=fields
    )


def engine_of(args: argparse.Namespace) -> dict[str, Any]:
    """What `build_index` has to know of a server."""
    return {"engine": args.engine, "collection": collection_form(args)}


def check_engine(args: argparse.Namespace) -> None:
    """Leave with the code for usage where options of a server do not go together."""
    copies = [name for name in ("--copy-to", "--copy-from") if getattr(args, name[2:].replace("-", "_"))]
    if len(copies) > 1 or (copies and args.engine):
        args.wrong("--engine, --copy-to and --copy-from: one of them at a time")
    if copies and (args.paths or args.replace or args.retry):
        args.wrong(f"{copies[0]} copies an index as it is: leave PATH, --replace and --retry out")
    for url in (args.engine, args.copy_to, args.copy_from):
        if url and not url.startswith(SERVERS):
            args.wrong(f"{url}: is no server; write qdrant://HOST:6333/COLLECTION, or qdrants:// over TLS")


def run_copy(args: argparse.Namespace, folder: Path) -> int:
    """The index of a folder to a server, or back."""
    from prvr.index.copying import copy_from, copy_to
    from prvr.index.segments import VectorForm

    workers = int(positive(4 if args.workers is None else args.workers, "--workers"))
    collection = collection_form(args)
    with count_bar("Copying") as show:
        if args.copy_to:
            done = copy_to(
                folder, args.copy_to, collection=collection, prune=args.prune, workers=workers, on_progress=show
            )
        else:
            form = VectorForm(tokens=args.tokens) if args.tokens else None
            done = copy_from(args.copy_from, folder, form=form, prune=args.prune, workers=workers, on_progress=show)
    if args.json:
        emit({"index": str(folder), **asdict(done)})
    there = done.videos - done.copied
    say(f"{count(done.copied, 'video')} copied" + f", {there} were there" * bool(there))
    if done.differences:
        for line in done.differences:
            say(f"differs  {line}")
        say("Copy again, which copies what is missing; if it still differs, copy into an empty place")
        return FAILED
    say(
        f"Compared: {count(done.videos, 'video')}; vectors differ by at most {done.vectors:.0e}, scores by at most "
        f"{done.scores:.0e}"
    )
    here = f" --index {folder}" if args.index else ""
    if args.copy_to:
        say(f"{folder} answers from its own vectors as before; to answer from the server:")
        say(f"  prvr index PATH{here} --engine {args.copy_to}")
    else:
        say(f"{folder} answers from its own vectors now")
    return DONE
