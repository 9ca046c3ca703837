"""The examples in the documentation do what they say."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from prvr.cli import build_parser, main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def test_every_command_in_the_docs_can_be_parsed() -> None:
    lines = [line for page in PAGES for block in blocks(page, "console") for line in block.splitlines()]
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ prvr")]
    assert len(commands) > 5
    for command in commands:
        words = shlex.split(command, comments=True)[1:]
        assert build_parser().parse_args(words).command in {*words[:1]}, command


def test_every_link_in_the_docs_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert "://" not in target, f"{page}: {target} leaves the project"
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_the_worked_example_trains(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new loss of docs/extending.md, as a module of somebody else's, through the command line."""
    (tmp_path / "my_lab.py").write_text(blocks(ROOT / "docs" / "extending.md", "python")[0])
    monkeypatch.syspath_prepend(tmp_path)
    words = ["train", "my_lab:agreeing", "--data", str(mine), "--out", str(tmp_path / "run")]
    small = ["--set", "model.hidden=16", "--set", "batch_videos=8", "--set", "train.epochs=1"]
    assert main([*words, *small]) == 0
    assert '"agree"' in (tmp_path / "run" / "metrics.jsonl").read_text()
    sys.modules.pop("my_lab")


@pytest.mark.parametrize("page", ["README.md", "docs/user-guide.md"])
def test_the_five_lines_of_python_do_what_they_say(
    page: str, mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As printed, but for the places: the tiny world is the library, and the bundled encoder reads it."""
    (code,) = blocks(ROOT / page, "python")
    for printed, here in (
        ("~/Videos", str(mine / "videos")),
        ("openai/clip-vit-base-patch32", "world"),
        ("a dog jumps into the pool", "a red ball bounces"),
        ("dog.mp4", str(tmp_path / "dog.mp4")),
    ):
        assert printed in code
        code = code.replace(printed, here)
    exec(compile(code, page, "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert (tmp_path / "dog.mp4").stat().st_size > 0


def test_the_shell_lines_of_the_readme_do_what_they_say(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRVR_DATA", str(tmp_path))
    commands = next(block for block in blocks(ROOT / "README.md", "console") if "prvr index" in block)
    lines = [line.removeprefix("$ prvr ") for line in commands.splitlines()]
    assert len(lines) == 5
    for line in lines:
        words = shlex.split(line.replace("~/Videos", str(mine / "videos")), comments=True)
        assert main([word.replace("openai/clip-vit-base-patch32", "world") for word in words]) == 0, line


def test_a_world_of_features_is_made_as_the_docs_say(tmp_path: Path) -> None:
    (code,) = blocks(ROOT / "docs" / "methods.md", "python")
    assert 'Path("large")' in code
    assert 'size="large"' in code
    here = code.replace('Path("large")', f"Path({str(tmp_path)!r})").replace('size="large"', 'size="tiny"')
    found: dict[str, Any] = {}
    exec(compile(here, "methods.md", "exec"), found)
    assert len(found["store"].entries()) == 12
    assert main(["evaluate", "zero-shot", "--data", str(tmp_path)]) == 0
