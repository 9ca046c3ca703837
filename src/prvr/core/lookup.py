"""A name that the user typed or trusts -> the value that stands there."""

from __future__ import annotations

import pkgutil
import sys
from pathlib import Path
from typing import Any


def look_up(target: str) -> Any:
    """`package.module:NAME` -> that value, importing the module.

    A package outside prvr is also looked for in the working folder, after all other places, so that nothing there can
    stand in for a package that is installed. Raises ImportError, AttributeError or ValueError where there is none.
    """
    here = str(Path.cwd())
    if not target.startswith("prvr.") and here not in sys.path:
        sys.path.append(here)
    return pkgutil.resolve_name(target)
