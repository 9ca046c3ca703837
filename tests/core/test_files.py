"""Files that are whole or not there, whoever writes at the same time, and what is swept: only what we left."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from prvr.core.errors import FeatureError
from prvr.core.files import half_written, only_writer, own_folder, write_whole


def test_writers_of_names_that_begin_alike_never_meet(tmp_path: Path) -> None:
    """Two widths of one second: what differs comes after the fortieth letter."""
    begin = "0123456789abcdef" * 2 + "-1000.1"
    wrong: list[str] = []

    def write(width: int) -> None:
        for _ in range(150):
            path, content = tmp_path / f"{begin}-{width}.jpg", bytes([width]) * 2000
            write_whole(path, content)
            if path.read_bytes() != content:
                wrong.append(path.name)

    threads = [threading.Thread(target=write, args=(width,)) for width in (80, 160)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(list(tmp_path.iterdir())) == 2


def test_only_what_we_leave_half_written_is_swept(tmp_path: Path) -> None:
    own = [tmp_path / ".holiday.tmp", tmp_path / ".draft.v2.tmp", tmp_path / "a.1.tmp"]
    ours = [half_written(tmp_path / "a.json"), tmp_path / ".a.json.4711.tmp"]  # the second by an older version
    for path in (*own, *ours):
        path.write_text("half")
    with only_writer(tmp_path, FeatureError):
        assert all(path.exists() for path in own)
        assert not any(path.exists() for path in ours)


def test_a_folder_of_the_user_is_closed_to_others(tmp_path: Path) -> None:
    open_before = tmp_path / "before"
    open_before.mkdir(mode=0o755)
    for folder in (open_before, tmp_path / "new" / "deep"):
        own_folder(folder)
        assert folder.stat().st_mode & 0o777 == 0o700


def test_what_a_killed_writer_left_is_swept_and_a_living_one_writes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some files of a folder are written without the right to write there: a sweep must not lose them."""
    left, mine = half_written(tmp_path / "folders.json"), tmp_path / ".notes.of.mine.tmp"
    for file in (left, mine):
        file.write_text("half")
    real = os.fsync

    def swept_meanwhile(number: int) -> None:
        real(number)
        monkeypatch.setattr(os, "fsync", real)
        with only_writer(tmp_path, FeatureError, parts="videos/.*.tmp"):
            pass

    monkeypatch.setattr(os, "fsync", swept_meanwhile)
    write_whole(tmp_path / "folders.json", b"whole")
    assert (tmp_path / "folders.json").read_bytes() == b"whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", mine.name, "folders.json"]
