"""Unhandled exceptions: recorded by fingerprint, counted, bounded; no exception, traceback or message is kept.

A ``Cause`` is what the raising side knows (type and place); with a route it becomes a ``records.Failure``. At most
``MAX_FAILURES`` are remembered at a time; the one not seen for longest makes room (the journal has its count).
"""

from __future__ import annotations

import hashlib
import threading
import types
import typing

from leakguard.probes import code
from leakguard.records import Failure, Site

MAX_FAILURES = 256
MAX_FRAMES = 200  # of a traceback: a recursion error has a thousand, all alike
NO_ROUTE = "(outside requests)"


class Cause(typing.NamedTuple):
    """Type and place of one unhandled exception; equal for equal ones, and free of any live object."""

    type: str
    site: Site | None
    source: str


def cause_of(error: BaseException, source: str = "request") -> Cause:
    """Return the cause of an exception: its type and the innermost place in the application's own code.

    Reads code names and line numbers only; about 5 us for a traceback of ten frames.
    """
    kind = type(error)
    module = kind.__module__
    name = kind.__qualname__ if module in {"builtins", "__main__"} else f"{module}.{kind.__qualname__}"
    return Cause(name[:200], _place(error.__traceback__), source)


def _place(traceback: types.TracebackType | None) -> Site | None:
    places: list[tuple[str, int, str]] = []
    while traceback is not None and len(places) < MAX_FRAMES:
        its_code = traceback.tb_frame.f_code
        places.append((its_code.co_filename, traceback.tb_lineno, its_code.co_name))
        traceback = traceback.tb_next
    return code.own_first(reversed(places))


def fingerprint(cause: Cause, route: str) -> str:
    """Return the stable id of a failure: a hash of type, file, function and route. Lines move; functions stay."""
    place = f"{cause.site.file}|{cause.site.function}|{cause.site.line}" if cause.site else ""
    text = f"{cause.type}|{place}|{route}"
    return hashlib.sha1(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()[:12]


class FailureTable:
    """Counts the unhandled exceptions of one process. Safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[Cause, str, int]] = {}
        self._untaken: dict[str, int] = {}
        self.total = 0
        self.evicted = 0

    def record(self, cause: Cause, route: str = NO_ROUTE) -> str:
        """Count one failure and return its fingerprint."""
        print_ = fingerprint(cause, route)
        with self._lock:
            _, _, count = self._counts.pop(print_, (cause, route, 0))
            self._counts[print_] = (cause, route, count + 1)  # back in as the newest
            self._untaken[print_] = self._untaken.get(print_, 0) + 1
            self.total += 1
            while len(self._counts) > MAX_FAILURES:
                oldest = next(iter(self._counts))
                del self._counts[oldest]
                self._untaken.pop(oldest, None)
                self.evicted += 1
        return print_

    def known(self) -> dict[str, Failure]:
        """Return every remembered failure by its fingerprint, with its count since the process started."""
        with self._lock:
            return {key: _failure(key, *entry) for key, entry in self._counts.items()}

    def take(self) -> tuple[Failure, ...]:
        """Return the failures since the last call, each with its count *since then*: what the journal adds up."""
        with self._lock:
            fresh = tuple(
                _failure(key, cause, route, self._untaken[key])
                for key, (cause, route, _) in self._counts.items()
                if key in self._untaken
            )
            self._untaken = {}
        return fresh


def _failure(key: str, cause: Cause, route: str, count: int) -> Failure:
    return Failure(fingerprint=key, type=cause.type, site=cause.site, route=route, count=count, source=cause.source)
