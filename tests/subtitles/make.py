"""Small videos with subtitle tracks inside."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.packet import Packet
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

HEAD = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,16

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
MS = Fraction(1, 1000)


def write_spoken(
    path: Path,
    *tracks: tuple[str, Sequence[tuple[int, int, str]]],
    languages: Sequence[str] = (),
    late_s: int = 0,
) -> None:
    """Four grey seconds, from `late_s` on, with tracks: a codec, and the start, the end (milliseconds) and the text of
    each line.
    """
    with av.open(path, "w") as out:
        video = out.add_stream("libx264", rate=5, options={"bf": "0", "preset": "ultrafast"})
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        streams = []
        for number, (codec, _) in enumerate(tracks):
            stream = out.add_stream(codec)
            assert isinstance(stream, SubtitleStream)
            stream.codec_context.subtitle_header = HEAD
            stream.time_base = MS
            if languages:
                stream.metadata["language"] = languages[number]
            streams.append(stream)
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 128, np.uint8))
        packets = [packet for picture in [frame] * 20 + [None] for packet in video.encode(picture)]
        for packet in packets:
            late = int(late_s / (packet.time_base or 1))
            packet.pts, packet.dts = (packet.pts or 0) + late, (packet.dts or 0) + late
        for stream, (codec, rows) in zip(streams, tracks, strict=True):
            for number, (start, end, text) in enumerate(rows):
                said = text.encode()
                if codec == "mov_text":
                    said = len(said).to_bytes(2) + said
                elif codec == "ass":
                    said = f"{number},0,Default,,0,0,0,,{text}".encode()
                packet = Packet(said)
                packet.pts = packet.dts = start
                packet.duration, packet.time_base, packet.stream = end - start, MS, stream
                packets.append(packet)
        out.mux(sorted(packets, key=lambda packet: float((packet.dts or 0) * packet.time_base)))
