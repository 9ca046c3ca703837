"""A server that begins with its user's session: the unit that systemd reads, where it lies, and who tells systemd."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from prvr.core.errors import ConfigError
from prvr.core.files import write_whole

NAME = "prvr.service"
PATIENCE_S = 60.0
UNIT = """\
# Written by `prvr service install`; `prvr service remove` takes it away.
[Unit]
Description=prvr: search in your own videos
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
ExecStart={command}
Restart=on-failure
RestartSec=5
Nice=5
NoNewPrivileges=yes
UMask=0077
{variables}
[Install]
WantedBy=default.target
"""
KEPT = ("PRVR_DATA", "XDG_DATA_HOME", "XDG_STATE_HOME", "HF_HOME")  # by which a server finds what this command finds


def unit_file() -> Path:
    """Where a user's own units lie."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user" / NAME


def unit(command: Sequence[str]) -> str:
    """The unit that runs a command, with the variables by which this one found the user's things."""
    found = {name: os.environ[name] for name in KEPT if os.environ.get(name)}
    variables = "".join(f"Environment={quoted(f'{name}={value}')}\n" for name, value in found.items())
    return UNIT.format(command=" ".join(map(quoted, command)), variables=variables)


def quoted(word: str) -> str:
    """A word as systemd reads it back. Raises ConfigError for a line end, which no unit can hold."""
    if "\n" in word or "\r" in word:
        raise ConfigError(f"{word!r}: a line end cannot stand in a unit of systemd; rename the folder")
    for letter in ("\\", '"'):
        word = word.replace(letter, f"\\{letter}")
    return '"{}"'.format(word.replace("%", "%%").replace("$", "$$"))


def install(text: str) -> Path:
    """Put the unit in place and start it, now and with every session; -> the file.

    Raises ConfigError where there is no systemd, or where it cannot be told: the file then is there, and the line says
    what is left to do.
    """
    if not shutil.which("systemctl"):
        raise ConfigError(
            f"no systemd on this machine ({sys.platform}): let what starts programs here run the command that "
            "`prvr service show` prints"
        )
    file = unit_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, text.encode())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({error.strerror}); check the folder") from error
    for words in (("daemon-reload",), ("enable", NAME), ("restart", NAME)):
        if why := _refused(words):
            raise ConfigError(f"{file}: is written, but not started: {why}")
    return file


def remove() -> bool:
    """Stop the server and take the unit away; -> whether there was one.

    Raises ConfigError where it cannot be taken away, or may still run.
    """
    file = unit_file()
    if not file.exists():
        return False
    why = _refused(("disable", "--now", NAME)) if shutil.which("systemctl") else ""
    try:
        file.unlink()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be taken away ({error.strerror}); check the folder") from error
    if why:
        raise ConfigError(f"{file}: is taken away, but the server may still run: {why}")
    return True


def _refused(words: Sequence[str]) -> str:
    """Ask the user's systemd for something -> why it was not done, and what is left to do; empty where it was done."""
    command = ("systemctl", "--user", *words)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        if done.returncode == 0:
            return ""
        why = done.stderr.strip().partition("\n")[0] or f"it ended with code {done.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        why = str(error)
    return f"systemd said: {why}; in a session of yours, run: {' '.join(command)}"
