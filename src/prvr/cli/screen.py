"""What a terminal shows, and what people type in it: lines, bars, options that several verbs share."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from prvr.core.errors import ConfigError
from prvr.core.text import json_text, nearest, one_line, printable

if TYPE_CHECKING:
    from prvr.features.extract import Progress
    from prvr.search.transcribing import WordsProgress
    from prvr.training.loop import TrainProgress

DONE, FAILED, USAGE, PARTIAL, NONE, INTERRUPTED = 0, 1, 2, 3, 4, 130


def say(text: str) -> None:
    """A line for people."""
    print(printable(text), file=sys.stderr, flush=True)


def tell(text: str) -> None:
    """A result for people."""
    print(printable(text))


def called() -> str:
    """What the user types to call this program: its name where the shell finds it, else where it lies."""
    if shutil.which("prvr"):
        return "prvr"
    program = Path(sys.argv[0])
    return os.path.relpath(program) if program.name == "prvr" else f"{Path(sys.executable).name} -m prvr"


def emit(value: Any) -> None:
    """A result for machines."""
    print(json_text(value))


class ExamplesAsTheyAre(argparse.HelpFormatter):
    """Fills paragraphs, but leaves the lines of examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("examples:") else super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """One line for a wrong command line, with the nearest name that exists; help that ends with examples."""

    def shows(self, *examples: str) -> None:
        """End the help with commands to copy."""
        self.formatter_class = ExamplesAsTheyAre
        self.epilog = "\n".join(["examples:", *(f"  {line}" for line in examples)])

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and what to do, and leave with the code for usage."""
        words = message.split("'")
        if "invalid choice" in message and len(words) > 2:
            names = words[3::2] or message.split("choose from ")[-1].rstrip(")").split(", ")
            near = nearest(words[1], names)
            message = f"no {words[1]!r}" + (f"; did you mean {near!r}?" if near else "")
        say(f"{self.prog}: {message} (`{self.prog} --help` shows what there is)")
        raise SystemExit(USAGE)


def device_option(parser: Parser | argparse._ArgumentGroup) -> None:
    """--device, of every verb that computes."""
    parser.add_argument(
        "--device", default="auto", help="where to compute: auto, cpu, cuda or mps (default: %(default)s)"
    )


def trust_option(parser: Parser | argparse._ArgumentGroup) -> None:
    """--trust, of every verb that opens a model."""
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="a package of your own that models may be of; opening one runs the package's code",
    )


def opening_options(parser: Parser) -> None:
    """The options of every verb that opens an index with its model."""
    machine = parser.add_argument_group("model and machine")
    machine.add_argument("--encoder", help="where the encoder of the index is now, if it was moved")
    device_option(machine)
    trust_option(machine)


def positive(value: float, name: str) -> float:
    """The value of an option. Raises ConfigError unless it is greater than 0."""
    if not 0 < value < float("inf"):
        raise ConfigError(f"{name} {value:g}: must be greater than 0")
    return value


def agreed(question: str, *, yes: bool, otherwise: str) -> bool:
    """Whether the user says yes to a question, there where somebody can be asked.

    `yes`: it was said on the command line. Raises ConfigError, saying what to add, where nobody sits.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError(f"{otherwise}: nobody can be asked here; add --yes")
    say(f"{question} [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def yes_option(parser: Parser | argparse._ArgumentGroup) -> None:
    """--yes, of every verb that asks."""
    parser.add_argument("--yes", action="store_true", help="do not ask")


def index_option(parser: Parser) -> None:
    """--index, of every verb that looks at a library."""
    parser.add_argument("--index", type=Path, help="the index folder (default: the one for this user)")


class Piped:
    """Progress where there is no terminal: a line now and then, so that a log says that something happens."""

    def __init__(self, title: str, *, every_s: float = 30.0, now: Callable[[], float] = time.monotonic) -> None:
        self._title, self._every_s, self._now = title, every_s, now
        self._due = now() + every_s

    def __call__(self, done: int, total: int, word: str) -> None:
        """Say it, if the last line is old."""
        now = self._now()
        if now >= self._due:
            self._due = now + self._every_s
            say(f"{self._title}: {done:,} of {total:,}  {word}".rstrip())


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """So many of so many, time left, and a word beside it; gone when done, a line now and then without a terminal."""
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
    if not console.is_terminal:
        yield Piped(title)
        return
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None, word="")
        yield lambda done, total, word: bar.update(task, completed=done, total=total, word=word)


@contextlib.contextmanager
def count_bar(title: str, *, unit: str = "") -> Iterator[Callable[[int, int], None]]:
    """So many of so many; with the unit MB, of bytes."""
    size = 1_000_000 if unit == "MB" else 1
    with _bar(title) as show:
        yield lambda done, total: show(done // size, total // size, unit)


@contextlib.contextmanager
def reading_bar() -> Iterator[Callable[[Progress], None]]:
    """Videos being read."""
    with _bar("Reading") as show:
        yield lambda now: show(now.done, now.total, f"{now.realtime:.0f} x realtime  {one_line(now.current)[-40:]}")


@contextlib.contextmanager
def words_bar(title: str) -> Iterator[Callable[[WordsProgress], None]]:
    """Minutes of sound being heard, or of pictures being read."""
    with _bar(title) as show:

        def on_progress(now: WordsProgress) -> None:
            word = f"minutes  {now.realtime:.1f} x realtime  {now.current[-40:]}"
            show(round(now.done_s / 60), max(1, round(now.total_s / 60)), word)

        yield on_progress


@contextlib.contextmanager
def training_bar(title: str) -> Iterator[Callable[[TrainProgress], None]]:
    """Epochs and the best so far."""
    with _bar(f"Training {title}") as show:

        def on_progress(now: TrainProgress) -> None:
            best = f"best {now.best:.1f} at epoch {now.best_epoch}" if now.best is not None else ""
            show(now.epoch, now.epochs, f"step {now.step}/{now.steps or '?'}  {best}")

        yield on_progress
