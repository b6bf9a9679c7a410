"""The ladder: old windows are merged two by two, so that years fit into a few hundred rows and no request is forgotten.

Each worker keeps ``WINDOWS_PER_TIER`` windows per tier. When a tier is full its two oldest become one window of the next tier,
twice as long. A worker that has written n windows keeps about ``WINDOWS_PER_TIER * log2(n / WINDOWS_PER_TIER)`` rows: 600
after a week of 10 s windows. Each new window costs one merge on average.
"""

from __future__ import annotations

import json
import sqlite3

from leakguard.journal import windows
from leakguard.journal.schema import MAX_TIER, WINDOWS_PER_TIER
from leakguard.probes import latency
from leakguard.records import LoopLoad, Pauses, RouteCount, Window, decode


def climb(connection: sqlite3.Connection, boot: str) -> None:
    """Merge the oldest windows of every tier of this worker that is over its bound; inside a write, after the inserts."""
    for tier in range(MAX_TIER):
        rows = connection.execute("SELECT count(*) FROM window WHERE boot = ? AND tier = ?", (boot, tier)).fetchone()[0]
        if rows <= WINDOWS_PER_TIER:
            return
        for _ in range(0, rows - WINDOWS_PER_TIER, 2):
            _merge_oldest(connection, boot, tier)


def _merge_oldest(connection: sqlite3.Connection, boot: str, tier: int) -> None:
    (older, first), (newer, second) = connection.execute(
        "SELECT id, payload FROM window WHERE boot = ? AND tier = ? ORDER BY id LIMIT 2", (boot, tier)
    ).fetchall()
    connection.execute("DELETE FROM window WHERE id = ?", (older,))
    try:
        merged = merge(decode(Window, json.loads(first)), decode(Window, json.loads(second)))
    except ValueError:
        return  # a row that nobody can read must not keep all others from being written
    connection.execute(
        "UPDATE window SET tier = ?, payload = ? WHERE id = ?",
        (tier + 1, windows.write(merged), newer),
    )


def merge(older: Window, newer: Window) -> Window:
    """Return one window over the time of two neighbours: counts added, extremes kept, states as they were at its end."""
    before = {route.route: route for route in older.routes}
    after = {route.route: route for route in newer.routes}
    lower = min(older, newer, key=lambda window: window.blocks_low)
    return Window(
        opened=older.opened,
        closed=newer.closed,
        reading=newer.reading,
        requests=newer.requests,
        in_flight=newer.in_flight,
        routes=tuple(
            _merge_routes(before.get(name, RouteCount(name)), after.get(name, RouteCount(name)))
            for name in sorted({*before, *after})
        ),
        pauses=Pauses(
            count=older.pauses.count + newer.pauses.count,
            full=older.pauses.full + newer.pauses.full,
            total=older.pauses.total + newer.pauses.total,
            longest=max(older.pauses.longest, newer.pauses.longest),
        ),
        loop=_merge_loads(older, newer),
        stuck=newer.stuck,
        blocks_low=lower.blocks_low,
        low_at=lower.low_at,
        websockets=newer.websockets,
        warm=older.warm and newer.warm,
        forgotten=newer.forgotten,
    )


def _merge_routes(older: RouteCount, newer: RouteCount) -> RouteCount:
    return RouteCount(
        route=newer.route,
        count=older.count + newer.count,
        errors=older.errors + newer.errors,
        sketch=latency.merge((older.sketch, newer.sketch)),
        retained=newer.retained,
        gc_debt=older.gc_debt + newer.gc_debt,
        retained_by_failure=newer.retained_by_failure,
    )


def _merge_loads(older: Window, newer: Window) -> LoopLoad | None:
    if older.loop is None or newer.loop is None:
        return newer.loop or older.loop
    spans = (older.closed - older.opened, newer.closed - newer.opened)
    busy = newer.loop.busy
    if older.loop.busy is not None and newer.loop.busy is not None and sum(spans) > 0:
        busy = (older.loop.busy * spans[0] + newer.loop.busy * spans[1]) / sum(spans)
    return LoopLoad(lag=max(older.loop.lag, newer.loop.lag), busy=busy)
