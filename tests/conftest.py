"""What every test starts from: one seed, few threads, no network."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from prvr.core.system import locked

if TYPE_CHECKING:
    from prvr.search.engine import SearchEngine

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


@pytest.fixture(autouse=True)
def _nobody(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No models, no default and no index of whoever runs the tests."""
    monkeypatch.setenv("PRVR_DATA", str(tmp_path_factory.getbasetemp() / "nobody"))


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


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that one process makes for all of a run; each gets a copy of its own.

    Where the tests run in one process there is no other, and no copy.
    """
    own = factory.mktemp(name) / name
    if "PYTEST_XDIST_WORKER" not in os.environ:
        make(own)
        return own
    whole = factory.getbasetemp().parent / name
    with whole.with_suffix(".lock").open("w") as lock:
        while not locked(lock):
            time.sleep(0.05)
        if not whole.exists():
            make(own)
            shutil.copytree(own, whole)
            return own
    return Path(shutil.copytree(whole, own))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny world with features, made once; copy it before changing it."""
    from prvr.cli import main
    from prvr.data.world import generate_world

    def make(root: Path) -> None:
        generate_world(root, size="tiny", seed=0, workers=1)
        assert main(["extract", str(root / "videos"), "--encoder", "world", "--out", str(root / "features")]) == 0

    return made_once(tmp_path_factory, "world", make)


@pytest.fixture
def mine(world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world, tmp_path / "world"))


FILES, FEATURES_ONLY = 12, 24  # of the library


@pytest.fixture(scope="session")
def library(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index folder with its videos below it; copy it before changing it.

    Twelve generated videos with their files, and two dozen of which only features are known, so that it is calibrated.
    """
    from prvr.core.facts import Facts
    from prvr.core.types import Bank
    from prvr.data.world import iter_world
    from prvr.encoders.world import load_world_encoder
    from prvr.index.opening import open_index
    from prvr.parts.sampling import frame_spans
    from prvr.search.engine import calibrate_folder
    from prvr.search.indexing import build_index

    def make(root: Path) -> None:
        for part in ("videos", "annotations"):
            shutil.copytree(world / part, root / part)
        encoder = load_world_encoder()
        build_index([root / "videos"], root, encoder, tags=["shapes"])
        with open_index(root, write=True) as index:
            for video in islice(iter_world("demo", 0), FEATURES_ONLY):
                features = encoder.encode_images(encoder.prepare(video.frames))
                tokens = torch.nn.functional.normalize(features, dim=1)
                bank = Bank(tokens, frame_spans(video.times, video.duration_s).float(), len(tokens))
                index.add(f"more/{video.video_id}", bank, facts=Facts(duration_s=video.duration_s))
            index.save(root)
        assert calibrate_folder(root, encoder).enough

    return made_once(tmp_path_factory, "library", make)


@pytest.fixture(scope="session")
def engine(library: Path) -> SearchEngine:
    """Beside a server's own, to compare with."""
    from prvr.search.engine import SearchEngine

    return SearchEngine.open(library)


@pytest.fixture
def own(library: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(library, tmp_path / "library"))
