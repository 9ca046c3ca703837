"""A tiny world with features, made once through the front door."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from prvr.cli import main
from prvr.data.world import generate_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny world with features, made once; copy it before changing it."""
    root = tmp_path_factory.mktemp("world")
    generate_world(root, size="tiny", seed=0, workers=1)
    assert main(["extract", str(root / "videos"), "--encoder", "world", "--out", str(root / "features")]) == 0
    return root


@pytest.fixture
def mine(world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world, tmp_path / "world"))
