"""Windows as rows of a journal, added up while they are read: a week of eight workers is millions of figures.

A story keeps each window with its routes added up into one, ``(all)``, and the totals of each route over all windows. Only
the last window of each worker keeps its routes apart: what is alive now is asked per route. A row brings that sum along, so
that the reader need not make it.
"""

from __future__ import annotations

import json
import typing
from collections import defaultdict
from collections.abc import Iterable

from leakguard.journal.part import WHOLE, Part
from leakguard.probes import latency
from leakguard.records import RouteCount, Sketch, Window, decode, encode

ALL = "(all)"

_Row = dict[str, typing.Any]


def write(window: Window) -> str:
    """Return the row of a window: the record, and its routes added up."""
    row = typing.cast("_Row", encode(window))
    return json.dumps({**row, "all": _together(row["routes"])}, separators=(",", ":"))


class Windows:
    """Gathers the windows of many workers.

    Args:
        part: only its routes count.
    """

    def __init__(self, part: Part = WHOLE) -> None:
        self._part = part
        self._wanted: dict[str, bool] = {}
        self._windows: dict[str, list[Window]] = {}
        self._last: dict[str, list[_Row]] = {}
        self._totals: dict[str, _Total] = defaultdict(_Total)

    def add(self, boot: str, payload: str) -> None:
        """Take in one window of a worker, later than those before; about 0.1 ms for a dozen routes.

        Raises:
            ValueError: when it cannot be understood; then it is left out.
        """
        try:
            row = json.loads(payload)
            every = row.pop("routes", [])
            routes = [route for route in every if self._wants(route["route"])]
            together = row.pop("all", None) if len(routes) == len(every) else None
            row["routes"] = [together or _together(routes)] if routes else []
            window = decode(Window, row)
            for route in routes:
                self._totals[route["route"]].add(route)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a window: {error}") from error
        self._windows.setdefault(boot, []).append(window)
        self._last[boot] = routes

    def of(self, boot: str) -> tuple[Window, ...]:
        """Return the windows of a worker in order, the last one with its routes apart."""
        windows = self._windows.pop(boot, [])
        if windows:
            last = windows[-1]
            apart = tuple(decode(RouteCount, route) for route in self._last.pop(boot))
            windows[-1] = Window(**{**_fields(last), "routes": apart})
        return tuple(windows)

    def totals(self) -> tuple[RouteCount, ...]:
        """Return what each route did in all windows together."""
        return tuple(total.count(route) for route, total in self._totals.items())

    def _wants(self, route: str) -> bool:
        if route not in self._wanted:
            self._wanted[route] = self._part.has_route(route)
        return self._wanted[route]


def totals(windows: Iterable[Window]) -> tuple[RouteCount, ...]:
    """Return what each route did in these windows together, for windows that were not read from a journal."""
    found: dict[str, list[RouteCount]] = {}
    for window in windows:
        for route in window.routes:
            found.setdefault(route.route, []).append(route)
    return tuple(
        RouteCount(
            route,
            count=sum(each.count for each in group),
            errors=sum(each.errors for each in group),
            sketch=latency.merge(each.sketch for each in group),
            gc_debt=sum(each.gc_debt for each in group),
        )
        for route, group in found.items()
    )


def _together(routes: Iterable[_Row]) -> _Row:
    together = _Total()
    for route in routes:
        together.add(route)
    return together.row(ALL)


class _Total:
    """Figures of one route, or of all, added up from rows of JSON: bucket numbers stay texts until the end."""

    __slots__ = ("buckets", "causes", "counted", "longest")

    def __init__(self) -> None:
        self.counted = [0, 0, 0, 0]
        self.buckets: dict[str, int] = defaultdict(int)
        self.causes: dict[str, int] = defaultdict(int)
        self.longest = 0.0

    def add(self, route: _Row) -> None:
        for place, name in enumerate(("count", "errors", "retained", "gc_debt")):
            self.counted[place] += route.get(name, 0)
        sketch = route.get("sketch") or {}
        buckets = self.buckets
        for number, count in sketch.get("buckets", {}).items():
            buckets[number] += count
        self.longest = max(self.longest, sketch.get("max_ms", 0.0))
        for cause, count in (route.get("retained_by_failure") or {}).items():
            self.causes[cause] += count

    def row(self, route: str) -> _Row:
        count, errors, retained, gc_debt = self.counted
        return {
            "route": route,
            "count": count,
            "errors": errors,
            "sketch": {"buckets": self.buckets, "max_ms": self.longest},
            "retained": retained,
            "gc_debt": gc_debt,
            "retained_by_failure": self.causes,
        }

    def count(self, route: str) -> RouteCount:
        count, errors, _, gc_debt = self.counted
        sketch = Sketch({int(number): times for number, times in self.buckets.items()}, self.longest)
        return RouteCount(route, count=count, errors=errors, sketch=sketch, gc_debt=gc_debt)


def _fields(window: Window) -> dict[str, typing.Any]:
    return {name: getattr(window, name) for name in Window.__slots__}
