"""A moment opens in a player: a stand-in on the PATH writes down how it was called."""

from __future__ import annotations

import json
import time
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.locate import world, write
from prvr.cli.front import main
from prvr.data.world.acts import RATE
from prvr.encoders.world import load_world_encoder
from prvr.search.indexing import build_index
from prvr.search.players import PLAYERS


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("library")
    write(root / "videos" / "a film; $(x).mp4", islice(world(3, 0), 12 * RATE), rate=RATE, crf=28)
    build_index([root / "videos"], root / "index", load_world_encoder(), workers=1)
    return root / "index"


@pytest.fixture
def player(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a player called `vlc` writes its arguments to, a line each; no other program is found."""
    told, program = tmp_path / "told", tmp_path / "bin" / "vlc"
    program.parent.mkdir()
    words = 'for word; do echo "$word"; done'
    program.write_text(f"#!/bin/sh\n{words} > '{told}.part'\n/bin/mv '{told}.part' '{told}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setenv("PRVR_DATA", str(tmp_path / "data"))
    return told


def words_of(told: Path) -> list[str]:
    for _ in range(200):
        if told.exists():
            return told.read_text().splitlines()
        time.sleep(0.05)
    raise AssertionError("no player was started")


def test_the_last_search_opens_by_rank(index: Path, player: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "a red circle", "--index", str(index), "--json"]) == 0
    hit = json.loads(capsys.readouterr().out)[0]["hits"][0]
    assert hit["open"] == [[str(player.parent / "bin" / "vlc"), f"--start-time={hit['start']:.3f}", hit["path"]]]
    assert main(["open", "1"]) == 0
    assert words_of(player) == [f"--start-time={hit['start']:.3f}", hit["path"]]
    assert main(["open", "7"]) == 1
    assert "7: the last search found 1 video; give 1 to 1" in capsys.readouterr().err


def test_a_video_opens_at_a_second(index: Path, player: Path) -> None:
    assert main(["open", "a film; $(x).mp4", "--at", "4.25", "--index", str(index)]) == 0
    assert words_of(player) == ["--start-time=4.250", str(index.parent / "videos" / "a film; $(x).mp4")]


def test_what_cannot_be_opened_is_said(
    index: Path, player: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--index", str(index)]
    assert main(["open", "1"]) == 1
    assert "there was no search yet" in capsys.readouterr().err
    assert main(["open", "a film; $(x).mp4", "--at", "-1", *where]) == 1
    assert "give seconds from the start of the video" in capsys.readouterr().err
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["open", "a film; $(x).mp4", *where]) == 1
    assert f"no player was found; install one of {', '.join(PLAYERS)}" in capsys.readouterr().err
    assert not player.exists()
