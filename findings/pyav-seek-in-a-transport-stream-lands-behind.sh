#!/usr/bin/env bash
# PyAV 18.1.0 (its own FFmpeg 8.1): `container.seek` to a second between two key frames, H.264 with one each 2 s, the same
# film in MP4, Matroska and a transport stream (as broadcasts, camcorders and recorders write it).
# Guess: seeking goes backward by default, so that the first picture that decodes is the key frame at or before that second.
# Seen: so it is in MP4 and Matroska. In the transport stream the first picture is that of the key frame after it, each time,
# up to a whole group too late, and even from 0 s on; in the last group nothing decodes at all. The demuxer goes to a packet
# near that time, whatever it is, and the decoder drops what it cannot build. No error tells of it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import av
import numpy as np


def write(name):
    with av.open(name, "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"g": "50", "keyint_min": "50", "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        noise = np.random.default_rng(0)
        for _ in range(250):  # 10 s
            picture = noise.integers(0, 255, (96, 128, 3), dtype=np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())


def landed(name, second):
    with av.open(name) as film:
        zero = next(film.decode(video=0)).time
    with av.open(name) as film:
        stream = film.streams.video[0]
        film.seek(round((second + zero) / stream.time_base), stream=stream)
        first = next(film.decode(stream), None)
        return None if first is None else round(first.time - zero, 2)


SECONDS = 0.0, 1.0, 3.0, 5.0, 7.0, 9.0
for name, expected in (
    ("film.mp4", [0.0, 0.0, 2.0, 4.0, 6.0, 8.0]),
    ("film.mkv", [0.0, 0.0, 2.0, 4.0, 6.0, 8.0]),
    ("film.ts", [2.0, 2.0, 4.0, 6.0, 8.0, None]),
):
    write(name)
    found = [landed(name, second) for second in SECONDS]
    print(name, "sought:", SECONDS, "first picture:", found)
    assert found == expected, (name, found)
PY
