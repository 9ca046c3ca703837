"""Scripts to files: VP8 in WebM, which browsers play and nobody has to pay for."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from prvr.core.files import write_whole
from prvr.data.world.acts import HEIGHT, RATE, WIDTH, Script
from prvr.data.world.render import frame_times, render

KEYFRAME_EVERY = 8 * RATE  # frames
# A speed below zero is that speed; one above zero is a share of the processor, and files would follow its load.
OPTIONS = {"deadline": "realtime", "cpu-used": "-8", "auto-alt-ref": "0", "lag-in-frames": "0", "static-thresh": "100"}


def film(script: Script) -> bytes:
    """The content of a video file."""
    buffer = io.BytesIO()
    to_yuv = VideoReformatter()  # one for all frames: making the converter costs more than converting
    with av.open(buffer, "w", format="webm", options={"fflags": "+bitexact"}) as container:  # no random ids
        stream: VideoStream = container.add_stream("libvpx", rate=RATE, options=OPTIONS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = script.bit_rate
        stream.time_base = Fraction(1, RATE)
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = KEYFRAME_EVERY
        for i, time in enumerate(frame_times(script)):
            frame = to_yuv.reformat(av.VideoFrame.from_ndarray(render(script, time), format="rgb24"), format="yuv420p")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def film_to(script: Script, path: Path) -> None:
    """Make one file, whole or not at all."""
    write_whole(path, film(script))
