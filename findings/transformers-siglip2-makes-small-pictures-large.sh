#!/usr/bin/env bash
# transformers 5.23.0, the image processor of SigLIP 2 NaFlex, which keeps the shape of pictures and takes at most 256 patches
# of 16 pixels: pictures of 16x16, 32x48 and 640x360, and one that is 250 times as wide as it is high.
# Guess: "at most": 1 patch, 6 patches, as many as fit (about 250), and one row.
# Seen: small ones are made larger until they fill the patches: 16x16 becomes 256x256, 32x48 becomes 208x304 (its shape is
# 0.68 then, not 0.67), and all cost the same. A picture is never as small as it was, and only very long ones keep a row.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check transformers==5.23.0 numpy==2.4.6 pillow==13.0.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import numpy as np
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

process = Siglip2ImageProcessorPil()
assert (process.max_num_patches, process.patch_size) == (256, 16)
found = {}
for width, height in ((16, 16), (32, 48), (640, 360), (4000, 16)):
    picture = np.zeros((height, width, 3), np.uint8)
    answer = process(picture, return_tensors="np")
    rows, columns = answer["spatial_shapes"][0].tolist()
    found[width, height] = rows, columns
    print(f"{width}x{height}: {columns} x {rows} patches, {int(answer['pixel_attention_mask'].sum())} of 256 in use")
assert found == {(16, 16): (16, 16), (32, 48): (19, 13), (640, 360): (12, 21), (4000, 16): (1, 250)}, found
PY
