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

    def wait(self, client: str, *, now: float | None = None) -> float:
        """Seconds until this client may ask again; 0: now, which counts as one."""
        now = time.monotonic() if now is None else now
        left, then = self._left.pop(client, (self._most, now))
        left = min(self._most, left + (now - then) * self._speed)
        allowed = left >= 1
        self._left[client] = (left - 1 if allowed else left), now
        while len(self._left) > MOST_CLIENTS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._speed
