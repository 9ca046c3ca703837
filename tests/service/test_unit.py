"""The unit of systemd: systemd's own check, and a stand-in that notes what it was told."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from prvr.cli import main
from prvr.core.errors import ConfigError
from prvr.service.unit import NAME, install, quoted, remove, unit, unit_file

ODD = 'a "b" %h $HOME \\ ü\'s'  # a name that systemd would read otherwise


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


@pytest.fixture
def systemctl(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that notes its words, and fails when its file `fails` is there; -> its folder."""
    folder = home / "bin"
    folder.mkdir()
    program = folder / "systemctl"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/told\ntest ! -e {folder}/fails || {{ echo no bus >&2; exit 1; }}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder


def test_systemd_takes_the_unit(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here to check the unit")
    (home / ODD).mkdir()
    monkeypatch.setenv("PRVR_DATA", str(home / ODD / "data"))
    assert main(["service", "show", "--watch", str(home / ODD), "--index", str(home / "index")]) == 0
    (home / NAME).write_text(capsys.readouterr().out)
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(home / NAME)],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(home)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    (home / NAME).write_text((home / NAME).read_text().replace("ExecStart=", "ExecStart=relative/"))
    wrong = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(home / NAME)],
        capture_output=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(home)},
    )
    assert wrong.returncode  # the check can fail


def test_words_reach_the_command_as_they_are() -> None:
    line = quoted(ODD)
    assert line == '"a \\"b\\" %%h $$HOME \\\\ ü\'s"'
    assert shlex.split(line.replace("%%", "%").replace("$$", "$")) == [ODD]
    with pytest.raises(ConfigError, match="a line end cannot stand in a unit"):
        quoted("a\nExecStart=b")


def test_it_is_installed_started_and_taken_away(systemctl: Path) -> None:
    file = install(unit(["prvr", "serve"]))
    assert file == unit_file()
    assert 'ExecStart="prvr" "serve"' in file.read_text()
    assert (systemctl / "told").read_text().splitlines() == [
        "--user daemon-reload",
        f"--user enable {NAME}",
        f"--user restart {NAME}",
    ]
    assert remove()
    assert not file.exists()
    assert (systemctl / "told").read_text().splitlines()[-1] == f"--user disable --now {NAME}"
    assert not remove()


def test_a_systemd_that_does_not_answer_says_what_is_left_to_do(
    systemctl: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (systemctl / "fails").touch()
    assert main(["service", "install"]) == 1
    said = capsys.readouterr().err
    assert "is written, but not started: systemd said: no bus; in a session of yours, run: systemctl --user" in said
    assert unit_file().exists()
    assert main(["service", "remove"]) == 1
    assert "is taken away, but the server may still run" in capsys.readouterr().err
    assert not unit_file().exists()


def test_no_systemd(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(home))
    with pytest.raises(ConfigError, match="no systemd on this machine .* the command that `prvr service show` prints"):
        install(unit(["prvr"]))
    assert not unit_file().exists()
