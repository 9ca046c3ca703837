"""What is known of a video of a library beside its vectors, and which videos are meant by that."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a video beside its vectors."""

    path: str = ""  # relative to the library's root where it lies below it
    duration_s: float = 0.0
    modified: float = 0.0  # unix seconds, of the file
    tags: tuple[str, ...] = ()


UNKNOWN = Facts()


@dataclass(frozen=True, kw_only=True)
class Where:
    """Which videos to look at; all parts that are given must hold. False where none is given."""

    path: str | None = None  # substring, or a pattern if it has * ? or [; upper and lower case are alike
    after: float | None = None  # unix seconds, of `modified`
    before: float | None = None
    longer_s: float | None = None
    shorter_s: float | None = None
    tags: tuple[str, ...] = ()  # all of them

    def __bool__(self) -> bool:
        return any(value not in (None, ()) for value in vars(self).values())

    @property
    def folded(self) -> str | None:
        """The path as it is compared: lower case, a substring made a pattern."""
        if self.path is None:
            return None
        text = self.path.casefold()
        return text if any(sign in text for sign in "*?[") else f"*{text}*"

    def holds(self, facts: Facts) -> bool:
        """Whether one video is meant; the definition that every engine's own filter must equal."""
        return (
            (self.folded is None or fnmatch.fnmatchcase(facts.path.casefold(), self.folded))
            and (self.after is None or facts.modified >= self.after)
            and (self.before is None or facts.modified < self.before)
            and (self.longer_s is None or facts.duration_s >= self.longer_s)
            and (self.shorter_s is None or facts.duration_s < self.shorter_s)
            and set(self.tags) <= set(facts.tags)
        )

    def over(self, other: Where | None) -> Where:
        """The same, and what `other` says of the parts that are not given here."""
        return replace(other or self, **{name: value for name, value in vars(self).items() if value not in (None, ())})


EVERY = Where()
