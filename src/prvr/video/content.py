"""Whether a file is a video by what is in it, where its name does not say: a look at its first bytes, then FFmpeg's."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import av

from prvr.core.errors import VideoError
from prvr.video.source import open_video

HEAD = 4096  # bytes that are looked at
SYNC, PACKETS = 0x47, (188, 192, 204)  # of a transport stream: plain, with time codes, with checksums
SOUND_OR_STILL = (b"M4A ", b"M4B ", b"M4P ", b"crx ")  # brands of the ISO family; others say so when they are opened

# What files begin with in the containers that FFmpeg reads, and in streams without one.
MAGIC = re.compile(
    rb"""
    ....(?: ftyp | styp | moov | moof | mdat | free | skip | wide | pnot | sidx )  # ISO and QuickTime
    | \x1a\x45\xdf\xa3                                                             # Matroska, WebM
    | RIFF....(?: AVI[ \x19X] | AMV[ ] | CDXA | 4XMV | Amv[ ] )
    | FLV\x01 | \.RMF | [FC]WS | NSV[fs] | DKIF | BBCD | DEXA | FILM | THP\x00 | BIK[bfghik] | KB2[adfghijk] | SMK[24]
    | \x30\x26\xb2\x75\x8e\x66\xcf\x11 | \xb7\xd8\x00\x20\x37\x49\xda\x11          # ASF, WTV
    | \x06\x0e\x2b\x34\x02\x05\x01 | \x00\x00\x00\x00\x01\xbc                      # MXF, GXF
    | \x1f\x07\x00[\x3f\xbf] | nut/multimedia | YUV4MPEG2 | NuppelVideo | MythTVVideo | Interplay[ ]MVE
    | \x00?\x00\x00\x01[\x00-\xff] | \x12\x00\x0a                                  # MPEG, H.26x; AV1
    | GIF8[79]a | \x89PNG\r\n\x1a\n.{0,200}?acTL                                   # pictures that move
    | OggS.{0,600}?(?: \x80theora | \x01video | BBCD | OVP80 )
    | ....[\x11\x12]\xaf | \x84\x10\xff\xff\xff\xff                                # FLIC, RoQ
    """,
    re.DOTALL | re.VERBOSE,
)


def is_transport_stream(head: bytes) -> bool:
    """By the byte that each of its packets begins with; the first may be cut off."""
    return any(
        all(head[at] == SYNC for at in range(first, len(head), size))
        for size in PACKETS
        for first in range(min(size, len(head) - size))
        if head[first] == SYNC
    )


def is_text(head: bytes) -> bool:
    """What people write, and nothing at all; a video always has zeros."""
    return b"\0" not in head or head.startswith((b"\xff\xfe", b"\xfe\xff"))


def head_of(path: Path) -> bytes | None:
    """The first bytes of a file; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:
        return None


def may_hold_a_video(path: Path) -> bool:
    """Whether a file begins like one that has moving pictures."""
    head = head_of(path)
    if not head or head[8:12] in SOUND_OR_STILL:
        return False
    return bool(MAGIC.match(head)) or is_transport_stream(head)


def holds_a_video(path: Path) -> bool:
    """Whether FFmpeg finds moving pictures in a file."""
    shown: Counter[int] = Counter()
    try:
        with open_video(path) as source:
            for packet in source.container.demux(source.container.streams.video):
                shown[packet.stream_index] += packet.size > 0
                if shown[packet.stream_index] > 1:  # one picture is a photograph, or the cover of a song
                    return True
    except (VideoError, av.error.FFmpegError, IndexError):
        pass
    return False
