"""Opening a file as a video, and saying in one line why that did not work."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from prvr.core.errors import VideoError
from prvr.core.files import there
from prvr.video.bounds import FORMATS, most_pixels

VideoPacket: TypeAlias = "Packet[VideoStream]"

# A file may be a play list in disguise; nothing that is read here may lead to the network, or to another file.
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
NOT_OPENED = "is of a kind that is not opened, such as a list of other files; if it is a video, convert it to MP4 first"
NO_FILM = Disposition.attached_pic | Disposition.timed_thumbnails
JPEG = b"\xff\xd8\xff"
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
STILL_CODECS = ("mjpeg", "png", "bmp", "tiff", "webp", "gif", "jpeg2000", "jpegls")


class NoFrame(VideoError):
    """A file that opens as a video, but shows nothing."""


class Source(NamedTuple):
    """An open file, the stream of it that is the film, and the one that is its sound."""

    container: InputContainer
    stream: VideoStream
    sound: AudioStream | None
    joined: bool = False  # a Matroska file that another was appended to

    @property
    def formats(self) -> list[str]:
        """The names that FFmpeg has for the container."""
        return self.container.format.name.split(",")


@dataclass
class ReadDamage:
    """What was lost or flagged on the way; it grows while a file is read."""

    packets: int = 0  # could not be read or decoded
    frames: int = 0  # decoded, but flagged by the decoder as damaged, or not convertible


def shown(path: Path) -> str:
    """The path as one printable line, whatever bytes its name is made of."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def check_there(paths: Iterable[Path]) -> None:
    """Raises VideoError for the first that leads nowhere; what is in the others is looked at when they are read."""
    for path in paths:
        if not there(path):
            check_file(path)


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
    """The open container, and the film and the sound in it (see `film_of` and `sound_of`)."""
    check_file(path)
    with ExitStack() as stack:
        source: object
        try:
            # `file:` keeps a colon in a name from being read as a protocol.
            source = f"file:{path}".encode().decode()
        except UnicodeEncodeError:  # PyAV passes names on as UTF-8 only
            source = stack.enter_context(path.open("rb"))
        try:
            container = _opened(source, path)
        except av.error.FFmpegError as error:
            if error.errno == errno.EINVAL:
                raise VideoError(f"{shown(path)}: {NOT_OPENED}") from None
            raise VideoError(
                f"{shown(path)}: is not a video that FFmpeg can read ({error.strerror}); "
                "it may be cut off or something else under this name: check that it plays, or leave it out"
            ) from None
        stack.enter_context(container)
        stream = film_of(container, path)
        _check_size(stream, path)
        stream.codec_context.thread_count = threads
        if threads != 1:  # 0: as many as there are cores
            stream.thread_type = "AUTO"
        joined = "matroska" in container.format.name and another_follows(path)
        yield Source(container, stream, sound_of(container, stream), joined)


def _opened(source: Any, path: Path) -> InputContainer:
    """The container. By its name FFmpeg takes x.jpg for one of a numbered series, which is not opened; it is a picture.

    Raises FFmpegError.
    """
    try:
        container: InputContainer = av.open(source, "r", options=OPTIONS, metadata_errors="replace")
    except av.error.FFmpegError as error:
        with path.open("rb") as file:
            if error.errno != errno.EINVAL or file.read(len(JPEG)) != JPEG:
                raise
        container = av.open(source, "r", format="jpeg_pipe", options=OPTIONS, metadata_errors="replace")
    return container


def another_follows(path: Path) -> bool:
    """Whether behind the segment of a Matroska file (RFC 9559) another one begins; FFmpeg reads on there."""
    try:
        with path.open("rb") as file:
            for wanted in (EBML, SEGMENT):
                if file.read(4) != wanted:
                    return False
                first = file.read(1)
                length = 9 - first[0].bit_length()  # of the number, in bytes
                number = int.from_bytes(first + file.read(length - 1)) - (1 << 7 * length)
                if number == (1 << 7 * length) - 1:  # a recording that was going on: nobody knows its length
                    return False
                file.seek(number, os.SEEK_CUR)
            return file.read(4) == EBML
    except (OSError, IndexError):
        return False


