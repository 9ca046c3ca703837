"""Hits as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from prvr.core.facts import SEEN
from prvr.core.text import clock, count, one_line
from prvr.core.types import Hit
from prvr.search.confidence import CONFIDENT, NOTHING, RELATED, UNCALIBRATED, verdict

MARKS = {CONFIDENT: "good", RELATED: "possible", NOTHING: "weak", UNCALIBRATED: ""}  # the page says "good match"


def answer(hits: Sequence[Hit], *, everything: bool = False) -> str:
    """The table of what stands out, or one line that says that nothing does; `everything` shows the weak ones too."""
    if not hits or everything or verdict(hits) == UNCALIBRATED:
        return hit_table(hits)
    if verdict(hits) == NOTHING:
        best = min(hit.p_topic for hit in hits if hit.p_topic is not None)
        return (
            f"No good match: of 100 unrelated sentences, {100 * best:.0f} would score this high in this library.\n"
            "Show the weak matches: --all"
        )
    shown = [hit for hit in hits if hit.confidence != NOTHING]
    left = len(hits) - len(shown)
    return hit_table(shown) + (f"\nShow {count(left, 'weak match', 'weak matches')} too: --all" if left else "")


def hit_table(hits: Sequence[Hit]) -> str:
    """Rank, how sure, score, best moment, file; further moments, the steps of an order and what is said behind.

    A hit that repeats one before it stands under that one by its name only; ranks count it.
    """
    if not hits:
        return "There is no video to search, or none that fits these filters."
    sure = any(hit.confidence != UNCALIBRATED for hit in hits)
    head = f"{'match':<8}  " if sure else ""
    rows = [f" #  {head}score   moment               video"]
    for (rank, hit), *similar in folds(hits):
        mark = f"{MARKS[hit.confidence]:<8}  " if sure else ""
        span = f"{clock(hit.start)} - {clock(hit.end)}"
        rows.append(f"{rank:2}  {mark}{hit.score:6.3f}  {span:<19}  {_name(hit)}{_more(hit)}")
        if similar:
            names = ", ".join(f"#{place} {_name(one)}" for place, one in similar)
            rows.append(f"    +{len(similar)} similar: {names}")
    if any(before.score < after.score for before, after in pairwise(hits)):
        rows.append("The order also counts names and subtitles, so scores need not fall")
    return "\n".join(rows)


def _name(hit: Hit) -> str:
    name = one_line(hit.video)
    return f"{name} (missing)" if hit.state == "missing" else name


def folds(hits: Sequence[Hit]) -> list[list[tuple[int, Hit]]]:
    """Hits with their ranks, those that show the same together, in the order of the first of each."""
    first: dict[str, str] = {}  # of every video that is there or is named, the one that it repeats in the end
    together: dict[str, list[tuple[int, Hit]]] = {}
    for rank, hit in enumerate(hits, 1):
        name = hit.same_as or hit.video_id
        first[hit.video_id] = first.get(name, name)
        together.setdefault(first[hit.video_id], []).append((rank, hit))
    return list(together.values())


def _more(hit: Hit) -> str:
    parts = [f"+{len(hit.moments) - 1} more"] if len(hit.moments) > 1 else []
    if hit.steps:
        parts.append("then ".join(f"{clock(start)} " for start, _ in hit.steps).strip())
    if hit.quote:
        parts.append(f'{hit.channel} "{hit.quote[:60]}"' if hit.channel != SEEN else f'"{hit.quote[:60]}"')
    return f"  ({'; '.join(parts)})" if parts else ""
