#!/usr/bin/env bash
# imageio 2.38.1 with its plugin for PyAV 18.1.0: a film of 80 frames whose rate changes, 10 frames/s for 2 s and 30 frames/s
# after it, as telephones and screen recorders write it.
# Guess: imread(index=n) is the n-th picture that imiter hands out, as `improps` counts them.
# Seen: up to 59 it is; 60 is picture 20, 65 is 25 and 79 is 39. The index is taken as a time at 30 frames/s, imageio goes to
# the key frame there (at 2 s, which is picture 20), takes its number from its time (60), and counts on from it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check imageio==2.38.1 av==18.1.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
from fractions import Fraction

import av
import imageio.v3 as iio
import numpy as np

with av.open("film.mp4", "w") as out:
    stream = out.add_stream("libx264", rate=25, options={"qp": "0", "bf": "0", "g": "20"})
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
    stream.codec_context.time_base = Fraction(1, 1000)
    for number in range(80):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 3 * number, np.uint8), format="rgb24")
        frame.pts, frame.time_base = number * 100 if number < 20 else 2000 + (number - 20) * 1000 // 30, Fraction(1, 1000)
        out.mux(stream.encode(frame))
    out.mux(stream.encode())


def number_of(picture):
    return round(float(picture.mean()) / 3)


inorder = [number_of(picture) for picture in iio.imiter("film.mp4", plugin="pyav")]
assert inorder == list(range(80)), inorder
count = iio.improps("film.mp4", plugin="pyav").shape[0]
found = {}
for index in (5, 30, 59, 60, 65, 79):
    found[index] = number_of(iio.imread("film.mp4", plugin="pyav", index=index))
rate = iio.immeta("film.mp4", plugin="pyav")["fps"]
print("frames:", count, "rate:", rate, "index -> picture:", found)
assert count == 80 and rate == 30.0, (count, rate)
assert found == {5: 5, 30: 30, 59: 59, 60: 20, 65: 25, 79: 39}, found
PY
