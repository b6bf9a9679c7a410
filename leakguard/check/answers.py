"""What the app answered: counted per request of the list, in room that is taken at once and never grows."""

from __future__ import annotations

import typing
from array import array
from collections.abc import Sequence

HIGHEST = 600
"""Statuses are below."""


class Answer(typing.NamedTuple):
    """One answer: its status (500 for an exception that reached the server) and what went wrong, in words."""

    status: int
    cause: str | None = None


class Answers:
    """Counts the statuses per request of the list, and keeps the first cause of each that failed."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._counts = array("q", bytes(8 * HIGHEST * len(names)))
        self._causes: list[str | None] = [None] * len(names)

    def add(self, index: int, answer: Answer) -> None:
        """Count one answer to request ``index`` of the list."""
        self._counts[index * HIGHEST + min(max(answer.status, 0), HIGHEST - 1)] += 1
        if answer.cause is not None and self._causes[index] is None:
            self._causes[index] = answer.cause

    def cause(self, index: int) -> str | None:
        """Return what went wrong first with a request, ``None`` when nothing is known to have."""
        return self._causes[index]

    def statuses(self, index: int) -> dict[int, int]:
        """Return how often request ``index`` was answered how."""
        start = index * HIGHEST
        return {status: count for status in range(HIGHEST) if (count := self._counts[start + status])}

    def always(self, index: int) -> int | None:
        """Return the status that request ``index`` was answered with every time; ``None`` when they differ or none came."""
        seen = self.statuses(index)
        return next(iter(seen)) if len(seen) == 1 else None

    @property
    def total(self) -> int:
        """Answers in all."""
        return sum(self._counts)
