"""Measure the figures that README.md and docs/ state, and write them where they are marked.

    make figures                        # all that take minutes
    make figures ONLY=index             # one command of figures.toml, or one figure
    make figures ALL=1                  # also those that take hours, much memory, or a folder of yours

A place is marked as `<!-- figure: NAME -->what is stated<!-- /figure -->`. figures.toml names the command of every
figure and how it is read from what the command prints. `COMMAND.date` and `COMMAND.machine` are figures of every
command. To what a command prints two lines are added: `processor 1.20 s` and, of the clock, `took 1.23 s`.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("figures.toml")
MARK = re.compile(r"(<!-- figure: ([\w.-]+) -->)(.*?)(<!-- /figure -->)", re.DOTALL)
MEANT = ("date", "machine")  # figures that every command has


class Figure(NamedTuple):
    """How a figure is read and written."""

    reads: re.Pattern[str]  # its groups are the numbers
    writes: str  # {0} is the first of them; a table is written as it was printed


class Command(NamedTuple):
    """What measures, and all that is read from it."""

    words: tuple[str, ...]
    needs: str  # a folder that has to be there, or ""
    long: bool  # only with --all
    figures: Mapping[str, Figure]


def commands(path: Path = TABLE) -> dict[str, Command]:
    """Name -> command, as figures.toml has them. Raises KeyError and re.error where it is not written right."""
    found = {}
    for name, one in tomllib.loads(path.read_text(encoding="utf-8")).items():
        figures = {key: Figure(re.compile(reads), writes) for key, (reads, writes) in one.get("figures", {}).items()}
        if rows := one.get("rows"):  # the same in a line for each of these: NAME stands for it
            for each in rows["names"]:
                reads = rows["reads"].replace("NAME", re.escape(each))
                figures[f"{name}-{each}"] = Figure(re.compile(reads), rows["writes"])
        words = tuple(shlex.split(one["command"]))
        found[name] = Command(words, one.get("needs", ""), one.get("long", False), figures)
    return found


def pages(root: Path = ROOT) -> list[Path]:
    """Where figures may be stated."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def marked(root: Path = ROOT) -> dict[str, list[Path]]:
    """Name of a figure -> the pages that state it."""
    found: dict[str, list[Path]] = {}
    for page in pages(root):
        for _, name, _, _ in MARK.findall(page.read_text(encoding="utf-8")):
            found.setdefault(name, []).append(page)
    return found


def measured(name: str, command: Command) -> dict[str, str]:
    """Run a command -> its figures as written. Raises SystemExit, with what it printed, where one is not in it."""
    words = [sys.executable, *command.words[1:]] if command.words[0] == "python" else list(command.words)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    began, before = time.perf_counter(), os.times()
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    after = os.times()
    spent_s = sum(after[2:4]) - sum(before[2:4])
    printed = f"{done.stdout}\n{done.stderr}\nprocessor {spent_s:.2f} s\ntook {time.perf_counter() - began:.2f} s"
    if done.returncode:
        raise SystemExit(f"{name}: `{shlex.join(words)}` ended with {done.returncode}:\n{printed[-2000:]}")
    values = {f"{name}.date": date.today().isoformat(), f"{name}.machine": machine()}
    for key, figure in command.figures.items():
        found = figure.reads.search(printed)
        if found is None:
            raise SystemExit(f"{name}: {key} ({figure.reads.pattern!r}) is not in what it printed:\n{printed[-2000:]}")
        values[key] = figure.writes.format(*map(number, found.groups()))
    return values


def number(text: str) -> float | str:
    """A number where it is one, else the text."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return text.strip()


def machine() -> str:
    """The processor and its cores."""
    try:
        told = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        told = None
    return f"{os.cpu_count()} × {told[1].strip() if told else platform.processor() or platform.machine()}"


def rewritten(text: str, values: Mapping[str, str]) -> str:
    """A page with new values at its marks; a value of several lines keeps the empty lines that tables need."""

    def put(found: re.Match[str]) -> str:
        begins, name, old, ends = found.groups()
        new = values.get(name)
        if new is None:
            return found[0]
        return f"{begins}\n\n{new.strip()}\n\n{ends}" if old.startswith("\n") else f"{begins}{new}{ends}"

    return MARK.sub(put, text)


def chosen(known: Mapping[str, Command], only: str, everything: bool) -> Iterator[tuple[str, Command]]:
    """What is to be run; says what is passed over, and why."""
    for name, one in known.items():
        if only and only != name and only not in one.figures:
            continue
        if one.needs and not (ROOT / one.needs).exists():
            print(f"{name}: passed over, {one.needs} is not here (`make demo` makes the folder demo)")
        elif one.long and not (only or everything):
            print(f"{name}: passed over, it takes long (`make figures ONLY={name}`, or ALL=1)")
        else:
            yield name, one


def main() -> None:
    """Measure and write, one command after the other, so that what is measured stays when a later one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NAME", help="one command of figures.toml, or one figure")
    parser.add_argument("--all", action="store_true", help="also what takes long")
    given = parser.parse_args()
    known = commands()
    if given.only and not any(given.only in (name, *one.figures) for name, one in known.items()):
        raise SystemExit(f"no figure and no command {given.only!r} in {TABLE.name}; there are {', '.join(known)}")
    for name, one in chosen(known, given.only, given.all):
        print(f"{name}: {shlex.join(one.words)}", flush=True)
        values = measured(name, one)
        for page in pages():
            before = page.read_text(encoding="utf-8")
            after = rewritten(before, values)
            if after != before:
                page.write_text(after, encoding="utf-8")
        for key in one.figures:
            print(f"  {key}: {values[key]}")


if __name__ == "__main__":
    main()
