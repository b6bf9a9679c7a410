"""Requests that outlive their response: exact evidence, one sentinel per request, no statistics of memory.

A server keeps the last scope of each idle keep-alive connection, so some sentinels are always alive. What tells a leak is
that their number keeps rising with the requests of the route: it rises again and again, never falls back, at a rate per
request that lasts, and by more than the open descriptors (connections) account for.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from leakguard.detection import words
from leakguard.detection.suspicion import Suspicion
from leakguard.records import Kind, RouteCount, Status, Window

FEWEST_RISES = 3
RISES_TO_CONFIRM = 5
FEWEST_KEPT = 8
_UNKNOWN_CONNECTIONS = 64  # allowed for idle connections where descriptors cannot be counted
_SLOWEST = 0.001
_AGREES = 0.5
_OWED = 0.5  # share of requests that only the collector frees, from which it is worth saying
_OWED_FEWEST = 100


class _Step(typing.NamedTuple):
    """One route at the end of a window: its requests so far, the failed ones, those kept, and the worker's requests."""

    requests: int = 0
    errors: int = 0
    kept: int = 0
    handled: int = 0

    def since(self, earlier: _Step) -> _Step:
        return _Step(*(now - before for now, before in zip(self, earlier, strict=True)))


@dataclass(slots=True)
class _Steps:
    """How the kept requests of one route went up and down; ``changes`` are the windows in which they did."""

    changes: list[_Step] = field(default_factory=list)
    last: _Step = field(default_factory=_Step)
    highest: int = 0
    fell: int = 0
    windows: int = 0
    owed: list[tuple[int, int]] = field(default_factory=list)  # requests and GC debt in each window with requests
    latest: RouteCount | None = None

    def add(self, route: RouteCount, handled: int) -> None:
        self.last = _Step(
            self.last.requests + max(route.count, 0), self.last.errors + max(route.errors, 0), route.retained, handled
        )
        self.windows += 1
        self.latest = route
        if route.count > 0:
            self.owed.append((route.count, route.gc_debt))
        if not self.changes or route.retained != self.changes[-1].kept:
            self.changes.append(self.last)
        self.highest = max(self.highest, route.retained)
        self.fell = max(self.fell, self.highest - route.retained)

    @property
    def rises(self) -> list[_Step]:
        """The windows in which more were kept than in the one before."""
        return [after for before, after in pairwise(self.changes) if after.kept > before.kept]


def find_retained(windows: Sequence[Window]) -> list[Suspicion]:
    """Return the routes whose requests stay in memory, and those whose requests only the cyclic collector frees."""
    # Most routes never keep a request: to follow them all would be most of what a judgement costs.
    worth = {route.route for window in windows for route in window.routes if route.retained or route.gc_debt}
    routes: dict[str, _Steps] = {}
    for window in windows if worth else ():
        seen = {route.route: route for route in window.routes if route.route in worth}
        for name, route in seen.items():
            if name not in routes:
                routes[name] = _Steps()
            routes[name].add(route, window.requests)
        # A route that a window leaves out had no requests in it and keeps none.
        for name in routes.keys() - seen.keys():
            routes[name].add(RouteCount(name), window.requests)
    beyond = _beyond_connections(windows, routes)
    found = []
    for name, steps in routes.items():
        kept = _kept(name, steps, beyond)
        owed = _owed(name, steps) if kept is None else None
        found += [suspicion for suspicion in (kept, owed) if suspicion]
    return found


def _beyond_connections(windows: Sequence[Window], routes: dict[str, _Steps]) -> float:
    """Return the share of the growth of kept requests that idle connections do not explain, 0 to 1."""
    growth = sum(max(steps.last.kept - steps.changes[0].kept, 0) for steps in routes.values())
    if growth <= 0:
        return 0.0
    descriptors = [window.reading.fds for window in windows if window.reading.fds is not None]
    opened = descriptors[-1] - descriptors[0] if descriptors else _UNKNOWN_CONNECTIONS
    return max(growth - max(opened, 0), 0) / growth


