"""How a finding grew: the level behind it in every window of the worker that was seen longest."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leakguard.journal.story import Story, WorkerStory
from leakguard.records import Finding, Kind, Window

MOST_POINTS = 60
FEWEST_POINTS = 4
PARTS = 3

Level = Callable[[Window], float | None]

_LEVELS: dict[Kind, tuple[str, Level]] = {
    Kind.RETAINED_REQUESTS: ("requests kept", lambda window: sum(route.retained for route in window.routes)),
    Kind.GC_DEBT: ("requests left to the collector", lambda window: sum(route.gc_debt for route in window.routes)),
    Kind.TASKS: ("tasks", lambda window: window.reading.tasks),
    Kind.THREADS: ("threads", lambda window: window.reading.threads),
    Kind.DESCRIPTORS: ("open descriptors", lambda window: window.reading.fds),
    Kind.NATIVE: ("C heap in use", lambda window: window.reading.heap),
    Kind.ALLOCATOR: ("memory", lambda window: window.reading.rss),
    Kind.LEAK: ("blocks of Python's allocator", lambda window: window.blocks_low or window.reading.blocks or None),
}
_BYTES = frozenset({Kind.NATIVE, Kind.ALLOCATOR})
_EVENTS = frozenset({Kind.GC_DEBT})  # counted per window, not as a level


@dataclass(frozen=True, slots=True)
class Levels:
    """A level over time in one worker.

    ``points`` are (seconds since the epoch, requests handled so far, level). ``rates`` is the level's rise per request in each
    third of the time, oldest first; ``per`` says what is counted as a request.
    """

    name: str
    pid: int
    points: tuple[tuple[float, float, float], ...]
    rates: tuple[float, ...]
    per: str
    in_bytes: bool

    @property
    def values(self) -> tuple[float, ...]:
        """The level alone."""
        return tuple(level for _, _, level in self.points)


def levels(finding: Finding, story: Story) -> Levels | None:
    """Return the level behind a finding; ``None`` when too little of it was measured.

    Args:
        finding: what grew.
        story: read with the finding's route as the only one, if it has one.
    """
    name, of = _LEVELS.get(finding.kind, _LEVELS[Kind.LEAK])
    best: tuple[tuple[float, float, float], ...] = ()
    pid = 0
    for each in story.workers:
        points = _points(each, of, finding)
        if len(points) >= FEWEST_POINTS and _rise(points) >= _rise(best):
            best, pid = points, each.worker.pid
    if not best:
        return None
    per = f"request of {finding.route}" if _by_route(finding) else "request"
    return Levels(name, pid, _thin(best), _rates(best), per, finding.kind in _BYTES)


def _by_route(finding: Finding) -> bool:
    return finding.route is not None and finding.kind in {Kind.RETAINED_REQUESTS, Kind.GC_DEBT}


def _points(each: WorkerStory, of: Level, finding: Finding) -> tuple[tuple[float, float, float], ...]:
    made = []
    handled, total = 0.0, 0.0
    for window in each.windows:
        handled += sum(route.count for route in window.routes)
        level = of(window)
        if level is None:
            continue
        total += level
        shown = total if finding.kind in _EVENTS else float(level)
        made.append((window.closed, handled if _by_route(finding) else float(window.requests), shown))
    return tuple(made)


def _rise(points: Sequence[tuple[float, float, float]]) -> float:
    return points[-1][2] - points[0][2] if points else float("-inf")


def _thin(points: Sequence[tuple[float, float, float]]) -> tuple[tuple[float, float, float], ...]:
    """Return at most ``MOST_POINTS`` points, evenly over time: old windows are longer, so an even choice is not."""
    if len(points) <= MOST_POINTS:
        return tuple(points)
    began, ended = points[0][0], points[-1][0]
    chosen: dict[int, tuple[float, float, float]] = {}
    for point in points:
        place = int((point[0] - began) / (ended - began) * (MOST_POINTS - 1)) if ended > began else 0
        chosen[place] = point
    return tuple(chosen.values())


def _rates(points: Sequence[tuple[float, float, float]]) -> tuple[float, ...]:
    """Return the rise per request in each third of the requests, between medians, so that one window does not make it."""
    size = max(len(points) // (2 * PARTS), 1)
    found = []
    for part in range(PARTS):
        piece = points[part * len(points) // PARTS : (part + 1) * len(points) // PARTS + 1]
        first, last = piece[:size], piece[-size:]
        handled = statistics.median(p[1] for p in last) - statistics.median(p[1] for p in first)
        if handled > 0:
            found.append((statistics.median(p[2] for p in last) - statistics.median(p[2] for p in first)) / handled)
    return tuple(found)
