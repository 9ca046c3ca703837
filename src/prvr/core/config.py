"""Settings: frozen dataclasses to plain dicts and back, `--set a.b=c`, fingerprints.

A setting is judged when it is born: a value of the wrong type or a name that does not exist is a ConfigError that says
what would be right.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from prvr.core.errors import ConfigError
from prvr.core.text import nearest

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass of settings -> plain JSON values; `from_dict` gives the same back."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return plain


def from_dict(kind: type[T], values: Mapping[str, Any], *, where: str = "") -> T:
    """Plain values -> the dataclass `kind`.

    Raises ConfigError for an unknown name, a missing required one or a value of the wrong type.
    """
    hints = _hints(kind)  # type: ignore[arg-type]
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    known = {
        closest(name, names, what=f"setting {where}{name}"): convert(value, hints[name], where=f"{where}{name}")
        for name, value in values.items()
    }
    try:
        return kind(**known)
    except TypeError as error:
        raise ConfigError(f"{where or kind.__name__}: {error}") from error


def override(config: T, assignments: Sequence[str]) -> T:
    """`["optim.lr=3e-4"]` applied to a tree of frozen dataclasses -> a changed copy.

    Raises ConfigError naming the assignment, with the nearest names that exist.
    """
    tree: dict[str, Any] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment}: expected NAME=VALUE, such as optim.lr=3e-4")
        *groups, name = path.strip().split(".")
        inner = tree
        for group in groups:
            inner = inner.setdefault(group, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"--set {path.strip()}: there is nothing below {group!r}")
        inner[name] = text.strip()
    return _replace(config, tree, where="")


def assignments(config: Any, *, where: str = "") -> Iterator[str]:
    """A tree of dataclasses -> `optim.lr=0.0003` and so on, each as `override` reads it."""
    for field in dataclasses.fields(config):
        value, path = getattr(config, field.name), f"{where}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from assignments(value, where=f"{path}.")
        else:
            yield f"{path}={_as_text(value)}"


def _as_text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(_as_text, value)) if isinstance(value, tuple) else str(value)


def fingerprint(value: Any, *, length: int = 12) -> str:
    """The first `length` hex digits of the SHA-256 of a dataclass or of plain JSON values."""
    plain = to_dict(value) if dataclasses.is_dataclass(value) else value
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


@cache
def _hints(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields; worked out once, for a store reads thousands of one kind."""
    return get_type_hints(kind)


def closest(name: str, names: Sequence[str], *, what: str) -> str:
    """`name` if it is one of `names`; else ConfigError that suggests the nearest."""
    if name in names:
        return name
    near = nearest(name, names, cutoff=0.5)
    hint = f"did you mean {near!r}?" if near else f"there are {', '.join(names)}"
    raise ConfigError(f"no {what}; {hint}")


def convert(value: Any, hint: Any, *, where: str) -> Any:
    """A JSON value or a text from the command line -> a value of the annotated type."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None or value == "none":
            return None
        return convert(value, next(arg for arg in args if arg is not type(None)), where=where)
    if origin is Literal:
        for arg in args:
            if value == arg or (isinstance(value, str) and value.strip() == str(arg)):  # a number is typed as text
                return arg
        raise ConfigError(f"{where}={value}: choose one of {', '.join(map(str, args))}")
    if origin is tuple:
        items = value.strip("()[]").split(",") if isinstance(value, str) else value
        kinds = args[:1] * len(items) if args[-1] is Ellipsis else args
        if len(kinds) != len(items):
            raise ConfigError(f"{where}={value}: expected {len(kinds)} values")
        return tuple(convert(item, kind, where=where) for item, kind in zip(items, kinds, strict=True))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if dataclasses.is_dataclass(value):
            return value
        return from_dict(hint, value, where=f"{where}.")
    return _scalar(value, hint, where=where)


def _scalar(value: Any, hint: Any, *, where: str) -> Any:
    expected = "true or false" if hint is bool else f"a value of type {hint.__name__}"
    wrong = ConfigError(f"{where}={value}: expected {expected}")
    if hint is bool:
        if str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
        raise wrong
    if hint not in (int, float, str):
        return value
    if isinstance(value, bool):
        raise wrong
    try:
        return hint(value.strip() if isinstance(value, str) else value)
    except (TypeError, ValueError) as error:
        raise wrong from error


def _replace(config: T, changes: Mapping[str, Any], *, where: str) -> T:
    """All changes at once, so that two settings which only fit together can be set together."""
    assert dataclasses.is_dataclass(config)
    hints, names = _hints(type(config)), [field.name for field in dataclasses.fields(config)]  # type: ignore[arg-type]
    values = {}
    for given, change in changes.items():
        path = f"{where}{given}"
        if given not in names and not where and (deeper := _settings_called(given, config)):
            raise ConfigError(f"no setting {path!r}; did you mean {' or '.join(map(repr, deeper))}?")
        name = closest(given, names, what=f"setting {path!r}")
        old, is_group = getattr(config, name), dataclasses.is_dataclass(getattr(config, name))
        if isinstance(change, Mapping):
            if not is_group:
                raise ConfigError(f"--set {path}.{next(iter(change))}: there is nothing below {path!r}")
            values[name] = _replace(old, change, where=f"{path}.")
        elif is_group:
            inner = ", ".join(field.name for field in dataclasses.fields(old))
            raise ConfigError(f"--set {path}: is a group; set one of {inner} in it")
        else:
            values[name] = convert(change, hints[name], where=path)
    return dataclasses.replace(config, **values)  # type: ignore[type-var]


def _settings_called(name: str, config: Any, *, where: str = "") -> list[str]:
    """The settings of this name in the groups of a tree, such as `train.epochs` of `epochs`."""
    found = []
    for field in dataclasses.fields(config):
        value, path = getattr(config, field.name), f"{where}{field.name}"
        if dataclasses.is_dataclass(value):
            found += _settings_called(name, value, where=f"{path}.")
        elif field.name == name:
            found.append(path)
    return found