def _kept(name: str, steps: _Steps, beyond: float) -> Suspicion | None:
    risen = steps.rises
    # A flat tail counts: the leak may have stopped.
    rises = [*risen, steps.last] if risen and risen[-1] != steps.last else risen
    if len(rises) < FEWEST_RISES or beyond < 0.5:
        return None
    growth = steps.last.kept - steps.changes[0].kept
    if growth * beyond < FEWEST_KEPT or steps.fell > growth / 4:
        return None
    early, late = _rates(rises)
    if late <= 0 or late < _AGREES * early or late < _SLOWEST:
        return None
    # A request counts as kept some windows after it ended: between the first rise and the last the delay cancels out, which
    # it would not if the requests of a tail counted whose time is still to come.
    span = risen[-1].since(risen[0])
    if span.kept <= 0 or span.requests <= 0:
        return None
    failure = _failure(steps)
    failed = failure is not None and 0 < span.kept <= 1.25 * span.errors
    each = min(span.kept / span.errors, 1.0) if failed else span.kept / span.requests
    rose = f"{words.rate(span.kept / span.requests)} per request"
    if failed:
        rose = f"{words.rate(each)} per failed request ({rose})"
    reasons = [
        f"{words.plural(steps.last.kept, 'request')} of {name} got their answer and are still in memory",
        f"rose {words.plural(len(rises), 'time')} in {words.plural(steps.windows, 'window')}: {rose}",
    ]
    confirmed = len(rises) >= RISES_TO_CONFIRM
    if confirmed:
        reasons.append(f"the later windows agree: {words.rate(late)} per request against {words.rate(early)} before")
    return Suspicion(
        kind=Kind.RETAINED_REQUESTS,
        status=Status.CONFIRMED if confirmed else Status.SUSPECT,
        key=name,
        name=name,
        per_request=each,
        count=steps.last.kept,
        route=name,
        failure=failure,
        failed=failed,
        reasons=tuple(reasons),
        growth=span.kept,
        requests=span.handled,
    )


def _rates(rises: Sequence[_Step]) -> tuple[float, float]:
    """Return kept requests per request before and after a rise in the middle, so that plateaus between do not matter."""
    middle = rises[len(rises) // 2]
    early, late = middle.since(rises[0]), rises[-1].since(middle)
    return early.kept / max(early.requests, 1), late.kept / max(late.requests, 1)


def _failure(steps: _Steps) -> str | None:
    """Return the fingerprint of the failure that at least 80 percent of the kept requests ended in."""
    if steps.latest is None or not steps.latest.retained_by_failure:
        return None
    fingerprint, kept = max(steps.latest.retained_by_failure.items(), key=lambda item: item[1])
    return fingerprint if kept >= 0.8 * steps.latest.retained else None


def _owed(name: str, steps: _Steps) -> Suspicion | None:
    requests, owed = sum(count for count, _ in steps.owed), sum(debt for _, debt in steps.owed)
    if owed < max(_OWED_FEWEST, _OWED * requests):
        return None
    halves = steps.owed[: len(steps.owed) // 2], steps.owed[len(steps.owed) // 2 :]
    shares = [sum(d for _, d in half) / max(sum(c for c, _ in half), 1) for half in halves]
    lasting = all(half and share >= _OWED for half, share in zip(halves, shares, strict=True))
    outlived = (
        f"{words.count(owed)} of {words.plural(requests, 'request')} of {name} outlived their answer and were freed "
        "only by the cyclic collector"
    )
    return Suspicion(
        kind=Kind.GC_DEBT,
        status=Status.CONFIRMED if lasting else Status.SUSPECT,
        key=name,
        name=name,
        per_request=owed / requests,
        count=None,
        route=name,
        reasons=(
            outlived,
            "a reference cycle through the request: not a leak, but memory waits for the collector",
        ),
        growth=owed,
        requests=steps.last.handled,
    )
