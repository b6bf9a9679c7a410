"""What the guard remembers: bounded, and no growth of its own while it fills."""

from __future__ import annotations

import gc
import sys

from leakguard.detection.footprint import slim
from leakguard.guard.past import Past
from leakguard.records import Reading, RouteCount, Sketch, Window


def window(number: int) -> Window:
    """Return a window as a worker with three routes closes it."""
    routes = tuple(
        RouteCount(f"GET /{name}", 1000 + number, 0, Sketch({n: n + number for n in range(30)}, 1.5 * number))
        for name in "abc"
    )
    reading = Reading(
        1e9 + number, (50 << 20) + number, None, (10 << 20) + number, 200_000 + number, 3, 12, 4, number / 7
    )
    return slim(
        Window(1e9 + number, 1e9 + number + 0.5, reading, 1000 * number, 1, routes, blocks_low=190_000 + number)
    )


def test_the_newest_are_kept_and_the_number_is_bounded() -> None:
    """The past is the last so many records, in order."""
    past: Past[Window] = Past(10)
    assert past.last is None
    for number in range(25):
        past.add(window(number))
    assert [w.requests for w in past.records] == [1000 * n for n in range(15, 25)]
    assert past.last == window(24)


def test_filling_takes_no_more_blocks_than_the_first_record() -> None:
    """A history that fills must not look like a leak: its blocks stay within a tenth of what it took at once."""
    gc.collect()
    before = sys.getallocatedblocks()
    past: Past[Window] = Past(300)
    past.add(window(0))
    at_once = sys.getallocatedblocks() - before
    for number in range(1, 300):
        past.add(window(number))
    gc.collect()
    filled = sys.getallocatedblocks() - before
    assert at_once > 300 * 10
    assert abs(filled - at_once) < at_once / 10


def test_heavier_records_have_the_room_made_anew_once() -> None:
    """An app whose routes come later gets its room later, in one step and not in three hundred."""
    past: Past[Window] = Past(200)
    small = slim(Window(0.0, 1.0, Reading(1e9, 1), 0, 0))
    past.add(small)
    past.add(window(1))
    gc.collect()
    before = sys.getallocatedblocks()
    for number in range(2, 200):
        past.add(window(number))
    gc.collect()
    assert abs(sys.getallocatedblocks() - before) < 200 * 3
