"""What a history itself costs: leakguard's own records must be small, and must not be taken for the host's growth.

A guard that keeps an hour of windows adds blocks with every one of them, at a constant rate per request, until its history is
full: to the judge that looks like a leak. So it keeps slim records, and takes the room for all of them at once.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from types import MappingProxyType

from leakguard.detection.population import FEWEST_OBJECTS
from leakguard.records import Census, Pauses, RouteCount, Sketch, Window

_NO_SKETCH = Sketch(MappingProxyType({}))
_NO_FAILURES: MappingProxyType[str, int] = MappingProxyType({})
_NO_PAUSES, _FULL = Pauses(), Pauses(full=1)


def slim(window: Window) -> Window:
    """Return what judging needs of a window: without latency sketches, the load of the loop, most of the pauses and times."""
    routes = tuple(map(_slim_route, window.routes))
    pauses = _FULL if window.pauses.full else _NO_PAUSES
    reading = dataclasses.replace(window.reading, at=0, uss=None, cpu=0)
    return dataclasses.replace(window, opened=0, reading=reading, routes=routes, pauses=pauses, loop=None)


def _slim_route(route: RouteCount) -> RouteCount:
    failures = route.retained_by_failure or _NO_FAILURES
    return RouteCount(
        route=sys.intern(route.route),
        count=route.count,
        errors=route.errors,
        sketch=_NO_SKETCH,
        retained=route.retained,
        gc_debt=route.gc_debt,
        retained_by_failure=failures,
    )


def slim_census(census: Census) -> Census:
    """Return what judging needs of a look: types too few to have grown by much are left out, names are shared."""
    types = {sys.intern(name): number for name, number in census.types.items() if number >= FEWEST_OBJECTS}
    containers = tuple(
        dataclasses.replace(c, path=sys.intern(c.path), type=sys.intern(c.type)) for c in census.containers
    )
    return dataclasses.replace(census, types=types, containers=containers)


def weight(record: object) -> int:
    """Return about how many allocated blocks a slim record takes: one per object, small numbers and shared names free."""
    if record is None or record is _NO_SKETCH or record is _NO_PAUSES or record is _FULL or record is _NO_FAILURES:
        return 0
    if isinstance(record, bool | str):
        return 0  # names are interned: the host's or shared among the windows
    if isinstance(record, int):
        return 0 if -5 <= record <= 256 else 1
    if isinstance(record, dict):
        return 2 + sum(weight(value) for value in record.values())
    if isinstance(record, tuple):
        return 1 + sum(weight(item) for item in record) if record else 0
    # What ``dataclasses.fields`` looks through at each call, and this is called for every record of every window.
    names: Iterable[str] = getattr(record, "__dataclass_fields__", ())
    return 1 + sum(weight(getattr(record, name)) for name in names)
