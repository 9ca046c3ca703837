"""How often somebody may ask."""

from __future__ import annotations

import time
from collections import OrderedDict

MOST_CLIENTS = 10_000  # that are remembered


class Rate:
    """So many a minute for each client, in bursts of at most a quarter of that."""

    def __init__(self, per_minute: int) -> None:
        self._speed, self._most = per_minute / 60, max(1.0, per_minute / 4)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client -> what was left, and when

    def spent(self, client: str) -> bool:
        """Whether this client would have to wait; that does not count."""
        return self._has(client, time.monotonic()) < 1

    def wait(self, client: str, *, now: float | None = None) -> float:
        """Seconds until this client may ask again; 0: now, which counts as one."""
        now = time.monotonic() if now is None else now
        left = self._has(client, now)
        self._left.pop(client, None)
        allowed = left >= 1
        self._left[client] = (left - 1 if allowed else left), now
        while len(self._left) > MOST_CLIENTS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._speed

    def _has(self, client: str, now: float) -> float:
        left, then = self._left.get(client, (self._most, now))
        return min(self._most, left + (now - then) * self._speed)