def packets_of(
    container: InputContainer, streams: Sequence[VideoStream | AudioStream], damage: ReadDamage
) -> Iterator[Packet[Any]]:
    """The packets of some streams from where the container stands; a read error ends the file there."""
    while True:
        try:
            yield from container.demux(*streams)
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


def _check_size(stream: VideoStream, path: Path) -> None:
    """Raises VideoError where a picture is larger than is decoded; what becomes larger on the way is damage."""
    most, size = most_pixels(), (stream.codec_context.width, stream.codec_context.height)
    if size[0] * size[1] > most:
        raise VideoError(
            f"{shown(path)}: its pictures are {size[0]} x {size[1]}, more than the {most / 1e6:g} megapixels that are "
            "decoded, since memory goes with them; PRVR_MEGAPIXELS allows more"
        )
    stream.codec_context.options = {**stream.codec_context.options, "max_pixels": str(most)}


def film_of(container: InputContainer, path: Path) -> VideoStream:
    """The stream that is the film: what moves before what stands still, then what the file calls its default.

    Cover art never is. Where that leaves several, FFmpeg's own choice counts (`av_find_best_stream`), then the first.
    An MP4 calls a track that is switched off not default; the still picture beside an animated AVIF is one frame long.
    Raises VideoError where there is none that can be decoded.
    """
    streams = [s for s in container.streams.video if not s.disposition & NO_FILM]
    # A stream whose codec this FFmpeg does not know has no codec context, whatever the type stubs say.
    usable = [s for s in streams if getattr(s, "codec_context", None) is not None]
    if usable:
        best = container.streams.best("video") if len(usable) > 1 else None
        return max(usable, key=lambda s: (not _stands_still(s), _is_default(s), s is best, -s.index))
    if streams:
        raise VideoError(
            f"{shown(path)}: its codec is not one that FFmpeg can decode; convert it to H.264 or VP9 first"
        )
    if container.streams.audio:
        raise VideoError(f"{shown(path)}: has no video stream (audio only); leave it out")
    raise VideoError(f"{shown(path)}: has no video stream (nor sound); it may be cut off: check that it plays")


def sound_of(container: InputContainer, film: VideoStream) -> AudioStream | None:
    """The default sound of those that can be decoded; else FFmpeg's choice, of the film's programme; else the first."""
    known = [s for s in container.streams.audio if getattr(s, "codec_context", None) is not None]
    if len(known) < 2:
        return known[0] if known else None
    best = container.streams.best("audio", related=film)
    return max(known, key=lambda s: (_is_default(s), s is best, -s.index))


def choice_of(source: Source) -> tuple[str, ...]:
    """Which streams were taken and why, a line each where there was a choice."""
    lines = []
    for kind, taken, among in (
        ("picture", source.stream, source.container.streams.video),
        ("sound", source.sound, source.container.streams.audio),
    ):
        if taken is None or len(among) < 2:
            continue
        others = [s for s in among if s.index != taken.index]
        if kind == "picture" and all(s.disposition & NO_FILM or _stands_still(s) for s in others):
            why = "the others are covers or stills"
        elif _is_default(taken) and not all(_is_default(s) for s in others):
            why = "the file's default"
        else:
            why = "the file names no other as its default"
        lines.append(f"{kind}: stream {taken.index}, one of {len(among)} ({why})")
    return tuple(lines)


def _is_default(stream: Stream) -> bool:
    return bool(stream.disposition & Disposition.default)


def _stands_still(stream: VideoStream | AudioStream) -> bool:
    """Whether a stream is one picture, as far as the file says; without a count an image codec says so."""
    if stream.disposition & Disposition.still_image or stream.frames == 1:
        return True
    codec = getattr(stream, "codec_context", None)
    return not stream.frames and codec is not None and codec.name in STILL_CODECS


def no_frame(path: Path) -> NoFrame:
    """The error for a file that opens but shows nothing."""
    return NoFrame(
        f"{shown(path)}: no frame could be decoded; it is damaged or cut off: check that it plays, or leave it out"
    )
