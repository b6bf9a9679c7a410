"""Windows out of a journal, added up while they are read: a week of eight workers is millions of figures.

A story keeps each window with its routes added up into one, ``(all)``, and the totals of each route over all windows. Only
the last window of each worker keeps its routes apart: what is alive now is asked per route.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Iterable

from leakguard.journal.part import WHOLE, Part
from leakguard.probes import latency
from leakguard.records import RouteCount, Sketch, Window, decode

ALL = "(all)"

_Row = dict[str, typing.Any]


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
        self._totals: dict[str, _Total] = {}

    def add(self, boot: str, payload: str) -> None:
        """Take in one window of a worker, later than those before; about 0.1 ms for a dozen routes.

        Raises:
            ValueError: when it cannot be understood; then nothing of it is kept.
        """
        try:
            row = json.loads(payload)
            routes = [route for route in row.pop("routes", ()) if self._wants(route["route"])]
            together = _Total()
            for route in routes:
                together.add(route)
            window = decode(Window, {**row, "routes": [together.row(ALL)] if routes else []})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a window: {error}") from error
        for route in routes:
            self._totals.setdefault(route["route"], _Total()).add(route)
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


class _Total:
    """Figures of one route, or of all, added up from rows of JSON: bucket numbers stay texts until the end."""

    __slots__ = ("buckets", "causes", "counted", "longest")

    def __init__(self) -> None:
        self.counted = [0, 0, 0, 0]
        self.buckets: dict[str, int] = {}
        self.causes: dict[str, int] = {}
        self.longest = 0.0

    def add(self, route: _Row) -> None:
        get = route.get
        for place, name in enumerate(("count", "errors", "retained", "gc_debt")):
            self.counted[place] += get(name, 0)
        sketch = get("sketch") or {}
        buckets = self.buckets
        for number, count in sketch.get("buckets", {}).items():
            buckets[number] = buckets.get(number, 0) + count
        self.longest = max(self.longest, sketch.get("max_ms", 0.0))
        for cause, count in (get("retained_by_failure") or {}).items():
            self.causes[cause] = self.causes.get(cause, 0) + count

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
