"""The event loop: how long a callback waits for its turn, and how much of its thread's time the loop is busy."""

from __future__ import annotations

import functools
import sys
import time
import typing

from leakguard.records import LoopLoad

if typing.TYPE_CHECKING:
    import asyncio


class LoopProbe:
    """Measures one event loop from another thread by a heartbeat.

    ``beat`` puts one tiny callback into the loop; how long it waits is the lag that every request feels. At most one beat is
    under way, so a loop that hangs collects nothing. Costs a few microseconds of the loop per beat.

    Args:
        loop: the event loop.
        thread_ident: ``threading.get_ident()`` of the thread that runs it, alive now.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, thread_ident: int) -> None:
        self._loop = loop
        self._clock = _clock_of(thread_ident)
        self._sent: float | None = None
        self._void = False
        self._longest = 0.0
        self._since = time.perf_counter()
        self._used = self._processor_time()

    def beat(self) -> None:
        """Send one beat, unless one is still waiting or the loop does not run."""
        if not self._alive() or self._sent is not None:
            return
        sent = time.perf_counter()
        self._sent = sent
        try:
            self._loop.call_soon_threadsafe(functools.partial(self._arrive, sent))
        except RuntimeError:  # closed since we asked
            self._sent = None

    def take(self) -> LoopLoad:
        """Return the load since the last ``take``: longest lag, that of a beat still waiting included, and busy share.

        ``busy`` is ``None`` where the processor time of a thread cannot be read, and once the thread has ended.
        """
        now = time.perf_counter()
        sent = self._sent
        waiting = now - sent if sent is not None and self._alive() and not self._void else 0.0
        longest, self._longest = self._longest, 0.0
        used, before = self._processor_time(), self._used
        elapsed, self._since, self._used = now - self._since, now, used
        busy = None
        if used is not None and before is not None and elapsed > 0:
            busy = min(max((used - before) / elapsed, 0.0), 1.0)
        return LoopLoad(lag=max(longest, waiting), busy=busy)

    def _arrive(self, sent: float) -> None:
        if not self._void:
            self._longest = max(self._longest, time.perf_counter() - sent)
        self._sent, self._void = None, False

    def _alive(self) -> bool:
        """Return whether the loop runs; a beat that met a stopped loop will say nothing about its lag."""
        if self._loop.is_running():
            return True
        self._void = self._sent is not None
        return False

    def _processor_time(self) -> float | None:
        if self._clock is None:
            return None
        try:
            return time.clock_gettime(self._clock)
        except OSError:  # the thread has ended
            return None


def _clock_of(thread_ident: int) -> int | None:
    # The C library reads the memory of the thread that it is given: for one that has ended the process may crash. So ask
    # once, while it is surely alive, and keep the clock's number, which stays harmless when the thread ends.
    if thread_ident not in sys._current_frames():
        return None
    try:
        return time.pthread_getcpuclockid(thread_ident)
    except (AttributeError, OSError):
        return None
