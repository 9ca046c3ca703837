"""The page of the command line, made from the parser itself when the site is built, so that it cannot fall behind."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import Any

from prvr.cli import build_parser

MARK = "<!-- made at build time: cli -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """mkdocs asks this for every page."""
    return markdown.replace(MARK, page()) if MARK in markdown else markdown


def page() -> str:
    """A table of the commands, then a part for each: what it does, its arguments by group, examples."""
    verbs = list(verbs_of(build_parser()))
    rows = [f"| [`{name}`](#{anchor(verb)}) | {cell(told)} |" for name, verb, told in verbs]
    parts = [text for _, verb, _ in verbs for text in described(verb, level=2)]
    return "\n".join(["| command | |", "| --- | --- |", *rows, "", *parts])


def verbs_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """Name, parser and one line of every command below a parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            told = {one.dest: one.help or "" for one in action._choices_actions}
            for name, verb in action.choices.items():
                yield name, verb, told[name]


def described(parser: argparse.ArgumentParser, *, level: int) -> Iterator[str]:
    """The lines of one command, and of those below it."""
    yield from (f"{'#' * level} {parser.prog} {{#{anchor(parser)}}}", "", text(parser.description or ""), "")
    yield from ("```text", usage(parser), "```", "")
    for group in parser._action_groups:
        rows = [row(one) for one in group._group_actions if is_shown(one)]
        if rows:
            heading = {"positional arguments": "arguments"}.get(group.title or "", group.title or "")
            if group.description:
                yield from (text(group.description), "")
            yield from (f"| {cell(heading)} | |", "| --- | --- |", *rows, "")
    if parser.epilog:
        lines = [line.strip() for line in parser.epilog.splitlines()[1:]]
        yield from ("**Examples**", "", "```console", *(f"$ {line}" for line in lines), "```", "")
    for _, verb, _ in verbs_of(parser):
        yield from described(verb, level=level + 1)


def is_shown(action: argparse.Action) -> bool:
    """Whether an argument is worth a line: not --help, and not what has a part of its own."""
    return not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)


def row(action: argparse.Action) -> str:
    """A line of a table: how an argument is written, and its help."""
    name = action.dest.upper() if action.option_strings else action.dest
    takes = action.metavar or (f"{{{','.join(map(str, action.choices))}}}" if action.choices else name)
    value = f" {takes}" if action.option_strings and action.nargs != 0 else ""
    told = (action.help or "") % {**vars(action), "prog": "prvr"}
    return f"| `{', '.join(action.option_strings) or takes}{value}` | {cell(told)} |"


def usage(parser: argparse.ArgumentParser) -> str:
    """The usage as --help prints it, in lines that the site shows whole."""
    made = parser._get_formatter()
    made._width = 76
    made.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    return made.format_help().strip()


def anchor(parser: argparse.ArgumentParser) -> str:
    """`prvr models get` -> `prvr-models-get`."""
    return re.sub(r"\W+", "-", parser.prog)


def text(told: str) -> str:
    """Help as Markdown: angle brackets and stars stay what they are."""
    pieces = re.split(r"(`[^`]*`)", told)
    return "".join(one if one.startswith("`") else re.sub(r"([*_<>\[\]])", r"\\\1", one) for one in pieces)


def cell(told: str) -> str:
    """The same in a table."""
    return text(told).replace("|", "\\|")
