"""Files that are no videos, and names that are trouble: one clear line each, or simply the video."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from prvr.core.errors import ConfigError, VideoError
from prvr.video.decode import sample_frames
from prvr.video.probe import probe
from tests.video.make import (
    as_nobody,
    cut_short,
    read_clock,
    skip_unless_denied,
    spoil_packets,
    steps,
    write_sound,
    write_video,
)


def refused(path: Path) -> str:
    """The one line that both ways in say."""
    with pytest.raises(VideoError) as probed:
        probe(path)
    with pytest.raises(VideoError) as read:
        next(sample_frames(path))
    line = str(probed.value)
    assert line == str(read.value)
    assert path.name in line
    assert "\n" not in line
    return line


def _cut_before_the_index(path: Path) -> None:
    write_video(path, steps(2, 10))  # the index comes last
    cut_short(path, path, 0.3)


def _cut_within_the_index(path: Path) -> None:
    write_video(path, steps(2, 10))
    cut_short(path, path, 0.7)


def _all_spoilt(path: Path) -> None:
    write_video(path, steps(2, 10))
    spoil_packets(path, 0, 100)


def _play_list(path: Path) -> None:
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nhttp://192.0.2.1/a.ts\n#EXT-X-ENDLIST\n")


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), "is empty (0 bytes)"),
    "garbage": (
        lambda p: p.write_bytes(np.random.default_rng(0).bytes(100_000)),
        "is not a video that FFmpeg can read",
    ),
    "text": (lambda p: p.write_text("Dear diary,\n" * 2000), "is not a video that FFmpeg can read"),
    "play-list": (_play_list, "is not a video that FFmpeg can read"),
    "cut": (_cut_before_the_index, "is not a video that FFmpeg can read"),
    "cut-late": (_cut_within_the_index, "has no video stream (nor sound); it may be cut off"),
    "sound": (write_sound, "has no video stream (audio only)"),
    "spoilt": (_all_spoilt, "no frame could be decoded"),
    "folder": (lambda p: p.mkdir(), "is a folder"),
    "missing": (lambda p: None, "no such file"),
    "loop": (lambda p: p.symlink_to(p), "cannot be read"),
    "pipe": (os.mkfifo, "is not a regular file"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_say_what_is_wrong(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    make, message = BAD[kind]
    path = tmp_path / f"{kind}.mp4"
    make(path)
    capfd.readouterr()
    line = refused(path)
    assert message in line
    assert line.count(";") == 1  # what is wrong; what to do
    assert capfd.readouterr() == ("", "")


def test_a_cover_is_not_a_video(tmp_path: Path) -> None:
    with av.open(tmp_path / "cover.png", "w", format="image2") as out:
        stream = out.add_stream("png")
        stream.width, stream.height, stream.pix_fmt = 32, 32, "rgb24"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        out.mux(stream.encode(None))
    write_sound(tmp_path / "song.m4a")
    with (
        av.open(tmp_path / "song.m4a") as song,
        av.open(tmp_path / "cover.png") as cover,
        av.open(tmp_path / "with-cover.m4a", "w", format="mp4") as out,
    ):
        sound = out.add_stream_from_template(song.streams.audio[0])
        picture = out.add_stream_from_template(cover.streams.video[0])
        picture.disposition = av.stream.Disposition.attached_pic
        for packets, target in ((cover.demux(video=0), picture), (song.demux(audio=0), sound)):
            for packet in packets:
                if packet.size:
                    packet.stream = target
                    out.mux(packet)
    with av.open(tmp_path / "with-cover.m4a") as check:
        assert len(check.streams.video) == 1
    assert "audio only" in refused(tmp_path / "with-cover.m4a")


NAMES = [
    "日本語 — ñandú 🎬.mp4",
    "ü" * 125 + "x.mp4",
    "12:30 talk, 50%03d.mp4",
    "two\nlines.mp4",
    "-rf.mp4",
    os.fsdecode(b"\xff.mp4"),
]


@pytest.mark.parametrize("name", NAMES, ids=["unicode", "255 bytes", "colon", "newline", "dash", "not unicode"])
def test_names_are_only_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(os.fsencode(name)) == 255 or not name.startswith("ü")
    write_video(tmp_path / "a.mp4", steps(2, 10))
    (tmp_path / "a.mp4").rename(tmp_path / name)
    assert probe(tmp_path / name).duration_s == pytest.approx(2)
    monkeypatch.chdir(tmp_path)
    assert probe(Path(name)).duration_s == pytest.approx(2)
    (batch,) = sample_frames(tmp_path / name)
    assert [read_clock(frame) for frame in batch.frames] == batch.times.tolist() == [0, 1]
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(VideoError, match="is empty") as caught:
        probe(tmp_path / name)
    assert str(caught.value).isprintable()


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    assert "too long" in refused(tmp_path / ("x" * 300 + ".mp4"))


def test_metadata_in_another_encoding_is_no_obstacle(tmp_path: Path) -> None:
    write_video(tmp_path / "a.avi", steps(1, 10), codec="mpeg4", container_options={"fflags": "+bitexact"})
    with av.open(tmp_path / "a.avi") as source, av.open(tmp_path / "b.avi", "w") as out:
        out.metadata["title"] = "MARKER"
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    data = (tmp_path / "b.avi").read_bytes()
    assert b"MARKER" in data
    (tmp_path / "b.avi").write_bytes(data.replace(b"MARKER", "Müßig".encode("latin-1") + b"!"))
    assert probe(tmp_path / "b.avi").duration_s == pytest.approx(1)


def test_permission_denied() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = folder / "a.mp4"
        write_video(path, [0.0])
        path.chmod(0)
        skip_unless_denied(path)
        with as_nobody():
            assert "permission denied" in refused(path)


def test_a_list_of_other_files_is_no_video(tmp_path: Path) -> None:
    """Else it is opened as one, its neighbours with it, and a small text is hours of video."""
    write_video(tmp_path / "neighbour.mp4", steps(1, 5))
    path = tmp_path / "list.mp4"
    path.write_text("ffconcat version 1.0\n" + "file neighbour.mp4\n" * 3)
    assert "is of a kind that is not opened, such as a list of other files" in refused(path)


def test_pictures_that_are_too_large_are_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, steps(1, 5), draw=lambda _: np.zeros((160, 320, 3), np.uint8))
    monkeypatch.setenv("PRVR_MEGAPIXELS", "0.05")
    line = refused(path)
    assert "its pictures are 320 x 160, more than the 0.05 megapixels that are decoded" in line
    assert "PRVR_MEGAPIXELS allows more" in line
    monkeypatch.setenv("PRVR_MEGAPIXELS", "0.0512")
    assert probe(path).width == 320
    monkeypatch.setenv("PRVR_MEGAPIXELS", "many")
    with pytest.raises(ConfigError, match="PRVR_MEGAPIXELS: 'many' is impossible; give a number above 0"):
        probe(path)
