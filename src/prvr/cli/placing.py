"""Where many runs are made: here one after the other, in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from prvr.cli.screen import Parser, positive
from prvr.core.errors import ConfigError

if TYPE_CHECKING:
    from prvr.runs.many import Place


def place_options(parser: Parser) -> None:
    """--workers, --on and what a worker is given, of every verb that makes several runs."""
    placing = parser.add_argument_group("where runs are made")
    placing.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="this many runs at once, each in its own process (default: one after the other; with --on: as "
        "many as there is room for)",
    )
    placing.add_argument(
        "--on",
        metavar="CLUSTER",
        help="ray, a Ray cluster of this machine's own, or ray://HOST:PORT, one that shares the folders of data and "
        "runs; needs prvr[ray]",
    )
    placing.add_argument("--cpus-per-worker", type=int, metavar="N", help="with --on: processors per run (default: 1)")
    placing.add_argument("--gpus-per-worker", type=float, metavar="N", help="with --on: GPUs per run (default: 0)")


@contextmanager
def place_of(args: argparse.Namespace) -> Iterator[Place]:
    """Where the user wants runs to be made. Raises ConfigError for options that make no sense."""
    workers = None if args.workers is None else int(positive(args.workers, "--workers"))
    if args.on is not None:
        with _on_cluster(args, workers) as place:
            yield place
        return
    for name in ("cpus_per_worker", "gpus_per_worker"):
        if getattr(args, name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')}: is for a cluster; add --on ray, or leave it out")
    if workers is None:
        from prvr.runs.many import here

        yield here
        return
    from prvr.runs.apart import in_processes

    yield partial(in_processes, workers=workers)


@contextmanager
def _on_cluster(args: argparse.Namespace, workers: int | None) -> Iterator[Place]:
    from prvr.cluster.nodes import check_nodes
    from prvr.cluster.opening import open_cluster
    from prvr.runs.on_ray import on_ray

    cpus = 1 if args.cpus_per_worker is None else int(positive(args.cpus_per_worker, "--cpus-per-worker"))
    gpus = 0.0 if args.gpus_per_worker is None else positive(args.gpus_per_worker, "--gpus-per-worker")
    with open_cluster(args.on, cpus=workers and workers * cpus) as ray:
        check_nodes(ray, needs={"CPU": cpus, "GPU": gpus})
        yield partial(on_ray, ray=ray, cpus=cpus, gpus=gpus, at_once=workers)
