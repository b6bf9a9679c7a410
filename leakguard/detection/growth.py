"""Does a level grow with the requests, at a rate that lasts? The thirds test, and its confirmation on fresh data.

Classical trend tests answer "did it grow?", and so does every cache that fills: over eight clean shapes they raise 40 to 60
percent false alarms. What marks a leak is that the growth *per request* persists. So: fit the level on cumulative requests
with the traffic as a nuisance, after a burn-in; the slope must be positive in each third of the data, and in none of them
below 0.3 of the median; then the next, disjoint windows must agree and must not be slowing down.
``tests/detection/test_detection_false_alarms.py`` states the error rate over a worker's whole life.

What no level alone can tell from a leak is a cache of unknown bound while it fills at a constant rate. The judge asks the
census for those (a bound that is known acquits).
"""

from __future__ import annotations

import math
import typing
from collections.abc import Sequence

from leakguard.detection.drift import lasting, without_steps
from leakguard.detection.regression import Fit, centred, dot, fit_slope, median
from leakguard.records import Status

MOST_POINTS = 72
"""More windows are condensed to their low-water marks: cheaper, and neighbouring noise is averaged away."""
# Warm-ups and caches are over before so many windows. What has grown by a third meanwhile is too urgent for such patience.
FEWEST_POINTS, FEWEST_POINTS_URGENT = 20, 12
FEWEST_TO_CONFIRM, FEWEST_TO_CONFIRM_URGENT = 48, 20
_URGENT = 1 / 3
_BURN_IN = 0.25
_PERSISTS = 0.3
_AGREES = 0.5
_SLOWING = 0.9
_LASTS_Z, _LASTING = 3.0, 0.35
_TRAFFIC = 0.1
_LONG_LIFE = (
    3.0  # so much longer than at its first window: then growth that slows down can be told from growth that lasts
)
_Z = 3.0


class Point(typing.NamedTuple):
    """One window seen as a number: requests handled so far, the level, and requests per second."""

    requests: int
    level: float
    traffic: float


class Floor(typing.NamedTuple):
    """What is too small to speak of: growth per request, in all, and per window (which leakguard's own records may cause)."""

    per_request: float
    total: float
    per_window: float = 0.0

    def at_pace(self, requests: float) -> Floor:
        """Return the floor for so many requests per window, the last bound turned into the first."""
        own = self.per_window / requests if requests > 0 else 0.0
        return Floor(max(self.per_request, own), self.total)


class Growth(typing.NamedTuple):
    """A level that grows: how sure, how fast, by how much, over how many requests and windows.

    ``parts`` are the slopes of the three thirds, ``later`` the slope of the disjoint windows after them, when they agreed.
    """

    status: Status
    per_request: float
    total: float
    requests: int
    windows: int
    parts: tuple[float, ...]
    later: float | None = None


class _Thirds(typing.NamedTuple):
    parts: tuple[float, ...]
    usual: float


def find_growth(points: Sequence[Point], floor: Floor) -> Growth | None:
    """Return the growth of a level, ``None`` when there is none that lasts.

    The last third of the points is the fresh data. ``suspect``: the points before it, and all of them, pass the test.
    ``confirmed``: the fresh points by themselves grow at least half as fast, and are not slowing down.
    """
    few = condense(points)
    if len(points) < FEWEST_POINTS_URGENT or not _worth_it(few, floor):
        return None
    floor = floor.at_pace((points[-1].requests - points[0].requests) / len(points))
    urgent = few[-1].level - few[0].level >= _URGENT * abs(few[0].level)
    if len(points) < (FEWEST_POINTS_URGENT if urgent else FEWEST_POINTS):
        return None
    cut = len(few) * 2 // 3
    whole, before = _thirds(few, floor), _thirds(few[:cut], floor)
    if whole is None or before is None:
        return None
    later = _slope(few[cut:])
    enough = len(points) >= (FEWEST_TO_CONFIRM_URGENT if urgent else FEWEST_TO_CONFIRM)
    if enough and later is not None and _agrees(before, later, few, floor):
        return _growth(Status.CONFIRMED, few, points, before.parts, later.slope)
    return _growth(Status.SUSPECT, few, points, whole.parts, None)


