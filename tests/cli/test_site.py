"""The documentation as a site: what is made when it is built is whole, and no page loads anything from elsewhere."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from prvr.cli import build_parser

ROOT = Path(__file__).parents[2]
# What a browser fetches by itself: links that a reader may click are not of these.
FETCHED = re.compile(
    r"<(?:script|img|link|iframe|source)\b[^>]*(?:src|href)=\"?((?:https?:)?//[^\"\s>]+)|url\((https?:[^)]+)\)"
)


def making(name: str) -> ModuleType:
    """A hook of mkdocs, which is a file and no module of a package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "making" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_command_line_has_every_option_of_every_command() -> None:
    commands = making("commands")
    page = commands.page()
    todo, seen = [build_parser()], 0
    while todo:
        for _, verb, _ in commands.verbs_of(todo.pop()):
            todo.append(verb)
            part = page.partition(f" {verb.prog} {{#")[2].partition("\n##")[0]
            for action in verb._actions:
                if commands.is_shown(action):
                    assert commands.row(action) in part, (verb.prog, action.dest)
                    seen += 1
    assert seen > 200


def test_the_page_of_the_interface_has_every_address_and_every_field() -> None:
    addresses = making("addresses")
    told = addresses.schema()
    page = addresses.page(told)
    for path, verbs in told["paths"].items():
        assert all(f"`{verb.upper()} {path}`" in page for verb in verbs), path
    for name, one in told["components"]["schemas"].items():
        part = page.partition(f"{{#{addresses.place(name)}}}")[2].partition("\n###")[0]
        assert all(f"| `{field}`" in part for field in one.get("properties", {})), name


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """Links and anchors are judged by mkdocs itself, for which a wrong one is a warning."""
    for module in ("material", "mkdocstrings_handlers.python"):
        pytest.importorskip(module, reason="building the site needs `pip install 'prvr[docs]'`")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stderr
    pages = [path for path in tmp_path.rglob("*") if path.suffix in (".html", ".css")]
    assert len(pages) > 40
    for page in pages:
        assert not FETCHED.findall(page.read_text(encoding="utf-8")), page
