"""The request table: counts, sentinels, bounds."""

from __future__ import annotations

import gc
import time
import tracemalloc

import pytest

from leakguard.probes.failures import Cause
from leakguard.probes.requests import MAX_SURVIVORS, RequestTable, enter
from leakguard.probes.routes import read_asgi

Scope = dict[str, object]


def request(table: RequestTable, path: str = "/x", *, status: int = 200, cause: Cause | None = None) -> Scope:
    """Send one request through the table as the middleware does and return its scope."""
    scope: Scope = {"type": "http", "method": "GET", "path": path, "root_path": ""}
    passage = enter(scope)
    table.in_flight.add(passage)
    passage.status = status
    passage.cause = cause
    read_asgi(passage, scope)
    table.finish(passage)
    return scope


def test_counts_per_route_and_window() -> None:
    """Each window has its own counts, errors and latencies per route; the total goes on."""
    table = RequestTable()
    for _ in range(3):
        request(table, "/a")
    request(table, "/b", status=503)
    counts = {count.route: count for count in table.take(0.0)}
    assert counts["GET /a"].count == 3
    assert counts["GET /a"].errors == 0
    assert sum(counts["GET /a"].sketch.buckets.values()) == 3
    assert counts["GET /b"].errors == 1
    assert table.take(0.0) == ()
    assert table.total == 4
    assert not table.in_flight


def test_retained_request_is_counted_until_it_is_let_go() -> None:
    """A kept scope is retained on its route, a dropped one is not, and letting go cures it."""
    table = RequestTable()
    kept = [request(table, "/leaky") for _ in range(5)]
    request(table, "/clean")
    counts = {count.route: count.retained for count in table.take(time.perf_counter())}
    assert counts == {"GET /clean": 0, "GET /leaky": 5}
    kept.clear()
    table.fold()
    assert table.take(time.perf_counter()) == ()


def test_retained_requests_are_split_by_their_failure() -> None:
    """The requests kept after one exception are joined with its fingerprint."""
    prints: dict[tuple[Cause, str], str] = {}
    table = RequestTable(lambda cause, route: prints.setdefault((cause, route), f"print-{len(prints)}"))
    cause = Cause("KeyError", None, "request")
    kept = [request(table, "/t", cause=cause) for _ in range(4)] + [request(table, "/t")]
    (count,) = table.take(time.perf_counter())
    assert count.retained == len(kept)
    assert count.retained_by_failure == {"print-0": 4}


def test_young_requests_are_not_retained() -> None:
    """A request that ended after the moment in question is too young to be called retained."""
    table = RequestTable()
    before = time.perf_counter()
    kept = request(table, "/t")
    (count,) = table.take(before)
    assert (count.count, count.retained) == (1, 0)
    assert kept


def test_a_cycle_is_gc_debt_and_not_retained() -> None:
    """A request that only the cyclic collector frees is counted as debt, and only once."""
    table = RequestTable()
    gc.disable()
    try:
        for _ in range(7):
            scope = request(table, "/cycle")
            scope["self"] = scope
        del scope
        table.fold()
        table.before_full_collection()
        gc.collect()
        table.after_full_collection()
        counts = {c.route: c for c in table.take(time.perf_counter())}
        assert counts["GET /cycle"].gc_debt == 7
        assert counts["GET /cycle"].retained == 0
        table.before_full_collection()
        table.after_full_collection()
        assert table.take(time.perf_counter()) == ()
    finally:
        gc.enable()


def test_survivors_are_bounded_and_the_count_stays_right() -> None:
    """Past the bound a share of the survivors is followed and each counts for several."""
    table = RequestTable()
    kept = [request(table, "/t") for _ in range(3 * MAX_SURVIVORS)]
    (count,) = table.take(time.perf_counter())
    assert count.retained == pytest.approx(len(kept), rel=0.01)
    assert table.weight > 1
    assert len(table.retained(time.perf_counter())) <= MAX_SURVIVORS


def test_a_hundred_thousand_random_urls_leave_memory_flat() -> None:
    """Names made from what clients send cannot grow memory: routes, caches and tables are bounded."""
    table = RequestTable()

    def scan(first: int, last: int) -> None:
        for number in range(first, last):
            request(table, f"/a{number:x}/{'z' * (number % 5)}q/{number * 7919}/name{number}", status=200)
            if number % 1000 == 0:
                table.take(time.perf_counter())
        table.take(time.perf_counter())

    scan(0, 10_000)  # fill every bounded table first
    tracemalloc.start()
    try:
        scan(10_000, 12_000)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        scan(12_000, 100_000)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 128 * 1024


def test_finishing_folds_when_the_queue_is_long() -> None:
    """The queue of ended requests stays short even if the guard's thread never comes."""
    table = RequestTable()
    for _ in range(5000):
        request(table, "/x")
    assert len(table.ended) < 600
    assert table.total >= 4400
