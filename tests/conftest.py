"""What every test starts from: one seed, few threads, no network."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

SHARED = Path(os.environ.get("PRVR_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test runs, nothing leaves this machine."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test reached for the network: {address}")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recordings, annotations and reference arrays; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not here: recordings, annotations and reference arrays are not shipped")
    return SHARED


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of reference arrays, from PRVR_GOLDEN or beside the checkout."""
    folder = Path(os.environ.get("PRVR_GOLDEN", SHARED / "golden"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here: reference arrays are not shipped (PRVR_GOLDEN names another place)")
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny world with features, made once; copy it before changing it."""
    from prvr.cli import main
    from prvr.data.world import generate_world

    root = tmp_path_factory.mktemp("world")
    generate_world(root, size="tiny", seed=0, workers=1)
    assert main(["extract", str(root / "videos"), "--encoder", "world", "--out", str(root / "features")]) == 0
    return root


@pytest.fixture
def mine(world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world, tmp_path / "world"))
