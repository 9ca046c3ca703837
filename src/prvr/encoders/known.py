"""The models that have a short name: those that see, and those that hear speech."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prvr.core.types import EncoderSpec

WORLD, THINGS = "world", "things"
SEES, HEARS = "sees", "hears"  # kinds of models


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """A model that has a short name."""

    name: str  # what `--encoder` takes, or `--speech`
    understands: str  # in one sentence
    source: str  # a name on the hub; empty where it comes with a package, or from a folder of the user
    width: int  # E
    size_bytes: int  # of what is downloaded, or lies on the disk
    languages: str
    licence: str
    recommended: bool = False
    install: str = ""  # the command that brings it, where it is no download of ours
    kind: str = SEES


CATALOGUE = (
    KnownModel(
        name="siglip2-b16",
        understands="People, things, actions, scenes and words in pictures, asked in any of 109 languages.",
        source="google/siglip2-base-patch16-224",
        width=768,
        size_bytes=1_535_000_000,
        languages="109 languages",
        licence="Apache-2.0",
        recommended=True,
    ),
    KnownModel(
        name="siglip2-so400m",
        understands="As siglip2-b16, in finer detail; slow without a GPU.",
        source="google/siglip2-so400m-patch14-384",
        width=1152,
        size_bytes=4_580_000_000,
        languages="109 languages",
        licence="Apache-2.0",
    ),
    KnownModel(
        name="clip-b32",
        understands="People, things, actions and scenes; coarse, and the fastest of these.",
        source="openai/clip-vit-base-patch32",
        width=512,
        size_bytes=609_000_000,
        languages="English",
        licence="MIT",
    ),
    KnownModel(
        name="clip-l14",
        understands="People, things, actions and scenes in finer detail; slow without a GPU.",
        source="openai/clip-vit-large-patch14",
        width=768,
        size_bytes=1_714_000_000,
        languages="English",
        licence="MIT",
    ),
    KnownModel(
        name="siglip2-b16-naflex",
        understands="As siglip2-b16, and sees wide and tall pictures in their own shape.",
        source="google/siglip2-base-patch16-naflex",
        width=768,
        size_bytes=1_535_000_000,
        languages="109 languages",
        licence="Apache-2.0",
    ),
    KnownModel(
        name="metaclip2-b32",
        understands="People, things, actions and scenes, asked in hundreds of languages; fast.",
        source="facebook/metaclip-2-worldwide-b32",
        width=512,
        size_bytes=2_370_000_000,
        languages="hundreds",
        licence="CC-BY-NC-4.0",
    ),
    KnownModel(
        name="videoprism-b",
        understands="What moves: reads 16 frames at a time, alone or as --clip-encoder; slow without a GPU.",
        source="google/videoprism-lvt-base-f16r288",
        width=768,
        size_bytes=990_000_000,
        languages="English",
        licence="Apache-2.0",
    ),
    KnownModel(
        name="xclip-b32",
        understands="Actions: reads 8 frames at a time, alone or as --clip-encoder.",
        source="microsoft/xclip-base-patch32",
        width=512,
        size_bytes=787_000_000,
        languages="English",
        licence="MIT",
    ),
    KnownModel(
        name=THINGS,
        understands="A thousand kinds of things; not people, actions or counts.",
        source="",
        width=1000,
        size_bytes=113_000_000,
        languages="English",
        licence="Apache-2.0, MIT",
        install="pip install 'prvr[things]'",
    ),
    KnownModel(
        name=WORLD,
        understands="The generated videos of the demo, and nothing else.",
        source="",
        width=128,
        size_bytes=1_500_000,
        languages="English",
        licence="Apache-2.0",
        install="pip install prvr",
    ),
)
RECOMMENDED = next(model for model in CATALOGUE if model.recommended)


def _whisper(name: str, source: str, size_bytes: int, understands: str, languages: str = "99 languages") -> KnownModel:
    return KnownModel(
        name=name,
        understands=understands,
        source=source,
        width=0,
        size_bytes=size_bytes,
        languages=languages,
        licence="MIT",
        kind=HEARS,
    )


SPEECH = (
    _whisper("whisper-tiny", "Systran/faster-whisper-tiny", 78_000_000, "Speech, coarsely; the fastest of these."),
    _whisper("whisper-base", "Systran/faster-whisper-base", 148_000_000, "Speech, better than whisper-tiny."),
    _whisper("whisper-small", "Systran/faster-whisper-small", 486_000_000, "Speech, well: the one to begin with."),
    _whisper("whisper-medium", "Systran/faster-whisper-medium", 1_530_000_000, "Speech, better; slow without a GPU."),
    _whisper(
        "whisper-large-v3", "Systran/faster-whisper-large-v3", 3_090_000_000, "Speech, best of these; wants a GPU."
    ),
    _whisper(
        "whisper-small.en", "Systran/faster-whisper-small.en", 486_000_000, "English speech alone, well.", "English"
    ),
)
"""Whisper in the form of CTranslate2."""


def knows_only(spec: EncoderSpec) -> str:
    """What an encoder does not know, to be said behind its name; nothing of a general one."""
    return "" if spec.domain == "general" else f"; it knows {spec.domain} (`prvr models` names others)"
