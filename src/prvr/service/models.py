"""The models that a person may choose for own videos."""

from __future__ import annotations

from typing import NamedTuple

from prvr.encoders import catalogue


class Offer(NamedTuple):
    """One of them."""

    name: str
    understands: str
    languages: str
    licence: str
    bytes: int
    recommended: bool
    here: bool
    chosen: bool
    install: str


def offered() -> list[Offer]:
    """The recommended one first, then those that are here; not the demo's, which knows the demo's videos only."""
    chosen = catalogue.default()
    offers = [
        Offer(
            name=one.name,
            understands=one.understands,
            languages=one.languages,
            licence=one.licence,
            bytes=one.size_bytes,
            recommended=one.recommended,
            here=catalogue.on_disk(one.name) is not None,
            chosen=one.name == chosen,
            install=one.install,
        )
        for one in catalogue.known()
        if one.name != catalogue.WORLD
    ]
    return sorted(offers, key=lambda offer: (not offer.recommended, not offer.here))
