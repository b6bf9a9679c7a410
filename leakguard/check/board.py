"""What the process with the app is doing, in memory that the process which watches over it reads: no word must be sent."""

from __future__ import annotations

import mmap
import struct
import time

IMPORTING, STARTING, ASKING, MEASURING, STOPPING, DONE = range(6)
"""The phases of a check, in their order."""

PHASES = (
    "importing the app",
    "starting the app up",
    "sending the first requests",
    "measuring",
    "shutting the app down",
    "",
)

_HEAD = struct.Struct("<qq")  # phase, round trips
_SEAT = struct.Struct("<dq")  # when its request was sent (monotonic; 0: none is on its way), which


class Board:
    """One per check, made before the process with the app is forked off. Writing allocates nothing that stays.

    Args:
        seats: requests that can be on their way at a time.
    """

    def __init__(self, seats: int) -> None:
        self._seats = seats
        self._memory = mmap.mmap(-1, _HEAD.size + seats * _SEAT.size)

    def enter(self, phase: int, trips: int | None = None) -> None:
        """Write the phase, and the round trips made in all."""
        _HEAD.pack_into(self._memory, 0, phase, self.trips if trips is None else trips)

    def count(self, trips: int) -> None:
        """Add to the round trips made in all."""
        self.enter(self.phase, self.trips + trips)

    def send(self, seat: int, index: int) -> None:
        """Write that request ``index`` of the list is on its way."""
        _SEAT.pack_into(self._memory, self._offset(seat), time.monotonic(), index)

    def answered(self, seat: int) -> None:
        """Write that nothing is on its way."""
        _SEAT.pack_into(self._memory, self._offset(seat), 0.0, 0)

    @property
    def phase(self) -> int:
        """What is being done."""
        return int(_HEAD.unpack_from(self._memory, 0)[0])

    @property
    def trips(self) -> int:
        """How many round trips were made."""
        return int(_HEAD.unpack_from(self._memory, 0)[1])

    def oldest(self) -> tuple[float, int] | None:
        """Return when the request that is on its way for longest was sent, and which it is."""
        seats = [_SEAT.unpack_from(self._memory, self._offset(seat)) for seat in range(self._seats)]
        return min(((began, index) for began, index in seats if began), default=None)

    def _offset(self, seat: int) -> int:
        return _HEAD.size + seat * _SEAT.size
