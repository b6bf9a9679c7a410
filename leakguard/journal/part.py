"""Which part of a journal is meant: a span of time, some workers, some routes."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a journal; everything by default.

    ``since`` and ``until`` are seconds since the epoch: a window belongs where it closed. ``workers`` are process ids.
    ``routes`` are names as the report prints them, or shell patterns (``POST *``).
    """

    since: float | None = None
    until: float | None = None
    workers: frozenset[int] = frozenset()
    routes: tuple[str, ...] = ()

    @property
    def began(self) -> float:
        """The first moment of the part."""
        return float("-inf") if self.since is None else self.since

    @property
    def ended(self) -> float:
        """The last moment of the part."""
        return float("inf") if self.until is None else self.until

    def has_worker(self, pid: int) -> bool:
        """Return whether this worker belongs to the part."""
        return not self.workers or pid in self.workers

    def has_route(self, route: str | None) -> bool:
        """Return whether what this route did belongs to the part; what no route did belongs to the whole only."""
        if not self.routes:
            return True
        return route is not None and any(route == each or fnmatch.fnmatchcase(route, each) for each in self.routes)


WHOLE = Part()
