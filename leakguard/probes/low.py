"""The low-water mark of the allocated blocks: what comes and goes lies above it, what stays does not."""

from __future__ import annotations

import sys
import time
import typing
from collections.abc import Callable

DEAR = 20e-6
"""Seconds that a reading after a collection may take on average: 15 us in a small process, a millisecond in a large one."""


class Low(typing.NamedTuple):
    """A number of allocated blocks, and the requests that had been handled when it was read."""

    blocks: int
    requests: int


_NONE = Low(sys.maxsize, 0)


class LowWater:
    """The fewest allocated blocks since the last ``take``, read now and then and right after collections.

    Between two young collections some hundred dead objects wait in cycles, more or fewer at each moment at which one happens to
    look. Right after one they are gone: the level of the post-collection heap, which detectors of other runtimes fit as well.

    A level that grows is lowest where the window began: so the requests handled by then are noted with it.

    Args:
        own: how many of the blocks are leakguard's own.
        requests: how many were handled so far.
    """

    def __init__(self, own: Callable[[], int], requests: Callable[[], int]) -> None:
        self._own = own
        self._requests = requests
        self._lowest = _NONE
        self._skip = 0

    def note(self) -> Low:
        """Read the level and return it."""
        low = Low(sys.getallocatedblocks() - self._own(), self._requests())
        self._lowest = min(self._lowest, low)
        return low

    def after_collection(self) -> None:
        """Read the level; called with the process stopped, at the end of a collection of any generation."""
        if self._skip:
            self._skip -= 1
            return
        began = time.perf_counter()
        self.note()
        self._skip = int((time.perf_counter() - began) / DEAR)

    def take(self) -> tuple[Low, Low]:
        """Return the level now and the lowest since the last call, and begin anew."""
        now = self.note()
        lowest, self._lowest = self._lowest, _NONE
        return now, lowest
