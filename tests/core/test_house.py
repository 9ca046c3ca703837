"""The house rules that a machine can hold: arrows point one way, the front door is what it says, imports stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import prvr
from prvr.index.database import FILE
from prvr.index.opening import ENGINE, OLD

SRC = Path(prvr.__file__).parent

BENCH = {"core", "video", "encoders", "features", "data", "kernels", "parts", "methods", "training", "evaluation"}
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "video": {"core"},
    "encoders": {"core"},
    "features": {"core", "video", "encoders"},
    "data": {"core", "features"},
    "kernels": {"core"},
    "parts": {"core", "kernels"},
    "methods": {"core", "data", "kernels", "parts", "training"},
    "training": {"core"},
    "evaluation": {"core"},
    "runs": BENCH,
    "index": {"core"},
    "search": BENCH | {"runs", "index"},
    "reproduce": BENCH | {"runs"},
    "serve": {"core", "video", "search"},
    "cli": BENCH | {"runs", "index", "search", "serve", "reproduce", "demo", "doctor"},
    "demo": BENCH | {"runs", "index", "search"},
    "doctor": BENCH | {"runs", "index", "search"},
    "__main__": {"cli"},
    "__init__": {"core", "search"},
}


def imported_names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.module is not None, "relative imports are ruff's business"
        yield node.module


def test_arrows_point_one_way() -> None:
    for path in SRC.rglob("*.py"):
        room = path.relative_to(SRC).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            for name in imported_names(node):
                if name == "prvr" or name.startswith("prvr."):
                    target = name.removeprefix("prvr").lstrip(".").split(".")[0]
                    assert target in MAY_IMPORT[room] | {room, ""}, f"{path}:{node}: {room} may not import {name}"


def test_every_room_is_in_the_table() -> None:
    rooms = {
        path.name.removesuffix(".py")
        for path in SRC.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rooms == set(MAY_IMPORT)


def knows_an_engine(node: ast.expr) -> bool:
    """Whether a piece of code asks which index it has, or names a file that lies in one."""
    files = {FILE, ENGINE, OLD, "segments", "nearest"}
    match node:
        case ast.Call(func=ast.Name("isinstance"), args=[_, kinds]):
            return any(isinstance(part, ast.Name) and part.id.endswith("Index") for part in ast.walk(kinds))
        case ast.Call(func=ast.Name("getattr" | "hasattr"), args=[ast.Name(whom) | ast.Attribute(attr=whom), *_]):
            return whom == "index"
        case ast.BinOp(op=ast.Div(), right=ast.Constant(str(name))):
            return name in files
        case ast.Constant(str(text)):
            return "." in text and text in files
    return False


def test_only_the_index_knows_its_engines_apart_and_its_files() -> None:
    """Others ask through `Index` and `opening`."""
    for path in SRC.rglob("*.py"):
        if path.relative_to(SRC).parts[0] != "index":
            for node in ast.walk(ast.parse(path.read_text())):
                assert not (isinstance(node, ast.expr) and knows_an_engine(node)), f"{path}:{node.lineno}"


@pytest.mark.parametrize(
    ("code", "knows"),
    [
        ("isinstance(index, EmbeddedIndex)", True),
        ("isinstance(self.index, (list, QdrantIndex))", True),
        ("getattr(engine.index, 'problems', ())", True),
        ("folder / 'segments'", True),
        ("[(folder / name).exists() for name in ('index.db', 'engine')]", True),
        ("isinstance(model, QueryAtVideo)", False),
        ("parser.add_argument('--engine')", False),
        ("index.problems", False),
    ],
)
def test_what_knowing_an_engine_is(code: str, knows: bool) -> None:
    assert any(isinstance(node, ast.expr) and knows_an_engine(node) for node in ast.walk(ast.parse(code))) is knows


def test_only_the_command_line_prints() -> None:
    for path in SRC.rglob("*.py"):
        if path.relative_to(SRC).parts[0] == "cli":
            continue
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
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
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                if lines > 40:
                    long.append(f"{path}:{node.lineno}: the body of {node.name} has {lines} lines")
    assert not long, "\n".join(long)
