"""The Dockerfile, as far as it can be tried where no container can be run."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from prvr.cli import build_parser
from tests.serve.conftest import config_of, serving

FILE = Path(__file__).parents[2] / "Dockerfile"


def words_of(instruction: str) -> list[str]:
    """The last one of an instruction that is a list of words."""
    text = FILE.read_text().replace("\\\n", " ")
    found: list[str] = json.loads(re.findall(rf"{instruction}\s*(\[.*\])", text)[-1])
    return found


def test_a_linter_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("no hadolint here to look at the Dockerfile")
    done = subprocess.run([hadolint, str(FILE)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_it_runs_is_a_command_of_ours() -> None:
    program, *words = words_of(r"\nCMD")
    args = build_parser().parse_args(words)
    assert (program, args.command, args.watch, args.host) == ("prvr", "serve", [Path("/videos")], "0.0.0.0")
    assert f"EXPOSE {args.port}\n" in FILE.read_text()
    ignored = (FILE.parent / ".dockerignore").read_text().splitlines()
    for copied in re.findall(r"^COPY (?!--from)(.*) \S+$", FILE.read_text(), re.MULTILINE):
        for name in shlex.split(copied):
            assert (FILE.parent / name).exists()
            assert f"!{name}" in ignored


def test_its_health_check_tells_a_server_that_answers_from_none(tmp_path: Path) -> None:
    python, *words = words_of(r"HEALTHCHECK.*CMD")
    assert python == "python"
    with serving(config_of(tmp_path / "index")) as live:
        here = [word.replace("127.0.0.1:8765", f"127.0.0.1:{live.port}") for word in words]
        assert here != words
        assert subprocess.run([sys.executable, *here]).returncode == 0
    assert subprocess.run([sys.executable, *here], capture_output=True).returncode == 1