def condense(points: Sequence[Point]) -> list[Point]:
    """Return at most ``MOST_POINTS`` points: the low-water mark of each group of neighbours."""
    size = -(-len(points) // MOST_POINTS)
    if size <= 1:
        return list(points)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [min(group, key=lambda point: point.level) for group in groups]


def _worth_it(points: Sequence[Point], floor: Floor) -> bool:
    part = max(len(points) // 4, 1)
    start, end = (min(point.level for point in group) for group in (points[:part], points[-part:]))
    # A quarter at each end is lost to taking the low-water mark, hence half of the floor.
    return end - start >= floor.total / 2


def _slope(points: Sequence[Point]) -> Fit | None:
    return fit_slope(
        [point.requests for point in points],
        [point.level for point in points],
        [point.traffic for point in points],
    )


def _thirds(points: Sequence[Point], floor: Floor) -> _Thirds | None:
    """Return the slopes after the burn-in, if the growth persists through the thirds."""
    points = _burnt_in(points)
    fit = _slope(points) if len(points) >= 6 else None
    if fit is None or fit.z <= _Z or fit.slope < floor.per_request:
        return None
    if fit.slope * (points[-1].requests - points[0].requests) < floor.total / 2:
        return None
    size = len(points) / 3
    parts = []
    for third in range(3):
        part = points[round(third * size) : round((third + 1) * size)]
        # The influence of traffic comes from all points: a third is too short to know it.
        slope = fit_slope([p.requests for p in part], [p.level - fit.nuisance * p.traffic for p in part])
        if slope is None:
            return None
        parts.append(slope.slope)
    usual = median(parts)
    if min(parts) <= 0 or min(parts) < _PERSISTS * usual or max(parts) > usual / _PERSISTS:
        return None
    # A late import makes a step in one third; unless that is the first, where it may be a warm-up, it must not count.
    return _Thirds(tuple(parts), fit.slope if max(parts) == parts[0] else usual)


def _agrees(before: _Thirds, later: Fit, points: Sequence[Point], floor: Floor) -> bool:
    if later.z <= _Z or later.slope < _AGREES * before.usual:
        return False
    noise = later.slope / later.z if math.isfinite(later.z) else 0.0
    # Much faster than before is something else: a late import, a look of our own.
    if later.slope - 2 * noise > before.usual / _AGREES:
        return False
    if not _goes_on(points, before.usual) or _follows_traffic(points):
        return False
    if points[-1].requests >= _LONG_LIFE * points[0].requests:
        return _lasts(points, floor)
    # Slower than before by more than the noise: a warm-up runs out like this. A leak goes on, and is confirmed later.
    return later.slope + 2 * noise >= _SLOWING * before.usual


def _goes_on(points: Sequence[Point], usual: float) -> bool:
    """Say whether the last few points still grow, or may do so by their noise: what has just become full does not."""
    last = points[-max(len(points) // 6, 6) :]
    fit = fit_slope([point.requests for point in last], [point.level for point in last])
    if fit is None:
        return False
    noise = abs(fit.slope / fit.z) if fit.z and math.isfinite(fit.z) else 0.0
    return fit.slope + 2 * noise >= _PERSISTS * usual


def _follows_traffic(points: Sequence[Point]) -> bool:
    """Say whether the traffic alone explains the level: then a rush hour looks like a leak, and only its end tells."""
    points = _burnt_in(points)
    levels = [point.level for point in points]
    fit, middle = fit_slope([point.traffic for point in points], levels), centred(levels)
    return fit is not None and fit.slope > 0 and fit.error < _TRAFFIC * dot(middle, middle)


def _lasts(points: Sequence[Point], floor: Floor) -> bool:
    """Say whether the growth goes on when all that slows down is taken out of it."""
    points = _burnt_in(points)
    requests, levels, traffic = zip(*points, strict=True)
    fit, whole = lasting(requests, without_steps(requests, levels), traffic), _slope(points)
    if fit is None or whole is None:
        return False
    return fit.z > _LASTS_Z and fit.slope >= max(_LASTING * whole.slope, floor.per_request)


def _burnt_in(points: Sequence[Point]) -> list[Point]:
    # Counted in requests since the worker started: where its life is longer than the history, nothing needs burning.
    return [point for point in points if point.requests >= _BURN_IN * points[-1].requests]


def _growth(
    status: Status,
    few: Sequence[Point],
    points: Sequence[Point],
    parts: tuple[float, ...],
    later: float | None,
) -> Growth:
    requests = few[-1].requests - few[0].requests
    rate = median(parts if later is None else (*parts, later))
    return Growth(status, rate, rate * requests, requests, len(points), parts, later)
