"""What a file holds, found by opening it, decoding its first picture and looking at its last packets."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from prvr.core.types import VideoInfo
from prvr.video.clock import Clock, Length, declared_rate, measure, start_clock
from prvr.video.picture import rotation_of
from prvr.video.source import ReadDamage, Source, decoded, no_frame, open_video, sound_of

BROWSER_H264 = ("yuv420p", "yuvj420p")  # 8 bit, 4:2:0
BROWSER_AUDIO = (None, "aac", "mp3", "opus", "vorbis", "flac")


def probe(path: Path) -> VideoInfo:
    """Length, size, codecs and rate of a video file; only its first picture is decoded.

    The duration runs from the first frame to the end of the last by their time stamps (see `measure`), whatever the
    file declares. Width, height and rotation are those of the first picture, as it is shown but for the pixel aspect
    ratio. A file of which no picture decodes is a VideoError, like every other file that is not a video.
    """
    length = measure(path)
    with open_video(path) as source:
        clock, packets = start_clock(source, ReadDamage())
        first = next(decoded(source.stream, packets, ReadDamage()), None)
        if first is None:
            raise no_frame(path)
        rotation = rotation_of(first)
        width, height = (first.height, first.width) if rotation % 180 else (first.width, first.height)
        rate = _rate(source, clock, length)
        return VideoInfo(
            path=path,
            duration_s=length.duration_s,
            width=width,
            height=height,
            rotation=rotation,
            pixel_aspect=_pixel_aspect(source, rotation),
            video_codec=_video_codec(source),
            audio_codec=_audio_codec(source),
            rate=rate,
            variable_rate=_varies(clock, rate),
            browser_playable=_plays(path, source),
            container=source.container.format.long_name.split(" / ")[0].split(" (")[0],
            copyable=_known_pictures(source) and clock.start is not None and not clock.by_dts,
        )


def _video_codec(source: Source) -> str:
    return source.stream.codec_context.codec.canonical_name


def _audio_codec(source: Source) -> str | None:
    sound = sound_of(source.container)
    return None if sound is None else sound.codec_context.codec.canonical_name


def _rate(source: Source, clock: Clock, length: Length) -> float:
    """Average frames per second: counted where the file or the scan counts, else as the first seconds show it."""
    count = length.packets or (0 if clock.by_dts else source.stream.frames)  # AVI counts empty frames too
    if count and length.duration_s > 0:
        return count / length.duration_s
    declared = float(declared_rate(source.stream))
    if not clock.gaps:
        return declared
    seen = len(clock.gaps) / clock.seconds(sum(clock.gaps))
    return declared if abs(seen / declared - 1) < 0.01 else seen


def _pixel_aspect(source: Source, rotation: int) -> float:
    """Width of a pixel over its height, as the upright picture is shown; 1 where the file says nothing usable."""
    said = source.stream.sample_aspect_ratio
    aspect = float(said) if said and 0.1 < said < 10 else 1.0
    return 1 / aspect if rotation % 180 else aspect


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


def _plays(path: Path, source: Source) -> bool:
    """Whether browsers play the file as it is, by container and codecs.

    MP4 and MOV with H.264 (8 bit, 4:2:0), VP9 or AV1, and WebM with VP8, VP9 or AV1. Debian's Chromium was seen to
    play H.264, VP8, VP9 and AV1, fragmented, rotated and of varying rate, and not to play MPEG-4 part 2, HEVC, AVI and
    MPEG-TS; other containers, 10-bit H.264 and sound that only some browsers have (AC-3, ...) count as not playable,
    because the cost of a wrong no is one conversion.
    """
    if _audio_codec(source) not in BROWSER_AUDIO:
        return False
    codec, names = _video_codec(source), source.container.format.name.split(",")
    if "mp4" in names:
        return _known_pictures(source)
    if "webm" in names:  # FFmpeg reads Matroska and WebM as one format; the file's first element tells them apart
        with path.open("rb") as file:
            return codec in ("vp8", "vp9", "av1") and b"webm" in file.read(64)
    return False


def _known_pictures(source: Source) -> bool:
    """Whether browsers play the pictures from an MP4: H.264 (8 bit, 4:2:0), VP9, AV1."""
    codec = _video_codec(source)
    return codec in ("vp9", "av1") or (codec == "h264" and source.stream.codec_context.pix_fmt in BROWSER_H264)
