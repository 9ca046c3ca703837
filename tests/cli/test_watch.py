"""A library that keeps itself up to date, in a process of its own and in a server."""

from __future__ import annotations

import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from prvr.cli import main
from prvr.search.folders import recall
from prvr.service.keyring import Keyring
from tests.serve.conftest import config_of, serving, until
from tests.video.make import steps, write_video

WAIT_S = 240.0


class Watching:
    """`prvr watch` and the lines that it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[str] = queue.Queue()
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self._lines.put(line.rstrip("\n"))

    def until(self, words: str) -> str:
        while words not in (line := self._lines.get(timeout=WAIT_S)):
            pass
        return line


@contextmanager
def watching(*words: str) -> Iterator[Watching]:
    command = [sys.executable, "-m", "prvr", "watch", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        watch = Watching(process)
        try:
            yield watch
        finally:
            process.kill()
            watch.listener.join(WAIT_S)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "first.mp4", steps(2, 5))
    return folder


def test_what_comes_is_read_until_it_is_stopped(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = ["--index", str(tmp_path / "index")]
    with watching(str(videos), *index, "--encoder", "world") as watch:
        assert str(videos) in watch.until("Watching")
        assert "1 video read, 0 unchanged" in watch.until("unchanged")
        write_video(tmp_path / "made.mp4", steps(3, 5))
        shutil.move(tmp_path / "made.mp4", videos / "second.mp4")
        (videos / "junk.mp4").write_bytes(b"junk")
        assert "junk.mp4" in watch.until("skipped")
        assert "1 video read, 1 unchanged, 1 file could not be read" in watch.until("unchanged")
        watch.process.send_signal(signal.SIGTERM)
        assert "Stopped safely" in watch.until("Stopped")
        assert watch.process.wait(60) == 130
    assert main(["list", *index]) == 0
    assert "second.mp4" in capsys.readouterr().out
    assert main(["watch", "--list", *index]) == 0
    assert capsys.readouterr().out == f"{videos.resolve()}\n"
    assert main(["watch", "--stop", str(videos), *index]) == 0
    assert not any(one.watched for one in recall(tmp_path / "index").values())
    assert main(["watch", "--stop", str(videos), *index]) == 1
    assert "is not watched; `prvr watch --list` says what is" in capsys.readouterr().err


def test_what_cannot_be_watched(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = ["--index", str(tmp_path / "index")]
    with pytest.raises(SystemExit):
        main(["watch", *index])
    assert "none is watched yet" in capsys.readouterr().err
    for verb in (["watch", str(tmp_path / "none")], ["serve", "--watch", str(tmp_path / "none")]):
        assert main([*verb, *index]) == 1
        assert "no such folder; check the path" in capsys.readouterr().err
    with Keyring(tmp_path / "index").announced("http://127.0.0.1:9", tmp_path):
        assert main(["watch", str(videos), *index]) == 1
    assert "a server runs over" in capsys.readouterr().err
    assert not (tmp_path / "index").exists()


def test_a_server_is_told_what_to_watch(videos: Path, tmp_path: Path) -> None:
    """An index that is not there yet is made; the folder stays watched, as if it was chosen on the page."""
    config = config_of(tmp_path / "index", encoder="world", watch=(videos.resolve(),))
    with serving(config) as live, live.client() as client:
        until(lambda: client.get("/readyz").status_code == 200)
        (one,) = client.get("/v1/folders").json()["data"]
        assert (one["path"], one["watched"], one["num_videos"]) == (str(videos.resolve()), True, 1)
    assert recall(tmp_path / "index")[videos.resolve()].watched
