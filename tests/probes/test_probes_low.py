"""The low-water mark of the allocated blocks: what comes and goes is not in it, and it knows when it was read."""

from __future__ import annotations

import gc
import sys

import pytest

from leakguard.probes.collector import CollectorProbe
from leakguard.probes.low import LowWater


class Counter:
    """Requests handled, as a table would count them."""

    total = 0

    def handled(self) -> int:
        return self.total


@pytest.fixture
def requests() -> Counter:
    return Counter()


def test_the_lowest_reading_comes_with_its_requests(requests: Counter) -> None:
    """What grows is lowest at the beginning: the mark says how many requests had been handled by then."""
    low = LowWater(int, requests.handled)
    requests.total = 10
    low.note()
    kept = [object() for _ in range(5000)]
    requests.total = 200
    now, lowest = low.take()
    assert (now.requests, lowest.requests) == (200, 10)
    assert now.blocks - lowest.blocks >= len(kept)


def test_each_window_begins_anew(requests: Counter) -> None:
    """What was low in one window is not the next one's."""
    low = LowWater(int, requests.handled)
    low.take()
    kept = [object() for _ in range(5000)]
    before = low.take()[1]
    kept.clear()
    assert low.take()[1].blocks <= before.blocks - 4000


def test_leakguards_own_blocks_are_taken_off(requests: Counter) -> None:
    """What is our own is no level of the host's."""
    own = LowWater(lambda: 10_000, requests.handled).take()[0].blocks
    assert own == pytest.approx(LowWater(int, requests.handled).take()[0].blocks - 10_000, abs=500)


def test_garbage_that_waits_is_not_in_the_mark(requests: Counter) -> None:
    """After any collection the level is read again, without the cycles that waited for it."""
    low = LowWater(int, requests.handled)
    probe = CollectorProbe()
    probe.after_each.append(low.after_collection)
    gc.collect()
    probe.install()
    try:
        gc.disable()
        for _ in range(3000):
            cycle: list[object] = []
            cycle.append(cycle)
        del cycle
        full = sys.getallocatedblocks()
        requests.total = 5
        gc.collect(0)
    finally:
        gc.enable()
        probe.remove()
    assert full - low.take()[1].blocks >= 2500
