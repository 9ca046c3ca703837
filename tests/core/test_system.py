"""What is of one system alone is asked for in one file, and prvr starts where nothing of POSIX is there."""

from __future__ import annotations

import re
from pathlib import Path, PureWindowsPath

import prvr
from prvr.core.system import TOO_SLOW, locked
from prvr.core.text import path_of, text_of
from tests.fresh import Fresh

SRC = Path(prvr.__file__).parent
MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix", "msvcrt", "winreg"}
NAMES = {"getuid", "geteuid", "getgid", "nice", "fork", "killpg", "memfd_create", "mkfifo", "O_NOFOLLOW", "O_DIRECTORY",
         "getloadavg", "sched_getaffinity", "sysconf", "statvfs", "SIGKILL", "SIGHUP", "SIGPROF", "SIGALRM", "SIGUSR1",
         "setitimer", "alarm", "AF_UNIX", "UnixStreamServer", "add_signal_handler"}  # fmt: skip
HOMES = {"core/system.py": MODULES | NAMES, "video/wires.py": {"memfd_create"}}
IMPORTED = re.compile(rf"^\s*(?:import|from) ({'|'.join(MODULES)})\b", re.MULTILINE)
USED = re.compile(
    rf"\b(?:os|signal|socket|socketserver|loop)\.({'|'.join(NAMES)})\b|\bimport .*\b({'|'.join(NAMES)})\b"
)


def test_what_only_one_system_has_is_in_one_file() -> None:
    found = set()
    for path in SRC.rglob("*.py"):
        place, text = path.relative_to(SRC).as_posix(), path.read_text(encoding="utf-8")
        for name in (*IMPORTED.findall(text), *(one or other for one, other in USED.findall(text))):
            found.add((place, name))
    allowed = {(place, name) for place, names in HOMES.items() for name in names}
    assert len(found & allowed) >= 8, "what is looked for is not found where it is"
    assert found - allowed == set()


START = """
import importlib, os, signal, socket, socketserver, sys, types
STARTED = ("prvr.cli", "prvr.cli.library", "prvr.cli.serve", "prvr.demo", "prvr.doctor", "prvr.search.engine",
           "prvr.search.nearby", "prvr.video.apart", "prvr.serve.runner", "prvr.service.jobs", "prvr.runs.many")
for name in STARTED:
    importlib.import_module(name)  # so that libraries of others are here, which find out by themselves
for name in [name for name in sys.modules if name.partition(".")[0] == "prvr"]:
    del sys.modules[name]
for name in MODULES:
    sys.modules[name] = None
for name in NAMES:
    for module in (os, signal, socket, socketserver):
        if hasattr(module, name):
            delattr(module, name)
sys.platform = "win32"
sys.modules["msvcrt"] = types.ModuleType("msvcrt")
for name in STARTED:
    importlib.import_module(name)
from prvr.cli import main
from prvr.core.places import data_folder, state_folder
try:
    main(["--version"])
except SystemExit as end:
    assert not end.code
del os.environ["PRVR_DATA"]
os.environ["LOCALAPPDATA"] = "here"
print(data_folder().parts, state_folder().parts)
"""


def test_it_starts_where_nothing_of_posix_is_there() -> None:
    """The same interpreter without those modules and names, and with another name of its system."""
    code = f"MODULES, NAMES = {MODULES - {'posix'}}, {NAMES}\n{START}"
    with Fresh(code, environment={"XDG_DATA_HOME": "", "XDG_STATE_HOME": ""}) as there:
        ended = there.wait(60)
        assert ended == 0, there.said()
        assert prvr.__version__ in there.said()
        assert "('here', 'prvr', 'share', 'prvr') ('here', 'prvr', 'state', 'prvr')" in there.said()


def test_time_that_is_over_ends_a_process_without_signals() -> None:
    code = (
        "from prvr.core.system import Patience\npatience = Patience()\npatience.set(0.01)\nwhile True: sum(range(99))"
    )
    with Fresh(code) as there:
        assert there.wait(60) == TOO_SLOW


def test_a_lock_is_had_by_one_or_shared_by_many(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w") as one, path.open() as two, path.open() as three:
        assert locked(one)
        assert not locked(two)
        assert not locked(two, shared=True)
        one.close()
        assert locked(two, shared=True)
        assert locked(three, shared=True)


def test_names_of_windows_are_told_with_slashes() -> None:
    r"""So that an id is the same on every system; `\xe9` in a name stays what it is."""
    assert text_of(PureWindowsPath("trips\\rome\\été.mp4")) == "trips/rome/été.mp4"
    assert text_of(PureWindowsPath("C:\\Videos\\a.mp4")) == "C:/Videos/a.mp4"
    assert PureWindowsPath("C:/Videos/a.mp4") == PureWindowsPath(path_of("C:/Videos/a.mp4").as_posix())
