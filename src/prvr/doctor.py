"""A line a check, each with its fix: what a bug report needs and what a newcomer is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from prvr.core.checks import Check
from prvr.core.errors import PrvrError


def examine(index: Path) -> list[Check]:
    """Everything worth knowing about this machine and about the index folder."""
    looks: tuple[Callable[[], Check], ...] = (
        _python,
        _torch,
        _device,
        _video,
        _transformers,
        _torchvision,
        _world,
        _models,
        lambda: _folder(index),
        lambda: _index(index),
    )
    return [look() for look in looks]


def _python() -> Check:
    return Check("python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _torch() -> Check:
    import torch

    return Check("torch", True, f"{torch.__version__}, {torch.get_num_threads()} threads")


def _device() -> Check:
    from prvr.encoders.devices import pick_device

    device, why = pick_device("auto")
    return Check("device", True, f"{device} ({why})")


def _video() -> Check:
    import av

    wanted = ("h264", "hevc", "vp8", "vp9", "av1", "mpeg4")
    missing = [name for name in wanted if name not in av.codecs_available]
    found = f"PyAV {av.__version__}, FFmpeg libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"
    if missing:
        return Check("video", False, f"{found}; cannot decode {', '.join(missing)}", "pip install --force-reinstall av")
    return Check("video", True, found)


def _transformers() -> Check:
    if importlib.util.find_spec("transformers") is None:
        return Check("encoders", True, "only the bundled `world`", "for real footage: pip install 'prvr[hf]'")
    offline = ", offline by HF_HUB_OFFLINE" * (os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"))
    return Check("encoders", True, f"transformers {importlib.metadata.version('transformers')}{offline}")


def _torchvision() -> Check:
    if importlib.util.find_spec("torchvision") is None:
        return Check("torchvision", True, "not installed, not needed")
    try:
        import_module("torchvision")
        return Check("torchvision", True, "installed, and it loads")
    except (ImportError, OSError, RuntimeError):
        pass
    return Check(
        "torchvision", False, "installed but does not load, which breaks transformers", "pip uninstall torchvision"
    )


def _world() -> Check:
    from prvr.encoders.loading import load_encoder

    try:
        spec = load_encoder("world", device="cpu").spec
    except PrvrError as error:
        return Check("world", False, str(error), "reinstall prvr")
    return Check("world", True, f"{spec.fingerprint}; knows {spec.domain}")


def _models() -> Check:
    """Whether a model that sees real footage is here."""
    from prvr.encoders import catalogue

    best = catalogue.RECOMMENDED
    better = f"a better one: prvr models get {best.name} ({best.size_bytes / 1e9:.1f} GB, {best.licence})"
    try:
        here = [model.name for model in catalogue.known() if catalogue.on_disk(model.name)]
        chosen = catalogue.default()
    except PrvrError as error:
        return Check("own videos", False, str(error), "prvr models default NAME")
    if chosen and chosen not in here:
        return Check(
            "own videos", False, f"{chosen}, your default, is not on this machine", f"prvr models get {chosen}"
        )
    if chosen:
        return Check("own videos", True, f"read by {chosen}, your default")
    others = [name for name in here if name not in (catalogue.WORLD, catalogue.THINGS)]
    if catalogue.THINGS in here:
        how = f"prvr models default {others[0]}" if others else better
        return Check("own videos", True, f"read by {catalogue.THINGS}: a thousand kinds of things, not people", how)
    if others:
        return Check("own videos", False, f"{', '.join(others)} here, none chosen", f"prvr models default {others[0]}")
    fix = f"prvr models get {best.name} ({best.size_bytes / 1e9:.1f} GB), or pip install 'prvr[things]'"
    return Check("own videos", False, "no model on this machine sees real footage", fix)


def _folder(folder: Path) -> Check:
    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(place).free / 2**30
    if not os.access(place, os.W_OK):
        return Check("data folder", False, f"{folder} cannot be written", "set PRVR_DATA to a folder of yours")
    return Check("data folder", free > 1, f"{folder}, {free:.0f} GiB free", "free some space" * (free <= 1))


def _index(folder: Path) -> Check:
    from prvr.index.opening import open_index

    if not folder.exists() or not any(folder.iterdir()):
        return Check("index", True, f"none at {folder} yet", "make one: prvr index PATH")
    try:
        with open_index(folder) as index:
            header = index.header
            return Check("index", True, f"{len(index)} videos, encoder {header.encoder.fingerprint}, {header.model}")
    except PrvrError as error:
        return Check("index", False, str(error), f"prvr index --repair --index {folder}")
