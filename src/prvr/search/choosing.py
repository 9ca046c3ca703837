"""Which encoder reads videos when nobody named one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from prvr.core.errors import ConfigError, EncoderError
from prvr.core.types import EncoderSpec
from prvr.data.world import MANIFEST
from prvr.encoders import catalogue
from prvr.encoders.catalogue import RECOMMENDED, THINGS, WORLD
from prvr.index.opening import header_of


class Chosen(NamedTuple):
    """What `load_encoder` takes, and why it was taken, for people; empty where there was no choice."""

    encoder: str
    why: str = ""
    fetching: bool = True  # whether it may be fetched; not where an index says it


def made_with(spec: EncoderSpec) -> Chosen:
    """The encoder that a folder says it was made with, from where it was then; nothing is fetched for that."""
    return Chosen(spec.source or spec.name, fetching=False)


def choose_encoder(paths: Sequence[Path], folder: Path | None = None) -> Chosen:
    """For the videos below `paths` in the index at `folder`: what that was made with, else what fits the videos.

    That is `world` for the generated world alone; for all others the user's default model, else `things`. Raises
    EncoderError with the one command to run where neither is on this machine. Looks at names of files, not into them.
    """
    if folder and (ours := header_of(folder)):
        made = made_with(ours.encoder)
        return made._replace(why=_rather(made.encoder))
    if paths and all(is_generated(path) for path in paths):
        return Chosen(WORLD)
    if name := catalogue.default():
        return Chosen(name, "your default model")
    here = [model.name for model in catalogue.known() if catalogue.on_disk(model.name)]
    better = [name for name in here if name not in (WORLD, THINGS)]
    choose = f"`prvr models default {(better or [RECOMMENDED.name])[0]}`"
    if THINGS in here:
        get = "" if better else f"`prvr models get {RECOMMENDED.name}`, then "
        known = "it knows a thousand kinds of things; not people, actions or counts. For those, "
        return Chosen(THINGS, known + get + choose)
    if better:
        raise EncoderError(f"no model is chosen for your videos, and {', '.join(better)} can read them: {choose}")
    raise EncoderError(
        f"no model for real videos is on this machine; get one with `prvr models get {RECOMMENDED.name}` "
        f"({RECOMMENDED.size_bytes / 1e9:.1f} GB), then {choose}"
    )


def _rather(made: str) -> str:
    """What to say of an index that was made with one model, now that the user wants another."""
    try:
        wanted = catalogue.default()
    except ConfigError:  # it is not needed here; who needs it is told
        return ""
    one, other = (catalogue.find(name) if name else None for name in (made, wanted))
    if not wanted or made in (wanted, WORLD) or (one and other and one.name == other.name):
        return ""
    return f"this index was made with it; to make it anew with your default: `prvr index --replace --encoder {wanted}`"


def is_generated(path: Path) -> bool:
    """Whether a video, or a folder, is of the generated world: a manifest beside its folder of videos says so."""
    for place in [path.absolute(), *path.absolute().parents][:3]:
        try:
            said = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(said, dict) and said.keys() >= {"size", "seed", "version"}:
            return True
    return False
