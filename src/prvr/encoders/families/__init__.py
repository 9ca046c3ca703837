"""The families of checkpoints that are read: a file each, and a line each in this table."""

from __future__ import annotations

from pkgutil import resolve_name

from prvr.encoders.families.base import Family

FAMILIES = {  # `model_type` of config.json -> where its class is
    "clip": "clip:Clip",
    "metaclip_2": "clip:MetaClip2",
    "siglip": "siglip:Siglip",
    "siglip2": "naflex:NaFlex",
    "chinese_clip": "first_token:ChineseClip",
    "altclip": "first_token:AltClip",
    "align": "first_token:Align",
    "tipsv2": "tips:Tips",
    "xclip": "clips:XClip",
    "videoprism": "clips:VideoPrism",
}
TIMM = "needs the package timm, which prvr does not use"
REFUSED = {  # types that people ask for, and why they are not read
    "timm_wrapper": TIMM,
    "pe_video": TIMM,
    "pe_audio": TIMM,
    "pe_audio_video": TIMM,
    "fgclip2": "comes with code of its own, which prvr does not run",
}


def family_of(kind: str) -> type[Family]:
    """The family of a `model_type` of the table."""
    found: type[Family] = resolve_name(f"{__name__}.{FAMILIES[kind]}")
    return found
