"""Small files of every kind, written by the tests themselves, with the time of each frame drawn into its picture."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.video.stream import VideoStream
from numpy.typing import NDArray
from torch import Tensor

from prvr.video.decode import sample_frames

Image = NDArray[np.uint8]

BITS = 20
CELL = 8  # pixels of one bit; survives any codec
WIDTH, HEIGHT = BITS * CELL, 48
MS = Fraction(1, 1000)
SOUND = 32_000  # samples a second


def steps(duration_s: float, rate: float) -> list[float]:
    """Times of a constant rate, in seconds."""
    return [i / rate for i in range(round(duration_s * rate))]


def draw_clock(time_s: float, *, width: int = WIDTH, height: int = HEIGHT) -> Image:
    """The milliseconds as black and white cells along the top, grey below: no turn or flip of it reads the same."""
    image = np.full((height, width, 3), 128, np.uint8)
    for bit in range(BITS):
        image[: height // 2, bit * CELL : (bit + 1) * CELL] = 255 * (round(time_s * 1000) >> bit & 1)
    return image


def read_clock(frame: Tensor) -> float:
    """frame (3, h, w) -> the seconds that were drawn into it."""
    grey = frame.float().mean(0).numpy()
    rows = slice(grey.shape[0] // 8, grey.shape[0] // 3)
    cells = [grey[rows, bit * CELL + 2 : (bit + 1) * CELL - 2].mean() for bit in range(BITS)]
    assert np.mean(np.abs(grey[grey.shape[0] * 3 // 4 :] - 128)) < 16, "the lower part is not grey: not upright"
    assert all(cell < 64 or cell > 191 for cell in cells), f"not a clock: {cells}"
    return sum(1 << bit for bit, cell in enumerate(cells) if cell > 128) / 1000


def sampled(path: Path, *, rate: float = 1.0, max_frames: int | None = None) -> tuple[list[float], list[float]]:
    """Times as delivered, and as read from the pictures."""
    times, drawn = [], []
    for batch in sample_frames(path, rate=rate, max_frames=max_frames):
        assert batch.frames.dtype == torch.uint8
        assert batch.frames.is_contiguous()
        assert batch.times.dtype == torch.float64
        assert len(batch.frames) == len(batch.times)
        times += batch.times.tolist()
        drawn += [read_clock(frame) for frame in batch.frames]
    assert times == sorted(set(times))
    return times, drawn


def write_video(
    path: Path | Unseekable,
    times: Sequence[float],
    *,
    draw: Callable[[float], Image] = draw_clock,
    codec: str = "libx264",
    container: str | None = None,
    offset_s: float = 0.0,
    rotation: int = 0,
    gop: int = 250,
    sound: bool | str = False,
    sound_from_s: float | None = None,
    pixel_aspect: Fraction | None = None,
    matrix: Sequence[int] | None = None,
    interlaced: bool = False,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> None:
    """One frame a time; rotation: the stored picture is turned clockwise, and a flag says how to turn it back.

    sound: a tone, or in which codec. interlaced: the lines of a picture are said to be of two fields.
    """
    with av.open(path, "w", format=container, options=container_options or {}) as out:
        raw = path.suffix in (".h264", ".h265") if isinstance(path, Path) else False  # their header tells the rate
        rate = Fraction(1 / min((b - a for a, b in pairwise(times)), default=0.04)).limit_denominator(1001)
        video = out.add_stream(codec, rate=rate, options={"g": str(gop), **(options or {})})
        assert isinstance(video, VideoStream)
        stored = [np.rot90(draw(time), -rotation // 90) for time in times]
        video.height, video.width = stored[0].shape[:2]
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = 1 / rate if codec.startswith("mpeg2") or raw else MS
        if pixel_aspect:
            video.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation:
            video.set_display_rotation(rotation)
        if matrix:
            video.set_display_matrix(matrix)
        if interlaced:
            video.codec_context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        audio, begins = None, offset_s if sound_from_s is None else sound_from_s
        if sound:
            audio = out.add_stream("aac" if sound is True else sound, rate=SOUND, layout="mono")
        for time, image in zip(times, stored, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = round((time + offset_s) * 1000), MS
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if isinstance(audio, AudioStream):
            write_tone(out, audio, times[-1] + offset_s - begins, offset_s=begins)


def leap(source: Path, out: Path, *, at_s: float, by_s: float) -> Path:
    """The same packets in another file; the stamps of all streams leap ahead on the way."""
    with av.open(source) as read, av.open(out, "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in read.streams}
        for packet in read.demux():
            if packet.dts is None or packet.pts is None:
                continue
            if packet.dts * packet.time_base >= at_s:
                ticks = round(by_s / packet.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            packet.stream = streams[packet.stream_index]
            target.mux(packet)
    return out


def write_tone(out: Any, audio: AudioStream, duration_s: float, *, offset_s: float = 0.0) -> None:
    """A 440 Hz tone of that length."""
    wave = np.sin(np.arange(int(duration_s * SOUND)) * (2 * np.pi * 440 / SOUND)).astype(np.float32)
    for start in range(0, len(wave), 1024):
        tone = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
        tone.sample_rate, tone.pts, tone.time_base = SOUND, start + round(offset_s * SOUND), Fraction(1, SOUND)
        out.mux(audio.encode(tone))
    out.mux(audio.encode(None))


def write_sound(path: Path) -> None:
    """A second of sound without a picture."""
    with av.open(path, "w") as out:
        audio = out.add_stream("aac", rate=SOUND, layout="mono")
        assert isinstance(audio, AudioStream)
        write_tone(out, audio, 1.0)


class Unseekable:
    """A file that can only be written to its end, like a pipe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(b"")

    def write(self, data: bytes) -> int:
        with self.path.open("ab") as file:
            return file.write(data)


def cut_short(path: Path, out: Path, share: float) -> Path:
    """The first part of a file, as after a copy that broke off."""
    data = path.read_bytes()
    out.write_bytes(data[: int(len(data) * share)])
    return out


def spoil_packets(path: Path, first: int, last: int) -> None:
    """Overwrite the packets number `first` to `last` - 1 of the video with noise."""
    with av.open(path) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.pos is not None and p.size]
    data = bytearray(path.read_bytes())
    for position, size in places[first:last]:
        data[position : position + size] = b"\xff" * size
    path.write_bytes(data)


def declare_duration_mp4(path: Path, seconds: int) -> None:
    """Patch what an MP4 says of its own length, in every place where it does, but not the table of its samples."""
    data = bytearray(path.read_bytes())
    scale = 1000
    for name, duration_at in ((b"mvhd", 20), (b"tkhd", 24), (b"elst", 12), (b"mdhd", 20)):
        at = data.index(name)
        assert data[at + 4] == 0, "another version has other places"
        if name in (b"mvhd", b"mdhd"):
            (scale,) = struct.unpack_from(">I", data, at + 16)
        struct.pack_into(">I", data, at + duration_at, min(seconds * scale, 0x7FFF_FFFF))
    path.write_bytes(data)


def declare_duration_mkv(path: Path, seconds: float) -> None:
    """Patch the Duration element of a Matroska file."""
    data = bytearray(path.read_bytes())
    struct.pack_into(">d", data, data.index(b"\x44\x89\x88") + 3, seconds * 1000)
    path.write_bytes(data)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, where the tests have them."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def skip_unless_denied(path: Path) -> None:
    """Skip where the machine lets everybody read everything."""
    with as_nobody(), suppress(PermissionError):
        path.stat()
        if path.is_file():
            path.open("rb").close()
        else:
            list(path.iterdir())
        pytest.skip("this file system knows no permissions")
