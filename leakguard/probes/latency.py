"""Latency sketches: quantiles from a few bounded buckets that merge by addition across windows, routes and workers.

The buckets are those of DDSketch (Masson, Rim, Lee: "DDSketch", VLDB 2019): each border is ``GAMMA`` times the one before,
so a quantile is right within ``(GAMMA - 1) / (GAMMA + 1)``, 2.4 percent, whatever the distribution. Between the shortest and
the longest time we tell apart lie 426 buckets: the bound of every sketch.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable

from leakguard.records import Sketch

GAMMA = 1.05
_LOG_GAMMA = math.log(GAMMA)
_SHORTEST_MS = 0.01
_LONGEST_MS = 10_000_000.0
_FIRST = math.ceil(math.log(_SHORTEST_MS) / _LOG_GAMMA)
# The upper border of every bucket but the last, which takes all that is longer. Searching them costs a third of a logarithm.
_BORDERS = [GAMMA**number for number in range(_FIRST, math.ceil(math.log(_LONGEST_MS) / _LOG_GAMMA))]


def middle(number: int) -> float:
    """Return the time in milliseconds that stands for bucket ``number``: off by at most 2.4 percent for any of its times."""
    return 2 * GAMMA**number / (GAMMA + 1)


def add(buckets: dict[int, int], times_ms: Iterable[float]) -> float:
    """Count some times in milliseconds into ``buckets``; return the longest, 0 where there is none.

    In order, so that each bucket is searched for once and not for each of its times: those of one route differ by little.
    """
    times = sorted(times_ms)
    counted = 0
    while counted < len(times):
        place = bisect.bisect_left(_BORDERS, times[counted])
        end = bisect.bisect_right(times, _BORDERS[place], counted) if place < len(_BORDERS) else len(times)
        buckets[_FIRST + place] = buckets.get(_FIRST + place, 0) + end - counted
        counted = end
    return times[-1] if times else 0.0


def sketch(times_ms: Iterable[float]) -> Sketch:
    """Return the sketch of some times in milliseconds."""
    buckets: dict[int, int] = {}
    longest = add(buckets, times_ms)
    return Sketch(buckets, longest)


def merge(sketches: Iterable[Sketch]) -> Sketch:
    """Return one sketch with the counts of all ``sketches``; a single one as it is."""
    every = tuple(sketches)
    if len(every) == 1:
        return every[0]
    buckets: dict[int, int] = {}
    longest = 0.0
    for each in every:
        for number, count in each.buckets.items():
            buckets[number] = buckets.get(number, 0) + count
        longest = max(longest, each.max_ms)
    return Sketch(buckets, longest)


def count(sketch: Sketch) -> int:
    """Return how many times a sketch holds."""
    return sum(sketch.buckets.values())


def quantile(sketch: Sketch, q: float) -> float | None:
    """Return the time in milliseconds that a share ``q`` (0 to 1) of the requests did not exceed; ``None`` when empty.

    ``q=1`` is the exact maximum; no quantile is ever above it.
    """
    total = count(sketch)
    if not total:
        return None
    if q >= 1:
        return sketch.max_ms
    rank = max(math.ceil(q * total), 1)
    seen = 0
    for number in sorted(sketch.buckets):
        seen += sketch.buckets[number]
        if seen >= rank:
            return min(middle(number), sketch.max_ms)
    return sketch.max_ms
