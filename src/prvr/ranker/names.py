"""What a folder may name: methods of prvr, and of packages that the user trusts by name. Nothing is called.

And what runs said before: by which names methods went, and settings that have become a part of them.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from prvr.core.errors import CheckpointError
from prvr.core.lookup import look_up
from prvr.core.method import Method

TRUST = "PRVR_TRUST"  # packages that the user trusts, with commas between
_OWN = "prvr.methods"
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_BEFORE = re.compile(r"prvr\.recipes\.([a-z_0-9]+):\w+", re.ASCII)  # what runs said until methods had folders
_SETTLED = {f"{_OWN}.gmmformer_v2.network:METHOD": {"sized_attention": "none", "alignment": "none"}}  # once of `model.`


def named_in(config: Mapping[str, Any], *, where: str) -> str:
    """The method that the config of a run names.

    Raises KeyError where it names none, and CheckpointError where it is of a package's recipe that named none yet.
    """
    if "method" in config:
        return str(config["method"])
    recipe = str(config["recipe"])
    if before := _BEFORE.fullmatch(recipe):
        return f"{_OWN}.{before[1]}.network:METHOD"
    if _NAME.fullmatch(recipe):
        raise CheckpointError(
            f"{where}: was trained by {recipe}, before runs named the method that they are of; train again into "
            'another folder, or add the method to its config.json, as "method": "package.module:NAME"'
        )
    raise KeyError("method")


def unsettled(method: str, settings: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Settings of a network without those that were dropped since, which every network of the method now has alike.

    Raises CheckpointError where one of them is not as it is built in.
    """
    settled = _SETTLED.get(method, {})
    for name, value in settled.items():
        if settings.get(name, value) != value:
            raise CheckpointError(
                f"{where}: was trained with model.{name}={settings[name]}, but {method} has no such setting any more "
                f"and is always as {value!r} was; train again into another folder"
            )
    return {name: value for name, value in settings.items() if name not in settled}


@contextlib.contextmanager
def trusting(packages: Collection[str]) -> Iterator[None]:
    """Packages that folders may name as long as the block lasts, in this process and in those that it starts."""
    before = os.environ.get(TRUST)
    os.environ[TRUST] = ",".join([*filter(None, (before or "").split(",")), *packages])
    try:
        yield
    finally:
        os.environ.pop(TRUST)
        if before is not None:
            os.environ[TRUST] = before


def find_method(name: str, *, trust: Collection[str] = (), where: str = "") -> Method[Any, Any]:
    """`prvr.methods.msc.network:METHOD` -> the value that stands there.

    A module is only imported below `prvr.methods`, or in a package that the user has named: in `trust`, or in the
    environment variable PRVR_TRUST. Raises CheckpointError for any other name, and for one at which there is no method.
    """
    trust = {*trust, *os.environ.get(TRUST, "").split(",")}
    place = f"{where}: " if where else ""
    module = name.partition(":")[0]
    package = module.partition(".")[0]
    if not _NAME.fullmatch(name):
        raise CheckpointError(f"{place}{name!r} is no name of a method; it is written as package.module:NAME")
    if not module.startswith(f"{_OWN}.") and package not in trust:
        raise CheckpointError(
            f"{place}is of the method {name}, which is code outside prvr, and opening it would run that code; "
            f"if you know the package {package} and trust it, add `--trust {package}`"
        )
    try:
        found = look_up(name)
    except (ImportError, AttributeError) as error:
        raise CheckpointError(f"{place}there is no method {name} ({error}); is its package installed?") from error
    if not isinstance(found, Method):
        raise CheckpointError(f"{place}{name} is a {type(found).__name__}, not a Method")
    return found
