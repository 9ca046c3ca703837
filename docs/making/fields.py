"""For the Python reference: the comment behind a field of a record is what is said of the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from griffe import Attribute, Docstring, Extension


class FieldComments(Extension):
    """`score: float  # of the video` is documented as "of the video", as a docstring below it would be."""

    def on_attribute_instance(self, *, attr: Attribute, **_: Any) -> None:
        """griffe tells of every attribute that it reads."""
        where = attr.filepath
        if attr.docstring or attr.is_private or attr.lineno is None or not isinstance(where, Path):
            return
        line = where.read_text(encoding="utf-8").splitlines()[attr.lineno - 1]
        _, mark, comment = line.partition("  # ")
        if mark:
            attr.docstring = Docstring(comment, lineno=attr.lineno, parent=attr)
