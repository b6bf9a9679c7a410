"""Levels of the whole process that grow: allocated blocks, C heap, resident memory, threads, descriptors, tasks."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from itertools import pairwise

from leakguard.detection import words
from leakguard.detection.growth import Floor, Growth, Point, find_growth
from leakguard.detection.routes import EVERY, Counts, attribute_levels
from leakguard.detection.suspicion import Suspicion
from leakguard.records import Kind, Reading, Status, Window

_LEAST_GARBAGE = 0.05  # of the level's range: what falls by less is noise

SMALL_OBJECT = 512
"""Bytes: larger requests of Python's allocator go to malloc, and count as C heap beside their one block."""


class Vital(typing.NamedTuple):
    """One level: how it is called, its unit, its floor, and how to read it off a window."""

    key: str
    name: str
    noun: str
    kind: Kind
    floor: Floor
    level: Callable[[Window], float | None]

    def rates(self, *values: float) -> str:
        """Return rates of this level in words, the noun once."""
        each = words.size_rate if self.noun == "" else words.rate
        return f"{' / '.join(each(value) for value in values)} {self.noun}".rstrip()


def _of(name: str) -> Callable[[Window], float | None]:
    def level(window: Window) -> float | None:
        reading: Reading = window.reading
        value: int | None = getattr(reading, name)
        return value

    return level


def _blocks(window: Window) -> float | None:
    return window.blocks_low or window.reading.blocks or None


# The floors are what real leaks of released packages exceed and their fixed releases stay below (a few blocks or bytes per
# request are caches of the interpreter). Per window: what our own history and journal may take. Resident memory is the
# noisiest: what an allocator keeps comes in megabytes.
BLOCKS = Vital("blocks", "allocated blocks", "blocks", Kind.LEAK, Floor(0.06, 400, per_window=10), _blocks)
HEAP = Vital("heap", "C heap in use", "", Kind.NATIVE, Floor(12, 64 * 1024, per_window=800), _of("heap"))
RSS = Vital("rss", "resident memory", "", Kind.ALLOCATOR, Floor(256, 8 * 1024 * 1024), _of("rss"))
THREADS = Vital("threads", "threads", "threads", Kind.THREADS, Floor(0.002, 12), _of("threads"))
FDS = Vital("fds", "open descriptors", "descriptors", Kind.DESCRIPTORS, Floor(0.002, 24), _of("fds"))
TASKS = Vital("tasks", "asyncio tasks", "tasks", Kind.TASKS, Floor(0.002, 20), _of("tasks"))


def points(windows: Sequence[Window], vital: Vital) -> list[Point]:
    """Return the warm windows as points; those without requests, and those where the level is unknown, are left out."""
    requests: list[int] = []
    levels: list[float] = []
    traffic: list[float] = []
    swept: list[bool] = []
    for before, window in pairwise(windows):
        level, done = vital.level(window), window.requests - before.requests
        if level is None or not window.warm or done <= 0:
            continue
        elapsed = window.closed - before.closed
        requests.append(window.requests_at_low if vital is BLOCKS else window.requests)
        levels.append(level)
        traffic.append(done / elapsed if elapsed > 0 else 0.0)
        swept.append(window.pauses.full > 0)
    if vital is BLOCKS or vital is HEAP:
        levels = _without_garbage(requests, levels, swept)
    around = [_around(traffic, i) for i in range(len(traffic))]
    return list(map(Point, requests, levels, around))


def _without_garbage(requests: Sequence[int], levels: Sequence[float], swept: Sequence[bool]) -> list[float]:
    """Return the levels without what a full collection freed, which had piled up evenly since the one before it."""
    out = list(levels)
    least = _LEAST_GARBAGE * (max(levels) - min(levels)) if levels else 0.0
    start = 0
    for end in range(1, len(levels)):
        if not swept[end]:
            continue
        freed, handled = levels[end - 1] - levels[end], requests[end - 1] - requests[start]
        if freed > least and handled > 0:
            for i in range(start, end):
                out[i] -= freed * (requests[i] - requests[start]) / handled
        start = end
    return out


def _around(traffic: Sequence[float], i: int) -> float:
    """Return the traffic around a window: that of a single one is blurred by the chance in which requests come."""
    near = traffic[max(i - 2, 0) : i + 3]
    return sum(near) / len(near)


def measure(windows: Sequence[Window], vital: Vital) -> Growth | None:
    """Return the growth of one level, ``None`` when there is none that lasts."""
    return find_growth(points(windows, vital), vital.floor)


def suspect(windows: Sequence[Window], vital: Vital, growth: Growth, counts: Counts) -> Suspicion:
    """Put a growth into words, with its route where that can be told."""
    seen = points(windows, vital)
    where = attribute_levels([(p.requests, p.level, p.traffic) for p in seen], counts)
    grew = (
        f"{vital.name} grew in each third of {words.plural(growth.windows, 'window')} and "
        f"{words.plural(growth.requests, 'request')}: {vital.rates(*growth.parts)} per request"
    )
    reasons = [grew]
    if growth.later is not None:
        reasons.append(f"the windows after them agree: {vital.rates(growth.later)} per request")
    if where.cause and where.cause is not EVERY:
        reasons.append(f"follows {where.cause}: {vital.rates(where.per_request)} each")
    elif where.reason:
        reasons.append(where.reason)
    in_bytes = vital.noun == ""
    rate = where.per_request if where.route else growth.per_request
    return Suspicion(
        kind=vital.kind,
        status=growth.status,
        key=vital.key,
        name=vital.name,
        per_request=rate,
        bytes_per_request=rate if in_bytes else None,
        count=None if in_bytes or vital is BLOCKS else int(seen[-1].level),
        route=where.route,
        failed=bool(where.cause and where.cause.failed),
        reasons=tuple(reasons),
        growth=growth.total,
        requests=growth.requests,
    )


def is_native(heap: Growth, blocks: Growth | None) -> bool:
    """Say whether the C heap grows by more than Python's blocks can account for, even at their largest."""
    return blocks is None or heap.per_request > SMALL_OBJECT * blocks.per_request


def stale(status: Status, other: Status) -> bool:
    """Say whether a suspicion of ``status`` may be explained away by one of ``other``: no suspect explains a fact."""
    return status is Status.SUSPECT or other is Status.CONFIRMED
