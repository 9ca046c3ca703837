"""Find the video, and the moment in it, that a sentence describes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prvr.core.errors import PrvrError

if TYPE_CHECKING:
    from prvr.core.types import Hit, Query
    from prvr.search.engine import SearchEngine
    from prvr.search.library import Library

__version__ = "0.2.0"
__all__ = ["Hit", "Library", "PrvrError", "Query", "SearchEngine", "__version__"]

_HOMES = {
    "Hit": "prvr.core.types",
    "Library": "prvr.search.library",
    "Query": "prvr.core.types",
    "SearchEngine": "prvr.search.engine",
}


def __getattr__(name: str) -> Any:
    """Heavy names are brought when they are asked for, so that `import prvr` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'prvr' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
