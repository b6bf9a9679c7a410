"""A heap of a chosen size, and writes all over it."""

from __future__ import annotations

import gc
import random
import typing

TRACKED_PER_UNIT = 3


class Slotted:
    """One of the three tracked objects of a unit."""

    __slots__ = ("number", "text")

    def __init__(self, number: int) -> None:
        self.number = number
        self.text = f"text of {number}"


HEAP: list[dict[str, typing.Any]] = []
_dice = random.Random(1)


def fill(objects: int) -> None:
    """Make a heap of about ``objects`` tracked objects: units of a dict, a list and a slotted object, with text and numbers."""
    gc.disable()
    units = range(objects // TRACKED_PER_UNIT)
    HEAP.extend({"number": n, "rows": [n, str(n)], "thing": Slotted(n)} for n in units)
    gc.enable()


def write(count: int) -> None:
    """Write into ``count`` objects chosen at random."""
    if HEAP:
        for _ in range(count):
            HEAP[_dice.randrange(len(HEAP))]["number"] += 1
