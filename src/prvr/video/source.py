"""Opening a file as a video, and saying in one line why that did not work."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from prvr.core.errors import VideoError

AnyStream = TypeVar("AnyStream", VideoStream, AudioStream)
VideoPacket: TypeAlias = "Packet[VideoStream]"

# A file may be a play list in disguise; nothing that is read here may lead to the network.
OPTIONS = {"protocol_whitelist": "file"}


class NoFrame(VideoError):
    """A file that opens as a video, but shows nothing."""


class Source(NamedTuple):
    """An open file and the stream of it that is the video."""

    container: InputContainer
    stream: VideoStream


@dataclass
class ReadDamage:
    """What was lost or flagged on the way; it grows while a file is read."""

    packets: int = 0  # could not be read or decoded
    frames: int = 0  # decoded, but flagged by the decoder as damaged, or not convertible


def shown(path: Path) -> str:
    """The path as one printable line, whatever bytes its name is made of."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def check_file(path: Path) -> None:
    """Raise VideoError unless `path` is a regular file with something in it that we may read."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise VideoError(f"{shown(path)}: is a folder, not a video file; give the path of a file in it")
        if not stat.S_ISREG(found.st_mode):
            raise VideoError(f"{shown(path)}: is not a regular file; give the path of a video file")
        if not found.st_size:
            raise VideoError(f"{shown(path)}: is empty (0 bytes); copy or record it again, or remove it")
        path.open("rb").close()
    except FileNotFoundError:
        raise VideoError(f"{shown(path)}: no such file; check the path") from None
    except PermissionError:
        raise VideoError(f"{shown(path)}: permission denied; make the file and its folder readable for you") from None
    except OSError as error:
        raise VideoError(f"{shown(path)}: cannot be read ({error.strerror}); check the path and the disk") from None


@contextmanager
def open_video(path: Path, *, threads: int = 1) -> Iterator[Source]:
    """The open container and its first video stream; pictures that are only cover art do not count."""
    check_file(path)
    with ExitStack() as stack:
        source: object
        try:
            # `file:` keeps a colon in a name from being read as a protocol.
            source = f"file:{path}".encode().decode()
        except UnicodeEncodeError:  # PyAV passes names on as UTF-8 only
            source = stack.enter_context(path.open("rb"))
        try:
            container = av.open(source, "r", options=OPTIONS, metadata_errors="replace")
        except av.error.FFmpegError as error:
            raise VideoError(
                f"{shown(path)}: is not a video that FFmpeg can read ({error.strerror}); "
                "it may be cut off or something else under this name: check that it plays, or leave it out"
            ) from None
        stack.enter_context(container)
        stream = _video_stream(container, path)
        stream.codec_context.thread_count = threads
        if threads != 1:  # 0: as many as there are cores
            stream.thread_type = "AUTO"
        yield Source(container, stream)


def packets_of(container: InputContainer, stream: AnyStream, damage: ReadDamage) -> Iterator[Packet[AnyStream]]:
    """The packets of a stream from where the container stands; a read error ends the file there."""
    while True:
        try:
            yield from container.demux(stream)
        except IndexError:
            continue  # PyAV stumbles over streams that begin on the way; behind that packet it can read on
        except av.error.FFmpegError:
            damage.packets += 1
        return


def decoded(stream: VideoStream, packets: Iterator[VideoPacket], damage: ReadDamage) -> Iterator[VideoFrame]:
    """Every picture that can be decoded, in the order of presentation; a bad packet is counted and passed over."""
    for packet in packets:
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            damage.packets += 1
            continue
        for frame in frames:
            damage.frames += frame.is_corrupt
            yield frame
    try:  # where reading broke off, the decoder still holds pictures
        rest = stream.decode(None)
    except av.error.FFmpegError:
        return
    yield from rest


def sound_of(container: InputContainer) -> AudioStream | None:
    """The sound that players begin with: the first default one that FFmpeg can decode, else the first."""
    known = [s for s in container.streams.audio if getattr(s, "codec_context", None) is not None]
    return min(known, key=lambda sound: not sound.disposition & Disposition.default, default=None)


def no_frame(path: Path) -> NoFrame:
    """The error for a file that opens but shows nothing."""
    return NoFrame(
        f"{shown(path)}: no frame could be decoded; it is damaged or cut off: check that it plays, or leave it out"
    )


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    # A stream whose codec this FFmpeg does not know has no codec context, whatever the type stubs say.
    usable = [s for s in streams if getattr(s, "codec_context", None) is not None]
    if usable:
        return usable[0]
    if streams:
        raise VideoError(
            f"{shown(path)}: its codec is not one that FFmpeg can decode; convert it to H.264 or VP9 first"
        )
    if container.streams.audio:
        raise VideoError(f"{shown(path)}: has no video stream (audio only); leave it out")
    raise VideoError(f"{shown(path)}: has no video stream (nor sound); it may be cut off: check that it plays")
