"""Every command explains itself: a sentence, what each argument is, groups where there are many, commands to copy."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator

import pytest

from prvr.cli import build_parser

MOST = 9  # arguments that a reader looks through without headings


def verbs(parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """Every command below a parser with its one line, and those below it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            lines = {one.dest: one.help or "" for one in action._choices_actions}
            for name, verb in action.choices.items():
                yield verb, lines[name]
                yield from verbs(verb)


PARSER = build_parser()
EVERY = list(verbs(PARSER))


@pytest.mark.parametrize("verb, line", EVERY, ids=[verb.prog for verb, _ in EVERY])
def test_a_command_explains_itself(verb: argparse.ArgumentParser, line: str) -> None:
    assert 10 < len(line) < 80
    assert verb.description
    assert verb.description[0].isupper()
    assert verb.description.endswith(".")
    for group in verb._action_groups:
        ours = [one for one in group._group_actions if not isinstance(one, argparse._HelpAction)]
        assert len(ours) <= MOST, f"{group.title}: has {len(ours)} arguments; give them groups with headings"
        for one in ours:
            assert one.help or isinstance(one, argparse._SubParsersAction), one.dest


@pytest.mark.parametrize("verb", [verb for verb, _ in EVERY], ids=[verb.prog for verb, _ in EVERY])
def test_its_examples_are_commands_of_its_own(verb: argparse.ArgumentParser) -> None:
    head, *examples = (verb.epilog or "").splitlines()
    assert head == "examples:"
    assert examples
    for example in examples:
        assert example.strip().startswith(verb.prog), example
        PARSER.parse_args(shlex.split(example, comments=True)[1:])
