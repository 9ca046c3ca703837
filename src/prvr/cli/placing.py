"""Where many runs are made: here one after the other, or in processes of this machine."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prvr.cli.screen import Parser, positive

if TYPE_CHECKING:
    from prvr.runs.many import Place


def place_options(parser: Parser) -> None:
    """--workers, of every verb that makes several runs."""
    placing = parser.add_argument_group("where runs are made")
    placing.add_argument(
        "--workers", type=int, metavar="N", help="so many runs at once, each in a process of its own (default: 1, here)"
    )


@contextmanager
def place_of(args: argparse.Namespace) -> Iterator[Place]:
    """Where the user wants runs to be made. Raises ConfigError for options that make no sense."""
    from functools import partial

    from prvr.runs.many import here

    if args.workers is None:
        yield here
        return
    from prvr.runs.apart import in_processes

    yield partial(in_processes, workers=int(positive(args.workers, "--workers")))
