"""Which files are gone: looked up once for all, told again for a while, never waited for too long by the page."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import pytest

from prvr.core.facts import Facts
from prvr.service import absent as module
from prvr.service.absent import Absent
from prvr.service.holdings import Holdings

FILES = {name: Facts(path=f"videos/{name}") for name in ("a", "b", "c")}


@dataclass
class Drive:
    """A library whose disk answers when it may."""

    gone_now: set[str] = field(default_factory=set)
    facts: dict[str, Facts] = field(default_factory=lambda: dict(FILES))
    may: threading.Event = field(default_factory=threading.Event)
    looks: int = 0

    def gone(self) -> dict[str, str]:
        self.looks += 1
        found = {name: f"videos/{name}" for name in self.gone_now}
        assert self.may.wait(20)
        return found


@pytest.fixture
def drive() -> Iterator[Drive]:
    made = Drive({"a"})
    made.may.set()
    yield made
    made.may.set()


def of(absent: Absent, drive: Drive, *, soon: bool = False) -> asyncio.Task[frozenset[str]]:
    return asyncio.ensure_future(absent.of(cast(Holdings, drive), soon=soon))


def test_all_who_ask_share_a_look_and_what_it_found(drive: Drive) -> None:
    async def ask() -> None:
        absent = Absent()
        drive.may.clear()
        waiting = [of(absent, drive, soon=number % 2 == 0) for number in range(20)]
        gives_up = of(absent, drive)
        await asyncio.sleep(0)
        gives_up.cancel()  # the others get their answer all the same
        drive.may.set()
        assert await asyncio.gather(*waiting) == [{"a"}] * 20
        drive.gone_now = {"a", "b"}
        assert await of(absent, drive) == {"a"}
        assert drive.looks == 1

    asyncio.run(ask())


def test_a_look_is_old_after_a_while(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRESH_S", 0.0)

    async def ask() -> None:
        absent = Absent()
        assert await of(absent, drive) == {"a"}
        drive.gone_now = {"b"}
        absent._good_until -= 60.0  # as if it had taken no time at all
        assert await of(absent, drive, soon=True) == {"b"}

    asyncio.run(ask())


def test_a_slow_drive_does_not_hold_up_the_page(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)

    async def ask() -> None:
        absent = Absent()
        drive.may.clear()
        assert await of(absent, drive, soon=True) == frozenset()
        assert await of(absent, drive, soon=True) == frozenset()
        drive.may.set()
        assert await of(absent, drive) == {"a"}  # who needs to know waits for the same look
        assert drive.looks == 1

    asyncio.run(ask())


def test_what_the_index_finds_meanwhile_is_not_gone(drive: Drive) -> None:
    async def ask() -> None:
        absent = Absent()
        drive.gone_now = {"a", "b", "c"}
        assert await of(absent, drive) == {"a", "b", "c"}
        drive.facts = {"a": Facts(path="moved/a"), "b": FILES["b"]}
        assert await of(absent, drive) == {"b"}
        assert drive.looks == 1

    asyncio.run(ask())
