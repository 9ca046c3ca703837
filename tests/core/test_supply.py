"""What is installed and shipped is written down: versions, hashes, checksums, and no registry's host."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
OF_TORCH = re.compile(r"nvidia-|cuda-|triton")  # pinned by the builds of torch that bring them
HOSTS = re.compile(r"(?:registry|pypi|pythonhosted|npmjs|yarnpkg|npmmirror)\.(?:npmjs\.|yarnpkg\.)?(?:org|com)", re.I)


def closure() -> dict[str, str]:
    """Name -> version of everything that pyproject.toml asks for, and what that asks for, as far as it is here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    todo = [Requirement(one) for one in asked if not one.startswith("prvr")]
    seen: set[tuple[str, frozenset[str]]] = set()
    found: dict[str, str] = {}
    while todo:
        one = todo.pop()
        name, extras = canonicalize_name(one.name), frozenset(one.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of an extra that is not installed here
        found[name] = package.version.partition("+")[0]
        for text in package.requires or ():
            more = Requirement(text)
            if more.marker is None or any(more.marker.evaluate({"extra": extra}) for extra in extras or {""}):
                todo.append(more)
    return found


def test_everything_that_is_installed_is_pinned() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    pinned = dict(line.split("==") for line in lines)
    pins = {str(canonicalize_name(name)): version for name, version in pinned.items()}
    assert len(pins) == len(lines), "a package stands there twice"
    here = {name: version for name, version in closure().items() if not OF_TORCH.match(name)}
    assert len(here) > 30
    assert {name: version for name, version in here.items() if pins.get(name) != version} == {}, "add or change these"


def test_the_page_is_built_of_what_the_lock_says() -> None:
    """Exact versions with hashes, and no host: packages come from wherever npm is set up to find them."""
    wanted, lock = (json.loads((ROOT / "web" / name).read_text()) for name in ("package.json", "package-lock.json"))
    packages = {place: one for place, one in lock["packages"].items() if place}
    assert {k: lock["packages"][""][k] for k in ("dependencies", "devDependencies")} == {
        k: wanted[k] for k in ("dependencies", "devDependencies")
    }
    for place, one in packages.items():
        assert one["integrity"].startswith("sha512-"), place
        assert "resolved" not in one, place
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"], **wanted["overrides"]}.items():
        assert packages[f"node_modules/{name}"]["version"] == version


def test_nothing_committed_names_the_host_of_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a checkout of git")
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if path.is_file() and path != Path(__file__):
            found = HOSTS.search(path.read_bytes().decode("utf-8", "ignore"))
            assert found is None, f"{name}: {found}"


def test_weights_are_what_their_card_says() -> None:
    listed = subprocess.run(["git", "ls-files", "src"], cwd=ROOT, capture_output=True, check=False, text=True)
    names = listed.stdout.split() or ["src/prvr/encoders/world.safetensors"]
    weights = [ROOT / name for name in names if name.endswith((".safetensors", ".onnx", ".bin", ".pt", ".npy"))]
    assert weights
    for path in weights:
        card = path.with_suffix(".card.md").read_text()
        assert f"`{hashlib.sha256(path.read_bytes()).hexdigest()}`" in card
        assert f"{path.stat().st_size:,} bytes" in card
        for said in ("licence", "data", "command"):
            assert f"| {said} |" in card
