"""What a file may be, and how much of the machine one may take, whatever it says of itself."""

from __future__ import annotations

import os

from prvr.core.errors import ConfigError

# The containers and bare streams that FFmpeg may take a file for, by its names for them. What is no such thing, but a
# list of other files or addresses, a pattern of names, a text that is drawn, is not opened.
CONTAINERS = """
    asf asf_o avi dhav dv dv1394 dxa flv kux live_flv gxf ivf ivr lxf matroska moflex mov mpeg mpegts mpegtsraw mxf
    nsv nut nuv ogg pva rm swf ty usm wtv 3dostr 4xm anm avs bethsoftvid bfi bink bmv c93 cdxl cine dcstr derf dfa
    dsicin ea film_cpk filmstrip flic frm gdv hnm idcin iff ifv ingenient ipmovie ipu iv8 jv lmlm4 mgsts mm mods
    msnwctcp mtv mv mvi mxg paf pdv pmp psxstr r3d rl2 roq rpl sdr2 ser sga siff simbiosis_imx smjpeg smk smush thp
    tiertexseq tmv vividas vivo vmd wc3movie wsvqa xmv yop
"""
STREAMS = """
    apv av1 avs2 avs3 cavsvideo dirac dnxhd evc h261 h263 h264 hevc m4v mjpeg mjpeg_2000 mpegvideo mpjpeg obu vc1
    vc1test vvc yuv4mpegpipe
"""
PICTURES = "apng gif bmp_pipe j2k_pipe jpeg_pipe jpegls_pipe jpegxl_pipe png_pipe ppm_pipe tiff_pipe webp_pipe"
SOUND = "aac ac3 aiff caf dts eac3 flac mp3 wav"  # only to say that it is no more
FORMATS = ",".join(" ".join((CONTAINERS, STREAMS, PICTURES, SOUND)).split())


def most_pixels() -> int:
    """Pixels of one picture; 8192 x 4320 are 35 million. `PRVR_MEGAPIXELS` sets millions of them."""
    return round(_number("PRVR_MEGAPIXELS", 50) * 1e6)


def most_bytes() -> int:
    """Memory of a process that reads a file. `PRVR_READER_GB` sets it."""
    return round(_number("PRVR_READER_GB", 4) * 1e9)


def patience_s() -> float:
    """Processor time that may pass without a picture. `PRVR_READER_S` sets it."""
    return _number("PRVR_READER_S", 600)


def _number(name: str, default: float) -> float:
    text = os.environ.get(name, "")
    try:
        value = float(text or default)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise ConfigError(f"{name}: {text!r} is impossible; give a number above 0, or leave it out")
    return value
