"""The house rules that a machine can hold: arrows point one way, the front door is what it says, imports stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import prvr

SRC = Path(prvr.__file__).parent

BENCH = {"core", "video", "encoders", "features", "data", "kernels", "parts", "methods", "ranker", "training",
         "evaluation"}  # fmt: skip
PRODUCT = {"core", "video", "encoders", "subtitles", "speech", "written", "features", "ranker", "index"}
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "video": {"core"},
    "encoders": {"core"},
    "subtitles": {"core", "video"},
    "speech": {"core", "video", "encoders.catalogue"},
    "written": {"core", "video", "speech.store"},
    "features": {"core", "video", "encoders", "subtitles"},
    "cluster": {"core", "video", "features"},
    "data": {"core", "features"},
    "kernels": {"core"},
    "parts": {"core", "kernels"},
    "methods": {"core", "data", "parts", "kernels"},
    "ranker": {"core", "features", "parts"},
    "training": {"core"},
    "evaluation": {"core"},
    "runs": BENCH | {"cluster"},
    "index": {"core"},
    "search": PRODUCT | {"data.annotations", "data.world"},
    "service": {"core", "video", "subtitles", "search", "encoders.catalogue"},
    "serve": {"core", "service"},
    "reproduce": BENCH | {"runs"},
    "cli": BENCH | PRODUCT | {"cluster", "runs", "search", "service", "serve", "reproduce", "demo", "doctor"},
    "demo": BENCH | PRODUCT | {"runs", "search"},
    "doctor": BENCH | PRODUCT | {"runs", "search"},
    "__main__": {"cli"},
    "__init__": {"core", "search"},
}
"""What a room may import: rooms, or a part of a room by its dotted name."""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def tree(module: str) -> ast.Module | None:
    """A module of prvr by its name below it, parsed; None where there is none."""
    path = SRC.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return parsed(file)
    return None


def imports(node: ast.AST) -> Iterator[tuple[str, str]]:
    """(module below prvr, name in it or nothing) of one import."""
    if isinstance(node, ast.Import):
        found = [(alias.name, "") for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert node.module is not None, "relative imports are ruff's business"
        found = [(node.module, alias.name) for alias in node.names]
    else:
        return
    for module, name in found:
        if module == "prvr" or module.startswith("prvr."):
            yield module.removeprefix("prvr").lstrip("."), name


def owner(module: str, name: str) -> str:
    """Where a name that can be imported from a module is made: its own module, or the one that hands it on."""
    inside = f"{module}.{name}".strip(".")
    if name and tree(inside) is not None:
        return inside
    found = tree(module) if module else tree("__init__")
    for node in found.body if found else ():
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("prvr."):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return owner(node.module.removeprefix("prvr."), alias.name)
    return module


def test_arrows_point_one_way() -> None:
    """Through every name that a file hands on, so that no room reaches another one by way of a third."""
    wrong = []
    for path in sorted(SRC.rglob("*.py")):
        room = path.relative_to(SRC).parts[0].removesuffix(".py")
        for node in ast.walk(parsed(path)):
            for module, name in imports(node):
                target = owner(module, name)
                allowed = MAY_IMPORT[room] | {room}
                if target and not any(f"{target}.".startswith(f"{one}.") for one in allowed):
                    wrong.append(f"{path.relative_to(SRC)}: {room} may not import {target} ({name})")
    assert not wrong, "\n".join(wrong)


def test_every_room_is_in_the_table() -> None:
    rooms = {
        path.name.removesuffix(".py")
        for path in SRC.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rooms == set(MAY_IMPORT)


def test_a_search_loads_nothing_of_the_laboratory() -> None:
    """Whatever answers a question in a process of its own: no trainer, no loss, no evaluator, no recipe is imported."""
    code = (
        "import sys, prvr.search.engine, prvr.search.keeping, prvr.service.desk\n"
        "from prvr.ranker.names import find_method\n"
        "find_method('prvr.methods.msc.network:METHOD')\n"
        "print([name for name in sys.modules if name.startswith('prvr.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = ast.literal_eval(done.stdout)
    laboratory = ("prvr.training", "prvr.evaluation", "prvr.runs", "prvr.reproduce")
    assert not [name for name in loaded if name.startswith(laboratory)]
    assert not [name for name in loaded if name.startswith("prvr.methods.") and name.endswith((".loss", ".runs"))]


def test_public_classes_have_names_of_their_own() -> None:
    """One word for one thing. The shapes of the API are named as what they stand for, and its page knows them so."""
    found: dict[str, list[str]] = {}
    for path in sorted(SRC.rglob("*.py")):
        place = path.relative_to(SRC).as_posix()
        if place not in ("serve/schema.py", "serve/requests.py"):
            for node in parsed(path).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found.setdefault(node.name, []).append(place)
    assert not {name: places for name, places in found.items() if len(places) > 1}


def test_only_the_command_line_prints() -> None:
    for path in SRC.rglob("*.py"):
        if path.relative_to(SRC).parts[0] == "cli":
            continue
        calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
        assert not any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls), path


def test_the_front_door_is_what_it_says() -> None:
    assert prvr.__all__ == sorted(prvr.__all__)
    for name in prvr.__all__:
        assert getattr(prvr, name) is not None
    assert {name for name in dir(prvr) if not name.startswith("_")} >= set(prvr.__all__) - {"__version__"}


def test_importing_the_package_stays_light() -> None:
    heavy = ("torch", "numpy", "av", "transformers", "rich")
    code = f"import sys, prvr, prvr.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_files_and_functions_stay_small() -> None:
    """At most 400 lines a file, 40 a function body; its docstring does not count."""
    long = []
    for path in sorted(SRC.rglob("*.py")):
        text = path.read_text()
        if (lines := len(text.splitlines())) > 400:
            long.append(f"{path}: {lines} lines")
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                if lines > 40:
                    long.append(f"{path}:{node.lineno}: the body of {node.name} has {lines} lines")
    assert not long, "\n".join(long)
