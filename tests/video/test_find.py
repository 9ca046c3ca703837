from __future__ import annotations

import os
import tempfile
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from prvr.core.errors import VideoError
from prvr.video.find import find_videos
from tests.video.make import as_nobody, skip_unless_denied, steps, write_sound, write_video


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


LITTER = [
    "@eaDir",
    "#recycle",
    "@Recycle",
    "$RECYCLE.BIN",
    ".AppleDouble",
    ".@__thumb",
    "lost+found",
    "#snapshot",
    "System Volume Information",
    "Network Trash Folder",
    "@Recently-Snapshot",
    "RECYCLER",
    "__MACOSX",
]


def test_what_machines_litter_is_passed_over(tmp_path: Path) -> None:
    plant(tmp_path, "holiday.mp4", "._holiday.mp4", *(f"{name}/deep/a.mp4" for name in LITTER))
    assert names(tmp_path) == ["holiday.mp4"]
    assert names(tmp_path / "lost+found") == ["deep/a.mp4"], "who names it means it"


SUFFIXES = """
.3g2 .dv .m2t .ogm .mod .tod .insv .lrv .rm .m2v .qt .360 .m4s .gif .h264 .nut .mpe .trp .mp4v .dat .bin
"""


def test_a_video_is_one_under_every_name(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", steps(1, 5))
    for suffix in ["", *SUFFIXES.split()]:
        (tmp_path / f"clip{suffix}").write_bytes((tmp_path / "clip.mp4").read_bytes())
    assert len(names(tmp_path)) == 2 + len(SUFFIXES.split())


@pytest.mark.parametrize(
    ("codec", "container"),
    [("libx264", "mov"), ("libx264", "matroska"), ("libvpx", "webm"), ("mpeg4", "avi"), ("libx264", "mpegts"),
     ("flv1", "flv"), ("wmv2", "asf"), ("mpeg4", "nut"), ("libvpx", "ivf"), ("rawvideo", "yuv4mpegpipe"),
     ("libx264", "h264"), ("libx265", "hevc"), ("mpeg4", "m4v"), ("rv10", "rm"), ("libx264", "f4v"),
     ("libx264", "vob"), ("libx264", "mpeg"), ("libx264", "3g2")],
)  # fmt: skip
def test_every_container_is_known_by_what_is_in_it(tmp_path: Path, codec: str, container: str) -> None:
    write_video(tmp_path / "clip.unknown", steps(1, 10), codec=codec, container=container)
    assert names(tmp_path) == ["clip.unknown"]


def test_moving_pictures_are_videos_and_photographs_are_not(tmp_path: Path) -> None:
    for suffix, codec in (("gif", "gif"), ("apng", "apng")):
        for name, count in (("one", 1), ("two", 2)):
            with av.open(tmp_path / f"{name}.{suffix}", "w") as out:
                stream = out.add_stream(codec, rate=5)
                assert isinstance(stream, VideoStream)
                stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb8" if codec == "gif" else "rgb24"
                for shade in range(count):
                    picture = np.full((16, 16, 3), 200 * shade, np.uint8)
                    frame = av.VideoFrame.from_ndarray(picture).reformat(format=stream.pix_fmt)
                    out.mux(stream.encode(frame))
                out.mux(stream.encode(None))
    write_video(tmp_path / "loop.avif", steps(1, 10), codec="libsvtav1", container="avif")
    assert names(tmp_path) == ["loop.avif", "two.apng", "two.gif"]


def test_other_files_are_silent(tmp_path: Path) -> None:
    write_sound(tmp_path / "song.mp4")
    for name in ("song.m4a", "song.m4s", "song without a suffix"):
        (tmp_path / name).write_bytes((tmp_path / "song.mp4").read_bytes())
    (tmp_path / "song.mp4").unlink()
    write_video(tmp_path / "cut off.mp4", steps(1, 5))
    (tmp_path / "cut off").write_bytes((tmp_path / "cut off.mp4").read_bytes()[:600])
    (tmp_path / "cut off.mp4").unlink()
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    (tmp_path / "gone").symlink_to("nowhere")
    for name, content in {
        "photo.jpg": b"\xff\xd8\xff", "photo.cr3": b"\0\0\0\x18ftypcrx ", "a.pdf": b"%PDF", "a.zip": b"PK\3\4",
        "core": b"\x7fELF" + bytes(500), "zeros": bytes(5000), "empty": b"", "G": b"G" * 5,
        "a.json": b"{}", "Makefile": b"all:\n", "icon.ico": b"\0\0\1\0", "a.srt": b"1\n", "a.nfo": b"x",
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
    assert names(tmp_path) == []


def test_typescript_is_no_transport_stream(tmp_path: Path) -> None:
    for name in ("index.d.ts", "index.mts", "empty.ts"):
        (tmp_path / name).write_text("export declare const a: number;\n" * (name != "empty.ts"))
    (tmp_path / "wide.ts").write_text("export {}", encoding="utf-16")
    write_video(tmp_path / "rec.ts", steps(1, 5), container="mpegts")
    plain = (tmp_path / "rec.ts").read_bytes()
    (tmp_path / "cut.ts").write_bytes(plain[100:])
    packets = [plain[at : at + 188] for at in range(0, len(plain), 188)]
    (tmp_path / "camera.mts").write_bytes(b"".join(bytes(4) + packet for packet in packets))
    (tmp_path / "broadcast.ts").write_bytes(b"".join(packet + bytes(16) for packet in packets))
    (tmp_path / "damaged.ts").write_bytes(bytes(2000))
    assert names(tmp_path) == ["broadcast.ts", "camera.mts", "cut.ts", "damaged.ts", "rec.ts"]


def test_what_is_excluded_is_not_entered(tmp_path: Path) -> None:
    plant(tmp_path, "a.mp4", "a.part.mp4", "private/b.mp4", "deep/private/c.mp4", "deep/er/d.mp4", "deep/e.mp4")
    found = find_videos(tmp_path, exclude=["*.part.mp4", "private", "deep/er"])
    assert [path.relative_to(tmp_path).as_posix() for path in found.videos] == ["a.mp4", "deep/e.mp4"]
