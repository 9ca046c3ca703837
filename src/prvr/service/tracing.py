"""Where a clip comes from, for a server: only one step of it waits for the engine, the others read files beside it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from prvr.core.errors import QueryError
from prvr.search.origin import compare, likely_places, look_at
from prvr.service.desk import Desk
from prvr.service.holdings import Holdings


class ClipPlace(NamedTuple):
    """Where a clip is in a film of the library."""

    video_id: str
    path: Path
    start_s: float
    end_s: float
    alike: float
    mirrored: bool


class ClipPlaces(NamedTuple):
    """All that is known of a clip."""

    places: list[ClipPlace]  # best first
    unseen: dict[str, float]  # video id -> about where: it may be from there, but the film cannot be looked at
    holdings: Holdings


async def clip_places(desk: Desk, file: Path) -> ClipPlaces:
    """Where a clip or a picture comes from. Raises QueryError for what is neither, else as `Desk.ask`."""
    try:
        seen = await asyncio.to_thread(look_at, file)
    except QueryError as error:
        raise QueryError(str(error).replace(f"{file.parent}/", "the ")) from error
    likely = await desk.ask(lambda engine: likely_places(engine, seen))
    holdings = await desk.holdings()
    likely = [place for place in likely if place.video_id in holdings.facts]
    files = {place.video_id: holdings.file(place.video_id) for place in likely}
    found = await asyncio.to_thread(compare, seen, likely, files)
    about = {place.video_id: place.start_s for place in reversed(likely)}
    places = [
        ClipPlace(one.video_id, one.path, one.start_s, one.end_s, one.alike, one.mirrored) for one in found.origins
    ]
    return ClipPlaces(places, {video_id: about[video_id] for video_id in found.unseen}, holdings)
