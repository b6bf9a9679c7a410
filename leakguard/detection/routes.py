"""Which route does it? A level that grows is fitted on the cumulative requests of each route.

Levels on cumulative counts, not differences on counts: differencing throws the signal away (82 percent right against 32 in
simulation). Routes whose traffic moves together cannot be told apart by any method; then the answer names them all
instead of one of them.
"""

from __future__ import annotations

import bisect
import collections
import functools
import itertools
import math
import typing
from collections.abc import Iterable, Sequence
from itertools import pairwise

from leakguard.detection import words
from leakguard.detection.drift import likelihoods, without_steps
from leakguard.detection.regression import dot, fit_slope, fit_weights
from leakguard.records import Window

CANNOT_SEPARATE = "cannot separate"
"""How the reason begins where regression cannot tell routes apart; better evidence may take its place."""

MOST_ROUTES = 12
"""Only the busiest routes are candidates: a fit costs the square of their number."""
MOST_POINTS = 120
_LIKELIER = 4.0
_WHOLE = 0.015
_EXACT = 0.02


class Cause(typing.NamedTuple):
    """What is counted: requests of a route, or only its failed ones; ``route`` is ``None`` for all requests."""

    route: str | None
    failed: bool = False

    def __str__(self) -> str:
        if self.route is None:
            return "request"
        return f"failed {self.route}" if self.failed else self.route


EVERY = Cause(None)


class Attribution(typing.NamedTuple):
    """The answer: one cause and its rate, or none and the ``rivals`` that cannot be told apart.

    ``cause`` is ``EVERY`` when the growth follows all requests, whatever their route. ``also`` is a second route that leaves as
    much behind per request.
    """

    cause: Cause | None
    per_request: float
    rivals: tuple[Cause, ...] = ()
    share: float = 1.0
    also: Cause | None = None

    @property
    def route(self) -> str | None:
        """The route, when there is one."""
        return self.cause.route if self.cause else None

    @property
    def reason(self) -> str | None:
        """Why there is no route, or which other does the same, in words; ``None`` when one route does it alone."""
        if self.also is not None:
            return f"{self.also} does the same"
        if self.cause is None and self.rivals:
            return f"{CANNOT_SEPARATE} {words.together([str(rival) for rival in self.rivals])}: their traffic moves together"
        return None


