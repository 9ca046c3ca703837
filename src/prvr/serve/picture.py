"""Whether a body is a picture that may be decoded: its kind and its size, read from its first bytes."""

from __future__ import annotations

from prvr.serve.errors import ApiError

MOST_PIXELS = 50_000_000
PNG = b"\x89PNG\r\n\x1a\n"
START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def check_picture(content: bytes) -> None:
    """Raises ApiError unless it is a JPEG, PNG or WebP file that can be decoded; a small file may hold a huge one."""
    size = png(content) or jpeg(content) or webp(content)
    if size is None:
        raise ApiError(415, "image_unknown", "the body is no JPEG, PNG or WebP picture; send a file of them")
    if not 0 < size[0] * size[1] <= MOST_PIXELS:
        most = f"{MOST_PIXELS // 1_000_000} megapixels"
        raise ApiError(400, "image_too_large", f"the picture is {size[0]} x {size[1]}; send one of at most {most}")


def png(content: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG file; None for another."""
    if not content.startswith(PNG) or content[12:16] != b"IHDR" or len(content) < 24:
        return None
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def jpeg(content: bytes) -> tuple[int, int] | None:
    """The same of a JPEG file, from its first frame header."""
    if not content.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 < len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker in START_OF_FRAME:
            return int.from_bytes(content[at + 7 : at + 9], "big"), int.from_bytes(content[at + 5 : at + 7], "big")
        length = 0 if marker in (0x01, 0xFF, *range(0xD0, 0xD8)) else int.from_bytes(content[at + 2 : at + 4], "big")
        at += 1 if marker == 0xFF else 2 + length
    return None


def webp(content: bytes) -> tuple[int, int] | None:
    """The same of a WebP file of any of its three kinds."""
    if len(content) < 30 or content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        return None
    kind = content[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return tuple(int.from_bytes(content[at : at + 2], "little") & 0x3FFF for at in (26, 28))  # type: ignore[return-value]
    return None
