"""Stamps of a file whose clock was started again, or leapt ahead, on the way: put into one clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from math import inf
from typing import Any

from av.packet import Packet

from prvr.video.source import Source

TS_DISCONT = 0x0200  # AVFMT_TS_DISCONT of FFmpeg
BACK_S = 1.0  # a decoding stamp that went back by more is a clock that was started again
AHEAD_S = 10.0  # one that leapt ahead by more is an interruption, as for FFmpeg ...
AHEAD_STILL_S = 600.0  # ... but in Matroska, where pictures may stand as long as they like
SOUND_STEP_S = 0.02
REORDER = 16  # no codec presents a picture later than this many packets after its own


class Shifts:
    """Packets of one file in one clock, where that was started again or leapt on the way.

    Decoding stamps of a stream only grow while one clock runs, whatever the order of the pictures. One that lies more
    than a second before the one before it was made by a clock that was started again; smaller steps back are strays of
    program streams, and are left as they are. One that lies more than `ahead_s` after it is an interruption, unless
    packets of the other stream lie in between: then the picture stood still that long. From there on all stamps are
    moved so that the first follows the last good one after one `interval`, and is shown after all that came before (of
    a Matroska file FFmpeg makes up the decoding stamps, and otherwise behind a leap). What holds for the pictures holds
    for the sound, whichever came first. A packet that fits a clock from before is put back into that one, so that a
    single stray one moves nothing.
    """

    def __init__(self, *, ahead_s: float = inf, interval_s: float = SOUND_STEP_S) -> None:
        self.known = [0.0]  # seconds to add, the clocks that were seen
        self._ahead, self._interval = ahead_s, interval_s
        self._ticks: dict[int, float] = {}  # by stream: seconds
        self._now: dict[int, float] = {}  # by stream: the shift
        self._last: dict[int, float] = {}  # by stream: the last stamp, moved, seconds
        self._shown: dict[int, float] = {}  # by stream: the latest time of presentation, moved, seconds
        self._doubt: dict[int, tuple[float, float]] = {}  # by stream that has just leapt: shift and stamp before

    @property
    def leaps(self) -> int:
        """How often the clock was started again or leapt."""
        return len(self.known) - 1

    def move(self, packet: Packet[Any]) -> float:
        """Move the stamps of the next packet in the file; -> by how many seconds."""
        dts, index = packet.dts, packet.stream_index
        if dts is None:
            return self._now.get(index, self.known[-1])
        tick = self._ticks.get(index) or self._ticks.setdefault(index, float(packet.time_base))
        time, shift = dts * tick, self._now.get(index, self.known[-1])
        last = self._last.get(index)
        doubt = self._doubt.pop(index, None) if self._doubt else None
        if doubt is not None and self._follows(index, time + doubt[0], doubt[1]):
            self.known.remove(shift)  # the packet before was a stray
            shift = doubt[0]
        elif last is not None and not self._follows(index, time + shift, last):
            fits = (one for one in reversed(self.known) if self._follows(index, time + one, last))
            fit = next(fits, None)
            if fit is None:
                self._doubt[index] = (shift, last)
                fit = self._after(packet, dts, last, tick)
                self.known.append(fit)
            shift = fit
        self._now[index], self._last[index] = shift, time + shift
        late = 0.0 if packet.pts is None else (packet.pts - dts) * tick
        if late <= REORDER * self._interval:  # beyond it is one that waits
            self._shown[index] = max(self._shown.get(index, -inf), time + shift + late)
        if shift:
            packet.dts = dts + round(shift / tick)
            if packet.pts is not None:
                packet.pts += round(shift / tick)
        return shift

    def waits(self, packet: Packet[Any], moved: float) -> bool:
        """Whether a packet is to be presented beyond a leap that is not known yet; it is put right where it is.

        `moved` is by how much it was moved.
        """
        pts, dts = packet.pts, packet.dts
        if self._ahead == inf or pts is None or dts is None:
            return False
        tick = self._ticks[packet.stream_index]
        if (pts - dts) * tick <= self._ahead:
            return False
        for shift in reversed(self.known):
            right = pts + round((shift - moved) / tick)
            if abs(right - dts) * tick <= self._ahead:
                packet.pts = right
                return False
        return True

    def _after(self, packet: Packet[Any], dts: int, last: float, tick: float) -> float:
        """The shift by which a packet follows the last good one."""
        if packet.stream.type != "video":
            return last + SOUND_STEP_S - dts * tick
        shown = self._shown[packet.stream_index] - (dts if packet.pts is None else packet.pts) * tick
        return max(last - dts * tick, shown) + self._interval

    def _follows(self, index: int, time: float, last: float) -> bool:
        if time - last <= self._ahead:
            return time - last >= -BACK_S
        return any(other - last > (time - last) / 2 for at, other in self._last.items() if at != index)


def one_clock(packets: Iterable[Packet[Any]], shifts: Shifts) -> Iterator[Packet[Any]]:
    """The same packets, in order, their stamps moved (see `Shifts`).

    Where FFmpeg makes the decoding stamps itself (Matroska, program streams), a leap is seen in the times of pictures
    a few packets earlier than in those: such packets wait until the leap is known.
    """
    held: list[tuple[Packet[Any], float]] = []
    for packet in packets:
        moved = shifts.move(packet)
        if not held and not shifts.waits(packet, moved):
            yield packet
            continue
        held.append((packet, moved))
        if len(held) > REORDER or not any(shifts.waits(*one) for one in held):
            yield from (one for one, _ in held)
            held.clear()
    yield from (one for one, _ in held)


def ahead_of(source: Source) -> float:
    """Seconds; a leap ahead by more is an interruption."""
    if leaps_often(source):
        return AHEAD_S
    return AHEAD_STILL_S if "matroska" in source.formats else inf


def leaps_often(source: Source) -> bool:
    """Whether the format is one whose clock may start again or leap: MPEG streams and FLV."""
    return bool(source.container.format.flags & TS_DISCONT) or "flv" in source.formats


def leaps_in(source: Source) -> bool:
    """Whether the index of a Matroska file, once it was sought in, shows a leap (it may be a long still picture)."""
    if "matroska" not in source.formats:
        return False
    entries = [(entry.timestamp, entry.pos) for entry in source.stream.index_entries]
    longest = AHEAD_STILL_S / (source.stream.time_base or 1)
    return any(b[0] - a[0] > longest or b[1] < a[1] for a, b in pairwise(entries))
