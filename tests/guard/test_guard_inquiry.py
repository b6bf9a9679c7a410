"""From suspicion to finding and back, with a real observer on this very process."""

from __future__ import annotations

import dataclasses
import os
import time
import typing

import pytest

from leakguard.config import Config
from leakguard.detection.attribution import on_route, route_of
from leakguard.detection.suspicion import Suspicion
from leakguard.guard.inquiry import Inquiry
from leakguard.guard.told import WITHDRAW_REQUESTS, WITHDRAW_WINDOWS
from leakguard.observer import Observer
from leakguard.probes.requests import RequestTable, enter
from leakguard.probes.routes import read_asgi
from leakguard.records import Explanation, Finding, Kind, Reading, RouteCount, Site, Status, Window

KEPT: list[dict[str, object]] = []


@pytest.fixture
def inquiry() -> typing.Iterator[Inquiry]:
    """An inquiry over a table of its own, with room to fork."""
    KEPT.clear()
    observer = Observer(available=lambda: 1 << 40, rss=lambda: 1 << 20)
    made = Inquiry(Config.load({}, interval="50ms", warmup=0), RequestTable(), observer)
    yield made
    made.close()
    KEPT.clear()


def request(table: RequestTable, path: str, *, keep: bool) -> None:
    """Send one request through the table; a kept one stays in ``KEPT``."""
    scope: dict[str, object] = {"type": "http", "method": "POST", "path": path, "root_path": ""}
    passage = enter(scope)
    table.begin(passage)
    passage.status = 200
    read_asgi(passage, scope)
    if keep:
        KEPT.append(scope)
    table.finish(passage)


def close_window(inquiry: Inquiry, table: RequestTable, number: int) -> tuple[Finding, ...]:
    """Close a window whose figures are flat but for what the table saw."""
    routes = table.take(time.perf_counter())
    reading = Reading(1e9 + number, 50 << 20, None, 10 << 20, 200_000, 3, 12, 0, 0.1 * number)
    inquiry.note_window(
        Window(1e9 + number, 1e9 + number + 1, reading, table.total, 0, routes, blocks_low=200_000, warm=True)
    )
    return inquiry.judge({})


def run(inquiry: Inquiry, windows: int, *, keep: bool, first: int = 0) -> tuple[Finding, ...]:
    """Drive some windows of sixty requests each, twelve of them to the route in question, and return the last findings."""
    table = inquiry._requests
    findings: tuple[Finding, ...] = ()
    for number in range(first, first + windows):
        for each in range(60):
            request(table, "/leaky" if each % 5 == 0 else "/clean", keep=keep and each % 5 == 0)
        findings = close_window(inquiry, table, number)
        # The guard's thread goes on ticking: let bursts and looks come to their end.
        until = time.monotonic() + 5
        inquiry.step(time.monotonic(), table.total)
        while (inquiry.observer.busy or inquiry.burst.active) and time.monotonic() < until:
            time.sleep(0.02)
            for _ in range(5):
                request(table, "/leaky", keep=keep)
            inquiry.step(time.monotonic(), table.total)
    return findings


@pytest.mark.slow  # real looks, which answer when the machine lets them
def test_a_kept_request_becomes_a_finding_with_its_holder(inquiry: Inquiry) -> None:
    """A planted leak is suspected, confirmed, looked at and named: route, holder and rate."""
    findings = run(inquiry, 14, keep=True)
    (finding,) = [f for f in findings if f.kind is Kind.RETAINED_REQUESTS]
    assert finding.status is Status.CONFIRMED
    assert finding.route == "POST /leaky"
    assert finding.holder is not None
    assert finding.holder.endswith("test_guard_inquiry.KEPT")
    assert finding.per_request == pytest.approx(1.0, rel=0.2)


def test_the_cure_finds_nothing(inquiry: Inquiry) -> None:
    """The same traffic without the leak gives no finding."""
    assert run(inquiry, 14, keep=False) == ()


def test_what_a_look_will_name_is_held_back_until_then(inquiry: Inquiry) -> None:
    """No finding of kept requests is told without its holder, unless the worker leaves."""
    table = inquiry._requests
    for number in range(8):
        for _ in range(20):
            request(table, "/leaky", keep=True)
        assert [f for f in close_window(inquiry, table, number) if f.kind is Kind.RETAINED_REQUESTS] == []
    assert any(s.kind is Kind.RETAINED_REQUESTS for s in inquiry.suspicions)
    reading = Reading(1e9 + 9, 50 << 20, None, 10 << 20, 200_000)
    last = Window(1e9 + 9, 1e9 + 10, reading, table.total, 0, table.take(time.perf_counter()), warm=True)
    inquiry.note_window(last)
    told = inquiry.judge({}, leaving=True)
    assert [f.kind for f in told] == [Kind.RETAINED_REQUESTS]


