"""Whether a body is a picture that may be decoded: its kind and its size, read from its first bytes."""

from __future__ import annotations

import re
from io import BytesIO

import imagesize

from prvr.serve.errors import ApiError

MOST_PIXELS = 50_000_000
KINDS = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8|RIFF....WEBP", re.DOTALL)  # imagesize knows more, which we never asked


def check_picture(content: bytes) -> None:
    """Raises ApiError unless it is a JPEG, PNG or WebP file that can be decoded; a small file may hold a huge one."""
    width, height = imagesize.get(BytesIO(content), exif_rotation=False) if KINDS.match(content) else (-1, -1)
    if width < 0 or height < 0:
        raise ApiError(415, "image_unknown", "that file isn't a JPEG, PNG or WebP image")
    if not 0 < width * height <= MOST_PIXELS:
        most = f"{MOST_PIXELS // 1_000_000} megapixels"
        raise ApiError(400, "image_too_large", f"the picture is {width} x {height}; send one of at most {most}")
