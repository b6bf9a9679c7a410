"""The past that judging looks back on: bounded, and at its full size from the start.

A history that fills is growth like any other: a window more per interval is some dozen blocks, and in an app with little
traffic that is as much per request as a leak. So the room for all that will ever be remembered is taken with the first
record, as blocks of ballast, and each further record takes the place of some.
"""

from __future__ import annotations

import typing
from collections import deque

from leakguard.detection.footprint import weight

LARGER = 1.25  # a record so much heavier than the first has the ballast made anew, once, to its own weight
BLOCK = 15  # payload of one block of ballast: with its header 48 bytes, as large as most of what a record is made of

_Record = typing.TypeVar("_Record")


class Past(typing.Generic[_Record]):
    """The last ``most`` records of one kind, slim ones. Takes the blocks of ``most`` records with the first one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._records: deque[_Record] = deque()
        self._ballast: list[list[bytes]] = []
        self._heaviest = 0

    def add(self, record: _Record) -> None:
        """Remember one more record, and forget the oldest when there are too many. Milliseconds once, then about 20 us."""
        heavy = weight(record)
        if heavy > LARGER * self._heaviest:
            self._heaviest = heavy
            empty = self._most - len(self._records)
            self._ballast = [[bytes(BLOCK) for _ in range(heavy)] for _ in range(empty)]
        self._records.append(record)
        if self._ballast:
            self._ballast.pop()
        if len(self._records) > self._most:
            self._records.popleft()

    @property
    def room(self) -> int:
        """How many blocks it takes, records and ballast together."""
        return self._most * self._heaviest

    @property
    def records(self) -> tuple[_Record, ...]:
        """What is remembered, oldest first."""
        return tuple(self._records)

    @property
    def last(self) -> _Record | None:
        """The newest record, ``None`` before the first."""
        return self._records[-1] if self._records else None