@pytest.mark.slow  # real looks, which answer when the machine lets them
def test_what_stopped_growing_is_withdrawn(inquiry: Inquiry) -> None:
    """A finding that has not held for many windows and requests is taken back, once; before that it stays."""
    run(inquiry, 14, keep=True)
    (fingerprint,) = inquiry.told.findings
    KEPT.clear()
    run(inquiry, 3, keep=False, first=20)
    assert inquiry.told.take_withdrawn() == ()
    enough = max(WITHDRAW_WINDOWS, WITHDRAW_REQUESTS // 60) + 25
    run(inquiry, enough, keep=False, first=30)
    assert inquiry.told.take_withdrawn() == (fingerprint,)
    assert inquiry.told.take_withdrawn() == ()
    assert inquiry.told.findings == {}


def test_another_workers_finding_is_reason_enough_to_look_early(inquiry: Inquiry) -> None:
    """A suspect that a sibling already confirmed is looked at without waiting for a confirmation of its own."""
    known = Finding(Kind.RETAINED_REQUESTS, Status.CONFIRMED, "x", route="POST /leaky", holder="app.x")
    table = inquiry._requests
    for number in range(4):
        for _ in range(20):
            request(table, "/leaky", keep=True)
        close_window(inquiry, table, number)
    suspects = [s for s in inquiry.suspicions if s.status is Status.SUSPECT]
    assert suspects
    assert inquiry._unexplained(time.monotonic()) == ()
    inquiry._recall = lambda: [known]
    inquiry.remember()
    assert inquiry._unexplained(time.monotonic()) == tuple(suspects)
    inquiry._recall = lambda: [dataclasses.replace(known, route="GET /else")]
    inquiry.remember()
    assert inquiry._unexplained(time.monotonic()) == ()


def test_a_route_is_named_by_the_endpoint_in_the_traceback() -> None:
    """One endpoint among the frames names the route; two, or none, do not."""
    places = {"GET /a": Site("app.py", 10, "a"), "GET /b": Site("app.py", 20, "b")}
    assert route_of([Site("app.py", 12, "a"), Site("lib.py", 3, "f")], places) == "GET /a"
    assert route_of([Site("app.py", 12, "a"), Site("app.py", 22, "b")], places) is None
    assert route_of([Site("lib.py", 3, "f")], places) is None


def test_a_look_that_fails_is_not_repeated_at_once(inquiry: Inquiry) -> None:
    """A suspicion whose deep look failed counts as asked about: no loop of bursts, and the finding is told without it."""
    table = inquiry._requests
    for number in range(8):
        for _ in range(20):
            request(table, "/leaky", keep=True)
        close_window(inquiry, table, number)
    (suspicion,) = inquiry._unexplained(time.monotonic())
    inquiry._asked = (suspicion,)
    inquiry._take_answer(None, time.monotonic())
    assert inquiry._unexplained(time.monotonic()) == ()
    findings = close_window(inquiry, table, 9)
    assert [f.holder for f in findings if f.kind is Kind.RETAINED_REQUESTS] == [None]


def test_siblings_take_turns_to_dig(inquiry: Inquiry) -> None:
    """One worker digs at once; one of several waits for a time of its own."""
    now = time.monotonic()
    assert inquiry._is_turn(now)
    inquiry._sure_since = now
    inquiry._siblings = lambda: 4
    waits = [later for later in range(10) if inquiry._is_turn(now + later * inquiry.config.interval + 0.001)]
    assert waits[0] == os.getpid() % 8
    assert waits == list(range(waits[0], 10))


def test_better_evidence_takes_the_place_of_regression() -> None:
    """The rate becomes one per request of the named route, and the reason says why; a route nobody asked for is not it."""
    routes = (RouteCount("GET /a", 100), RouteCount("GET /b", 300))
    window = Window(0.0, 1.0, Reading(1.0, 1), 400, 0, routes)
    suspicion = Suspicion(
        Kind.NATIVE,
        Status.CONFIRMED,
        "heap",
        "C heap in use",
        per_request=10.0,
        bytes_per_request=10.0,
        reasons=("grew", "cannot separate GET /a or GET /b: their traffic moves together"),
        growth=4000.0,
        requests=400,
    )
    moved = on_route(suspicion, "GET /a", "it is allocated there", [window])
    assert (moved.route, moved.per_request, moved.bytes_per_request) == ("GET /a", 40.0, 40.0)
    assert moved.reasons == ("grew", "it is allocated there")
    assert on_route(suspicion, "GET /never", "x", [window]) is suspicion


def test_what_was_confirmed_and_then_explained_is_told(inquiry: Inquiry) -> None:
    """A burst and a look blur the level for a while: the answer to a sure thing is told all the same, and only once."""
    sure = Suspicion(Kind.LEAK, Status.CONFIRMED, "blocks", "allocated blocks", 1.0, growth=1000, requests=1000)
    site = Site("app.py", 21, "events")
    inquiry._asked = (sure,)
    inquiry._note_explanations((Explanation(holder="outside Python", site=site, bytes_each=64),), time.monotonic())
    (found,) = inquiry.judge({})
    assert (found.status, found.site, found.holder) == (Status.CONFIRMED, site, "outside Python")
    assert inquiry.judge({}) == ()


def test_what_was_only_suspected_is_not_told_by_its_explanation(inquiry: Inquiry) -> None:
    """An explanation does not make a suspicion sure."""
    doubtful = Suspicion(Kind.LEAK, Status.SUSPECT, "blocks", "allocated blocks", 1.0, growth=1000, requests=1000)
    inquiry._asked = (doubtful,)
    inquiry._note_explanations((Explanation(holder="outside Python"),), time.monotonic())
    assert inquiry.judge({}) == ()
