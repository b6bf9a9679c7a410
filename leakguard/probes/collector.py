"""The cyclic collector: how often it ran, how long it stopped the process, and a moment to act around full collections."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping

from leakguard.records import Pauses


class _Tally:
    """What one window's pauses add up to."""

    __slots__ = ("count", "full", "longest", "total")

    def __init__(self) -> None:
        self.count = 0
        self.full = 0
        self.total = 0.0
        self.longest = 0.0


class CollectorProbe:
    """Times every collection through ``gc.callbacks``; costs about 1 microsecond per collection.

    The callback runs in any thread, at any allocation, with the process stopped: it takes no lock and writes no log. Two
    collections never overlap (the interpreter refuses a second one), so one starting time is enough.

    Attributes:
        fulls: full collections seen since ``install``.
        last_full: ``time.perf_counter()`` at the end of the latest one, 0 before the first.
        before_full, after_full: callables without arguments, run at the start and end of a full collection. They must be
            tiny and must not allocate much. One that raises is dropped for good and counted in ``dropped``.
        after_each: the same, at the end of every collection.
    """

    def __init__(self) -> None:
        self.fulls = 0
        self.last_full = 0.0
        self.before_full: list[Callable[[], object]] = []
        self.after_full: list[Callable[[], object]] = []
        self.after_each: list[Callable[[], object]] = []
        self.dropped = 0
        self._began: float | None = None
        self._tally = _Tally()
        # One bound method for good: it is looked up by identity, for ``==`` would ask the host's callbacks too.
        self._hook = self._on_collection

    def install(self) -> None:
        """Begin to listen; a second call changes nothing."""
        if not self._installed():
            gc.callbacks.append(self._hook)

    def remove(self) -> None:
        """Stop listening; a second call changes nothing."""
        gc.callbacks[:] = [callback for callback in gc.callbacks if callback is not self._hook]
        self._began = None

    def take(self) -> Pauses:
        """Return the pauses since the last ``take`` and begin anew."""
        taken, self._tally = self._tally, _Tally()
        return Pauses(taken.count, taken.full, taken.total, taken.longest)

    def share(self, elapsed: float) -> float:
        """Return the share, 0 to 1, that pauses since the last ``take`` cost of the ``elapsed`` seconds since then."""
        return min(self._tally.total / elapsed, 1.0) if elapsed > 0 else 0.0

    def _installed(self) -> bool:
        return any(callback is self._hook for callback in gc.callbacks)

    def _on_collection(self, phase: str, info: Mapping[str, int]) -> None:
        full = info["generation"] == 2
        if phase == "start":
            self._began = time.perf_counter()
            if full:
                self._run(self.before_full)
            return
        ended = time.perf_counter()
        began, self._began = self._began, None
        if began is None:
            return  # installed in the middle of a collection, by a finalizer
        # Looked up only now: nothing below can be interrupted by another thread's ``take``.
        tally = self._tally
        tally.count += 1
        tally.total += ended - began
        tally.longest = max(tally.longest, ended - began)
        if full:
            tally.full += 1
            self.fulls += 1
            self.last_full = ended
            self._run(self.after_full)
        self._run(self.after_each)

    def _run(self, hooks: list[Callable[[], object]]) -> None:
        for hook in tuple(hooks):
            try:
                hook()
            except Exception:
                self.dropped += 1
                hooks[:] = [other for other in hooks if other is not hook]
