"""`prvr search` where a server holds the index: the same answer to the bit, and by itself where there is none."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from prvr.cli import main
from prvr.search import nearby
from prvr.search.engine import SearchEngine
from prvr.service.desk import Desk
from prvr.service.nearby import listening

CALLS = {
    "a sentence": ["a red circle"],
    "several": ["a red circle", "a blue star bounces", "-k", "2"],
    "json": ["a red circle -star", "--json", "--all"],
    "filters, and words that are unknown": ["a zebra path:w", "--no-words", "--uncalibrated"],
    "nothing": ["a red circle tag:none", "--fail-if-none"],
}


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as short:  # the address of a socket may not be long
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        yield Path(short, "prvr")
        assert not list(Path(short, "prvr").glob("*")), "a server takes its socket with it"


@pytest.fixture
def held(library: Path, place: Path) -> Iterator[Path]:
    """An index that a server of this process holds."""
    desk = Desk(library)
    desk.open()
    with listening([desk]):
        yield library
    desk.close()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The indexes that are opened from now on."""
    found: list[Path] = []
    before = SearchEngine.open.__func__  # type: ignore[attr-defined]

    def opening(cls: type[SearchEngine], /, folder: Path, **more: object) -> SearchEngine:
        found.append(folder)
        return before(cls, folder, **more)  # type: ignore[no-any-return]

    monkeypatch.setattr(SearchEngine, "open", classmethod(opening))
    return found


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_same_answer_to_the_bit(
    call: list[str], held: Path, opened: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["search", *call, "--index", str(held)])
    asked = capsys.readouterr()
    assert not opened
    assert main(["search", *call, "--index", str(held), "--device", "cpu"]) == code  # named: by this process
    assert capsys.readouterr() == asked
    assert opened == [held]
    assert asked.out


def test_a_moment_and_a_picture(held: Path, opened: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    film = sorted((held / "videos").iterdir())[0]
    for call in (["--like", f"{film.name}@0-4.5"], ["--image", str(film), "--json"]):
        assert main(["search", *call, "--index", str(held)]) == 0
        asked = capsys.readouterr()
        assert not opened
        assert main(["search", *call, "--index", str(held), "--device", "cpu"]) == 0
        assert capsys.readouterr() == asked
        opened.clear()


def test_what_cannot_be_asked_is_said_as_ever(
    held: Path, opened: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for call in (["-cat"], ["a dog longer:soon"], ["--like", "nobody.mp4@1-2"]):
        said = []
        for more in ([], ["--device", "cpu"]):
            assert main(["search", *more, "--index", str(held), "--", *call] if call == ["-cat"] else
                        ["search", *call, *more, "--index", str(held)]) == 1  # fmt: skip
            said.append(capsys.readouterr())
        assert said[0] == said[1]
        assert said[0].err


def test_where_no_server_of_ours_answers_the_command_does(
    library: Path, place: Path, opened: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No folder, a folder that others can write to, a server of another version, one that hangs up, one that died."""
    call = ["search", "a red circle", "--index", str(library)]
    assert main(call) == 0
    out = capsys.readouterr().out

    def alone() -> None:
        opened.clear()
        assert main(call) == 0
        assert capsys.readouterr().out == out
        assert opened == [library]

    desk = Desk(library)
    desk.open()
    with listening([desk]):
        place.chmod(0o755)
        alone()
        place.chmod(0o700)
        with monkeypatch.context() as other:
            other.setattr("prvr.cli.search.__version__", "0.0.9")
            alone()
        with listening([Desk(library)]):  # a second server of the same index leaves the socket to the first
            pass
        opened.clear()
        assert main(call) == 0
        assert not opened
    desk.close()
    capsys.readouterr()
    path = nearby.address(library)
    with socket.socket(socket.AF_UNIX) as dying:
        dying.bind(str(path))
        dying.listen()
        dying.settimeout(0)
        with contextlib.suppress(OSError):
            dying.shutdown(socket.SHUT_RDWR)
        alone()
    desk = Desk(library)
    desk.open()
    with listening([desk]):  # what the dead one left does not keep it from listening
        opened.clear()
        assert main(call) == 0
        assert not opened
    desk.close()


def test_both_sides_name_one_place(library: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("far" * 40)))
    place = nearby.address(library)
    assert len(str(place)) < 100
    assert place == nearby.address(library / ".." / library.name)
    (tmp_path / "link").symlink_to(library)
    assert place == nearby.address(tmp_path / "link")
    assert place != nearby.address(tmp_path)


def test_who_asks_loads_neither_torch_nor_the_index(held: Path) -> None:
    code = (
        "import sys; from prvr.cli import main; code = main(sys.argv[1:]);"
        "print(code, [m for m in ('torch', 'numpy', 'transformers', 'prvr.index') if m in sys.modules])"
    )
    run = [sys.executable, "-c", code, "search", "a red circle", "--index", str(held)]
    out = subprocess.run(run, capture_output=True, text=True, timeout=100, check=True).stdout
    assert out.splitlines()[-1] == "0 []"
    assert out.startswith(" #  match")
