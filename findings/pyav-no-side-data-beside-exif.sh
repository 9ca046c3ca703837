#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8): what belongs to the frame of a photograph, which has its Exif with it and is to be turned by it.
# Guess: `frame.side_data` has the display matrix, as for a video, and at most leaves out what PyAV has no name for.
# Seen: FFmpeg hands the Exif on as side data of type 31, PyAV names types up to 27, and so nothing of it can be had:
# ValueError, "31 is not a valid Type", for its length as for its keys. `frame.rotation` says the angle all the same.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 pillow==13.0.0
"$work/venv/bin/python" - "$work/photo.jpg" <<'PY'
import sys

import av
from PIL import Image

exif = Image.Exif()
exif[0x112] = 6  # to be turned a quarter
Image.new("RGB", (64, 32), "red").save(sys.argv[1], exif=exif)
with av.open(sys.argv[1]) as photo:
    frame = next(photo.decode(video=0))
try:
    said = str(len(frame.side_data))
except ValueError as error:
    said = str(error)
print("side data:", said, "- rotation:", frame.rotation)
assert said == "31 is not a valid Type", said
assert frame.rotation == -90, frame.rotation
PY
