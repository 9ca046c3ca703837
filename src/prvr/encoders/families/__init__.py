"""The families of checkpoints that are read: a file each, and a line each in this table."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name

from prvr.encoders.checkpoint import read_json
from prvr.encoders.families.base import Family

FAMILIES = {  # `model_type` of config.json -> where its class is
    "clip": "clip:ClipTowers",
    "metaclip_2": "clip:MetaClip2",
    "siglip": "siglip:Siglip",
    "siglip2": "naflex:NaFlex",
    "chinese_clip": "first_token:ChineseClip",
    "altclip": "first_token:AltClip",
    "align": "first_token:Align",
    "tipsv2": "tips:Tips",
    "xclip": "clips:XClip",
    "videoprism": "clips:VideoPrism",
    "embedding_gemma2": "gemma:EmbeddingGemma",
}
TIMM = "needs the package timm, which prvr does not use"
REFUSED = {  # types that people ask for, and why they are not read
    "timm_wrapper": TIMM,
    "pe_video": TIMM,
    "pe_audio": TIMM,
    "pe_audio_video": TIMM,
    "fgclip2": "comes with code of its own, which prvr does not run",
}


def is_sentences(folder: Path) -> bool:
    """Whether a folder holds a model of sentence-transformers that is of none of these families."""
    if not (folder / "modules.json").is_file():
        return False
    config = folder / "config.json"
    return not config.is_file() or read_json(config, folder).get("model_type") not in FAMILIES


def family_of(kind: str) -> type[Family]:
    """The family of a `model_type` of the table."""
    found: type[Family] = resolve_name(f"{__name__}.{FAMILIES[kind]}")
    return found
