#!/usr/bin/env bash
# rapidocr 3.10.0 with onnxruntime 1.32.0: the word "exit" in the same place of pictures of the same size, alone and with
# another line 90 pixels below it.
# Guess: it is read alike in all of them; lines are found and read one by one.
# Seen: alone it is not found at all; above "way out" it is, with a box that is a little askew, and above a long line the box
# is another one. Boxes depend on what else is in the picture, and what is read out of them with them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check rapidocr==3.10.0 onnxruntime==1.32.0 pillow==13.0.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rapidocr import RapidOCR

logging.disable(logging.CRITICAL)
engine, font = RapidOCR(), ImageFont.load_default(32)


def read(*lines):
    """The text of the first line, if it is found, and its box."""
    picture = Image.new("RGB", (1200, 400), "white")
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        pen.text((30, 40 + 90 * number), line, font=font, fill="black")
    answer = engine(np.array(picture))
    if answer.boxes is None:
        return None, None
    first = min(range(len(answer.boxes)), key=lambda at: answer.boxes[at][:, 1].min())
    return answer.txts[first], answer.boxes[first].round().astype(int).tolist()


alone = read("exit")
short = read("exit", "way out")
long = read("exit", "a much longer line of text that goes over the whole picture")
print("alone:", alone)
print("above a short line:", short)
print("above a long line:", long)
assert alone == (None, None), alone
assert short[0].startswith("ex") and long[0].startswith("ex"), (short, long)
assert short[1] != long[1], (short, long)
PY
