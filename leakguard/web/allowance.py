"""How often somebody may: a token bucket per client, for a bounded number of clients."""

from __future__ import annotations

import time
from collections import OrderedDict

MAX_CLIENTS = 256  # the longest unseen goes first


class Allowance:
    """Allows ``burst`` at once and ``per_second`` in the long run, for each client."""

    def __init__(self, *, burst: int, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what was left, and when

    def left(self, client: str) -> bool:
        """Return whether this client may, without taking anything."""
        return self._level(client) >= 1

    def take(self, client: str) -> bool:
        """Return whether this client may, and count it if so."""
        level = self._level(client)
        if level < 1:
            return False
        self._clients[client] = (level - 1, time.monotonic())
        self._clients.move_to_end(client)
        if len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        return True

    def _level(self, client: str) -> float:
        level, at = self._clients.get(client, (float(self._burst), 0.0))
        return min(level + (time.monotonic() - at) * self._per_second, float(self._burst))
