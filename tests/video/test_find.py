from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from prvr.core.errors import VideoError
from prvr.video.find import find_videos
from tests.video.make import as_nobody, skip_unless_denied


def plant(root: Path, *names: str) -> None:
    """Files that only have names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def names(root: Path) -> list[str]:
    found = find_videos(root)
    assert found.problems == []
    assert found.videos == sorted(found.videos)
    return [path.relative_to(root).as_posix() for path in found.videos]


def test_all_files_named_like_a_video(tmp_path: Path) -> None:
    plant(tmp_path, "b.MKV", "a.mp4", "notes.txt", "mp4", "deep/er/c.WebM", ".hidden.mp4", ".cache/d.mp4", "e.part.mp4")
    assert names(tmp_path) == ["a.mp4", "b.MKV", "deep/er/c.WebM", "e.part.mp4"]


def test_a_file_is_itself_whatever_its_name(tmp_path: Path) -> None:
    plant(tmp_path, "noname", "a.mp4")
    assert find_videos(tmp_path / "noname").videos == [tmp_path / "noname"]
    assert find_videos(tmp_path / "a.mp4").videos == [tmp_path / "a.mp4"]


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert find_videos(tmp_path) == ([], [])


def test_a_folder_named_like_a_video_is_a_folder(tmp_path: Path) -> None:
    plant(tmp_path, "x.mp4/y.mp4")
    assert names(tmp_path) == ["x.mp4/y.mp4"]
    assert names(tmp_path / "x.mp4") == ["y.mp4"]


def test_links_are_followed_but_not_round_in_circles(tmp_path: Path) -> None:
    plant(tmp_path, "in/b/a.mp4", "elsewhere/c.mp4")
    root = tmp_path / "in"
    (root / "a-way-round").symlink_to(root / "b")  # the same folder, met first: the way without links is taken
    (root / "b" / "up").symlink_to(root)
    (root / "b" / "self").symlink_to(".")
    (root / "far").symlink_to(tmp_path / "elsewhere")
    (root / "file.mp4").symlink_to(tmp_path / "elsewhere" / "c.mp4")
    assert names(root) == ["b/a.mp4", "far/c.mp4", "file.mp4"]


def test_what_cannot_be_looked_at_is_said(tmp_path: Path) -> None:
    plant(tmp_path, "a.mp4")
    (tmp_path / "gone.mp4").symlink_to("nowhere")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    found = find_videos(tmp_path)
    assert found.videos == [tmp_path / "a.mp4"]
    assert [path.name for path, _ in found.problems] == ["gone.mp4", "loop.mp4", "pipe.mp4"]
    assert all(line.startswith(f"{path}: ") for path, line in found.problems)


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"nowhere: no such file"):
        find_videos(tmp_path / "nowhere")


def test_unreadable_folders() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        plant(root, "a.mp4", "locked/b.mp4", "open/c.mp4")
        (root / "locked").chmod(0)
        try:
            skip_unless_denied(root / "locked")
            with as_nobody():
                found = find_videos(root)
                with pytest.raises(VideoError, match="locked: the folder cannot be read"):
                    find_videos(root / "locked")
        finally:
            (root / "locked").chmod(0o755)
        assert found.videos == [root / "a.mp4", root / "open" / "c.mp4"]
        assert [path for path, _ in found.problems] == [root / "locked"]


def test_what_is_excluded_is_not_entered(tmp_path: Path) -> None:
    plant(tmp_path, "a.mp4", "a.part.mp4", "private/b.mp4", "deep/private/c.mp4", "deep/er/d.mp4", "deep/e.mp4")
    found = find_videos(tmp_path, exclude=["*.part.mp4", "private", "deep/er"])
    assert [path.relative_to(tmp_path).as_posix() for path in found.videos] == ["a.mp4", "deep/e.mp4"]
