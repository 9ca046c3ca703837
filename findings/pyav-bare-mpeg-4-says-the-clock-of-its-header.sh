#!/usr/bin/env bash
# PyAV 18.1.0 (its own FFmpeg 8.1): MPEG-4 part 2 without a container, written at 25, 30000/1001, 24000/1001 and 29.97.
# Guess: codec_context.framerate is the rate that was written, and average_rate agrees with it.
# Seen: framerate is the clock of the header (30000 for 30000/1001, 24000 for 24000/1001, 2997 for 29.97), and right only
# where a frame is one tick of it; average_rate is 25 whatever was written. guessed_rate and the stamps are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 numpy==2.3.5
cd "$work"
"$work/venv/bin/python" - <<'PY'
from fractions import Fraction

import av
import numpy as np

for rate, clock in ((25, 25), (Fraction(30000, 1001), 30000), (Fraction(24000, 1001), 24000), (Fraction("29.97"), 2997)):
    with av.open("film.m4v", "w", format="m4v") as out:
        stream = out.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in range(0, 240, 8):
            image = np.full((48, 64, 3), level, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode())
    with av.open("film.m4v") as film:
        stream = film.streams.video[0]
        said = stream.codec_context.framerate, stream.average_rate, stream.guessed_rate
        last = [frame.time for frame in film.decode(video=0)][-1]
    print(f"{rate}: framerate {said[0]}, average {said[1]}, guessed {said[2]}, picture 30 at {last:.4f} s")
    assert said[:2] == (clock, 25), said
    assert abs(float(said[2]) - float(rate)) < 0.001 and abs(last - 29 / float(rate)) < 0.001, (said, last)
PY
