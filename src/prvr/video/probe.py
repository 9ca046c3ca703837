"""What a file holds, found by opening it, decoding its first picture and looking at its last packets."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from av.video.frame import VideoFrame

from prvr.core.errors import VideoError
from prvr.core.facts import VideoInfo
from prvr.core.text import count
from prvr.video.clock import LATE_S, Clock, Length, declared_rate, is_raw, measure, start_clock
from prvr.video.light import hdr_of
from prvr.video.picture import turn_of, usable_aspect
from prvr.video.source import NO_FILM, ReadDamage, Source, choice_of, decoded, no_frame, open_video

BROWSER_H264 = ("yuv420p", "yuvj420p")  # 8 bit, 4:2:0
READING = 2  # the way in which files are read; it changes with their times or pictures
MOVED_S = 0.1  # times that differ by more are to be told anew
BROWSER_AUDIO = (None, "aac", "mp3", "opus", "vorbis", "flac")


def probe(path: Path) -> VideoInfo:
    """Length, size, codecs and rate of a video file; only its first picture is decoded.

    The duration is the second of the file's clock at which the last frame ends, by time stamps (see `measure`),
    whatever the file declares. Width, height and rotation are those of the first picture, as it is shown but for the
    pixel aspect ratio. A file of which no picture decodes is a VideoError, like every other file that is not a video.
    """
    length = measure(path)
    with open_video(path) as source:
        clock, packets = start_clock(source, ReadDamage())
        first = next(decoded(source.stream, packets, ReadDamage()), None)
        if first is None:
            raise no_frame(path)
        turn = turn_of(first)
        width, height = (first.height, first.width) if turn.swaps else (first.width, first.height)
        aspect = usable_aspect(source.stream.sample_aspect_ratio)
        rate = _rate(source, clock, length)
        return VideoInfo(
            path=path,
            duration_s=length.end_s,
            width=width,
            height=height,
            rotation=turn.degrees,
            pixel_aspect=1 / aspect if turn.swaps else aspect,
            video_codec=_video_codec(source),
            audio_codec=_audio_codec(source),
            rate=rate,
            variable_rate=_varies(clock, rate),
            browser_playable=_plays(path, source, clock, length),
            container=source.container.format.long_name.split(" / ")[0].split(" (")[0],
            copyable=_known_pictures(source) and clock.start is not None and not clock.by_dts,
            mirrored=turn.mirrored,
            start_s=length.start_s,
            notes=_notes(source, length, first),
        )


def reads_otherwise(path: Path) -> bool:
    """Whether a file that the first way of reading took is another film, or at other times, by now.

    That counted from the first picture of the first stream, believed leaps and every step back, showed fields, light
    and mirrored pictures as they are stored, and played bare streams at 25 frames a second.
    """
    try:
        length = measure(path)
        with open_video(path) as source:
            _, packets = start_clock(source, ReadDamage())
            first = next(decoded(source.stream, packets, ReadDamage()), None)
            if first is None:
                return False
            odd = first.interlaced_frame or hdr_of(first) is not None or turn_of(first).mirrored
            film = min((s.index for s in source.container.streams.video if not s.disposition & NO_FILM), default=None)
            own = is_raw(source) and declared_rate(source.stream, raw=True) != declared_rate(source.stream)
            moved = length.start_s > MOVED_S or length.leaps > 0 or "mpeg" in source.formats
            return bool(odd or own or moved or film != source.stream.index)
    except VideoError:
        return False  # what was read is kept


def _notes(source: Source, length: Length, first: VideoFrame) -> tuple[str, ...]:
    """What is odd about a file, a line each."""
    lines = list(choice_of(source))
    if length.start_s > MOVED_S:
        lines.append(f"time: the first picture is shown at {length.start_s:.3f} s of the file's clock")
    if length.leaps:
        lines.append(f"time: the stamps leap {count(length.leaps, 'time')}; time goes on without the holes")
    if first.interlaced_frame:
        lines.append("picture: interlaced; shown deinterlaced")
    if hdr := hdr_of(first):
        lines.append(f"picture: HDR ({hdr}); shown as on an ordinary screen")
    if turn_of(first).mirrored:
        lines.append("picture: stored mirrored; shown as it is meant")
    return tuple(lines)


def _video_codec(source: Source) -> str:
    return source.stream.codec_context.codec.canonical_name


def _audio_codec(source: Source) -> str | None:
    return None if source.sound is None else source.sound.codec_context.codec.canonical_name


def _rate(source: Source, clock: Clock, length: Length) -> float:
    """Shown pictures over shown seconds: counted where the file or the scan counts, else as the first seconds show."""
    declared = float(declared_rate(source.stream, raw=is_raw(source)))
    shown = length.packets or _shown_frames(source, clock)
    if is_raw(source) and abs(declared * length.shown_s - (shown or 0)) < 2:
        return declared  # some stamps of bare streams are made up by FFmpeg
    if shown and length.shown_s > 0:
        return shown / length.shown_s
    if not clock.gaps:
        return declared
    seen = len(clock.gaps) / clock.span(sum(clock.gaps))
    return declared if abs(seen / declared - 1) < 0.01 else seen


def _shown_frames(source: Source, clock: Clock) -> int:
    """How many frames a file says that it shows; 0 where it does not say. An edit list hides some of those it has."""
    if clock.by_dts or not source.stream.frames:  # AVI counts empty frames too
        return 0
    if "mp4" not in source.formats:
        return source.stream.frames
    return sum(not entry.is_discard for entry in source.stream.index_entries)


def _varies(clock: Clock, rate: float) -> bool:
    """Whether frames come at varying distances.

    They do when at the start of the file (250 packets) one distance differs from the usual one by more than a tenth
    and more than two ticks of the file's clock, or when the usual distance there is not that of the whole file, by
    more than a twentieth. A constant rate with dropped frames is a varying one.
    """
    if not clock.gaps:
        return False
    usual = median(clock.gaps)
    uneven = any(abs(gap - usual) > max(0.1 * usual, 2) for gap in clock.gaps)
    return uneven or abs(rate * float(usual * clock.tick) - 1) > 0.05


def _plays(path: Path, source: Source, clock: Clock, length: Length) -> bool:
    """Whether browsers play the file as it is, the right stream at the right time, by container and codecs.

    MP4 and MOV with H.264 (8 bit, 4:2:0), VP9 or AV1, and WebM with VP8, VP9 or AV1. Debian's Chromium was seen to
    play H.264, VP8, VP9 and AV1, fragmented, rotated and of varying rate, and not to play MPEG-4 part 2, HEVC, AVI and
    MPEG-TS; other containers, 10-bit H.264 and sound that only some browsers have (AC-3, ...) count as not playable,
    because the cost of a wrong no is one conversion. Neither are files whose stamps leap, since a browser waits in the
    hole; WebM whose film is not its first stream; and MP4 in which nothing at all begins at 0, since Chromium takes its
    length for its end.
    """
    if _audio_codec(source) not in BROWSER_AUDIO or length.leaps or clock.zero > 0:
        return False
    codec = _video_codec(source)
    if "mp4" in source.formats:
        return _known_pictures(source) and (source.container.start_time or 0) / 1e6 <= LATE_S
    if "webm" in source.formats:  # FFmpeg reads Matroska and WebM as one format; the first element tells them apart
        first = source.stream.index == min(stream.index for stream in source.container.streams.video)
        with path.open("rb") as file:
            return first and codec in ("vp8", "vp9", "av1") and b"webm" in file.read(64)
    return False


def _known_pictures(source: Source) -> bool:
    """Whether browsers play the pictures from an MP4: H.264 (8 bit, 4:2:0), VP9, AV1."""
    codec = _video_codec(source)
    return codec in ("vp9", "av1") or (codec == "h264" and source.stream.codec_context.pix_fmt in BROWSER_H264)
