"""What leakguard itself costs, measured where it runs: a tool that slows production without saying so is switched off."""

from __future__ import annotations

import math
import threading
import time
import typing

from leakguard.probes.requests import RequestTable, current, enter
from leakguard.probes.routes import read_asgi
from leakguard.records import Cost

_ROUNDS = 300  # about a millisecond, once per worker


class CostMeter:
    """Measures the guard's own cost; lives in the guard's thread."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._read = -math.inf
        self._thread: int | None = None
        self._share = 0.0
        self._hot_path_us: float | None = None

    def due(self, interval: float) -> bool:
        """Return whether so many seconds have passed since the last reading: a busy worker is judged far more often."""
        return time.monotonic() - self._read >= interval

    def read(self, stall: float) -> Cost:
        """Return the cost so far.

        Args:
            stall: the longest stall by a look, in seconds, as the observer knows it.
        """
        self._read = time.monotonic()
        if self._hot_path_us is None:
            self._hot_path_us = hot_path_us()
        thread = threading.get_ident()
        self._thread = self._thread or thread
        if thread == self._thread:  # at the end another thread may ask, whose own time says nothing
            self._share = time.thread_time() / max(time.monotonic() - self._began, 1e-9)
        return Cost(
            hot_path_us=round(self._hot_path_us, 2),
            stall_ms_max=round(stall * 1000, 1),
            share_of_cpu=round(self._share, 5),
        )


def hot_path_us() -> float:
    """Return the microseconds that one request costs on the hot path, fold included, here and now.

    Runs a few hundred requests through a table of its own. The wrapping of ``send`` is not in it: see
    ``python -m benchmarks requests`` for the whole.
    """
    table = RequestTable()
    scope: dict[str, typing.Any] = {"method": "GET", "path": "/", "root_path": ""}
    before = current.get()
    began = time.thread_time()
    for _ in range(_ROUNDS):
        passage = enter(scope)
        current.set(passage)
        table.begin(passage)
        passage.status = 200
        read_asgi(passage, scope)
        table.finish(passage)
    table.fold()
    took = time.thread_time() - began
    current.set(before)
    return took / _ROUNDS * 1e6