class Counts:
    """Cumulative requests of each cause over the windows of one worker, to be asked at any number of requests handled.

    Worked out when first asked: while nothing grows nobody asks, and a hundred routes take milliseconds.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self._windows = windows

    @functools.cached_property
    def _rising(self) -> list[Window]:
        """The windows in which requests were handled."""
        rising: list[Window] = []
        for window in self._windows:
            if not rising or window.requests > rising[-1].requests:
                rising.append(window)
        return rising

    @functools.cached_property
    def requests(self) -> list[int]:
        """How many requests the worker had handled at the end of each window."""
        return [window.requests for window in self._rising]

    @functools.cached_property
    def columns(self) -> dict[Cause, list[float]]:
        """How many of them were of each cause."""
        rows = [{route.route: route for route in window.routes if route.count > 0} for window in self._rising]
        totals: collections.Counter[str] = collections.Counter()
        failures: collections.Counter[str] = collections.Counter()
        for row in rows:
            for name, route in row.items():
                totals[name] += route.count
                if route.errors > 0:
                    failures[name] += route.errors
        busiest = [name for name, _ in totals.most_common(MOST_ROUTES)]
        columns = {Cause(name): _running(row[name].count if name in row else 0 for row in rows) for name in busiest}
        # Where nearly all requests of a route fail, "failed" says nothing more than the route.
        for name in busiest:
            if 0 < failures[name] < 0.9 * totals[name]:
                errors = (max(row[name].errors, 0) if name in row else 0 for row in rows)
                columns[Cause(name, failed=True)] = _running(errors)
        return columns

    def at(self, cause: Cause, requests: float) -> float:
        """Return how many requests of ``cause`` there were when the worker had handled ``requests``, by interpolation."""
        if cause is EVERY or not self.requests:
            return requests
        column = self.columns[cause]
        i = bisect.bisect_left(self.requests, requests)
        if i >= len(column):
            return column[-1]
        if i == 0 or self.requests[i] == requests:
            return column[i]
        share = (requests - self.requests[i - 1]) / (self.requests[i] - self.requests[i - 1])
        return column[i - 1] + share * (column[i] - column[i - 1])


def _running(counts: Iterable[int]) -> list[float]:
    return list(map(float, itertools.accumulate(counts)))


def attribute_lengths(points: Sequence[tuple[int, int]], counts: Counts) -> Attribution:
    """Return the cause of a container's growth from its exact (requests, length) at a few looks.

    A length has no noise, so the right cause has the same rate between any two looks, and mostly a whole number.
    """
    rises = [after[1] - before[1] for before, after in pairwise(points)]
    growth = sum(rises)
    rate = growth / max(points[-1][0] - points[0][0], 1)
    judged: list[tuple[float, float, Cause]] = []
    for cause in (EVERY, *counts.columns):
        seen = [counts.at(cause, requests) for requests, _ in points]
        total = seen[-1] - seen[0]
        if total <= 0:
            continue
        each = growth / total
        misses = [rise - each * (after - before) for rise, (before, after) in zip(rises, pairwise(seen), strict=True)]
        judged.append((math.sqrt(dot(misses, misses)) / growth, each, cause))
    routes = [entry for entry in judged if entry[2] is not EVERY]
    if not routes:
        return Attribution(EVERY, rate)
    if len(routes) == 1:
        return Attribution(routes[0][2], routes[0][1])
    # A look begins some requests after its window has closed: this part of the growth is the error of that.
    best = min(miss for miss, _, _ in judged)
    rivals = [entry for entry in judged if entry[0] <= 2.5 * best + 0.002]
    whole = [entry for entry in rivals if abs(entry[1] - round(entry[1])) <= _WHOLE * entry[1] and round(entry[1]) >= 1]
    if best > _EXACT and (pair := _two(points, rises, counts, best)) is not None:
        return pair
    if best > 0.25:
        return Attribution(None, rate)  # no single cause: several routes feed it
    if len(rivals) > 1 and len(whole) == 1:
        rivals = whole
    if len(rivals) == 1:
        return Attribution(rivals[0][2], rivals[0][1])
    return Attribution(None, rate, tuple(entry[2] for entry in rivals if entry[2] is not EVERY))


def _two(points: Sequence[tuple[int, int]], rises: Sequence[int], counts: Counts, alone: float) -> Attribution | None:
    """Return the two routes that both leave the same whole number behind per request, if that fits far better than one."""
    seen = {
        cause: [counts.at(cause, requests) for requests, _ in points] for cause in counts.columns if not cause.failed
    }
    best: tuple[float, Attribution] | None = None
    for one, other in itertools.combinations(seen, 2):
        both = [a + b for a, b in zip(seen[one], seen[other], strict=True)]
        gained = both[-1] - both[0]
        if gained <= 0:
            continue
        each = sum(rises) / gained
        misses = [rise - each * (after - before) for rise, (before, after) in zip(rises, pairwise(both), strict=True)]
        miss = math.sqrt(dot(misses, misses)) / sum(rises)
        whole = round(each) >= 1 and abs(each - round(each)) <= _WHOLE * each
        if whole and miss < alone / 3 and (best is None or miss < best[0]):
            busier, rarer = sorted((one, other), key=lambda cause: seen[cause][0] - seen[cause][-1])
            best = miss, Attribution(busier, each, also=rarer)
    return best[1] if best else None


def attribute_levels(points: Sequence[tuple[int, float, float]], counts: Counts) -> Attribution:
    """Return the cause of a noisy level's growth from many (requests, level, traffic).

    Every cause alone is tried with the traffic as nuisance (see ``drift``); those whose likelihood is within ``e**4`` of the
    best are rivals. The non-negative weights of all routes together tell whether the best explains most of the growth.
    """
    step = -(-len(points) // MOST_POINTS)
    points = points[::step]
    levels = without_steps([requests for requests, _, _ in points], [level for _, level, _ in points])
    traffic = [rate for _, _, rate in points]
    gained = points[-1][0] - points[0][0]
    whole = fit_slope([requests for requests, _, _ in points], levels, traffic)
    rate = whole.slope if whole else 0.0
    columns = {cause: [counts.at(cause, r) for r, _, _ in points] for cause in (EVERY, *counts.columns)}
    fits = {cause: fit for cause, fit in likelihoods(levels, traffic, columns).items() if fit.slope > 0}
    routes = [cause for cause in fits if cause is not EVERY]
    if not routes or gained <= 0:
        return Attribution(EVERY, rate)
    if len(routes) == 1:
        return Attribution(routes[0], fits[routes[0]].slope)
    best = max(fits, key=lambda cause: fits[cause].log)
    rivals = [cause for cause, fit in fits.items() if fits[best].log - fit.log < _LIKELIER]
    if len(rivals) > 1:
        return Attribution(None, rate, tuple(cause for cause in rivals if cause is not EVERY))
    if best is EVERY:
        return Attribution(EVERY, rate)
    share = _share(best, {cause: columns[cause] for cause in routes}, levels)
    if share < 0.5:
        return Attribution(None, rate)
    return Attribution(best, fits[best].slope, share=share)


def _share(best: Cause, columns: dict[Cause, list[float]], levels: Sequence[float]) -> float:
    plain = {cause: column for cause, column in columns.items() if cause.failed == best.failed or cause is best}
    weights = fit_weights(list(plain.values()), levels)
    grown = {
        cause: weight * (column[-1] - column[0]) for weight, (cause, column) in zip(weights, plain.items(), strict=True)
    }
    total = sum(grown.values())
    return grown[best] / total if total > 0 else 0.0
