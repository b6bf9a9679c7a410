"""A part of a journal: a span of time, some workers, some routes."""

from __future__ import annotations

import dataclasses
import sqlite3

import pytest
from journal_records import make_failure, make_finding, make_recycle, make_window, make_worker

from leakguard.journal.part import Part
from leakguard.journal.reading import read
from leakguard.journal.sqlite import SqliteJournal
from leakguard.records import RouteCount


@pytest.fixture
def two(path):
    """The journal of two workers: the first closed ten windows from 1000 s on and was recycled, then the second did."""
    for pid, began, fingerprint in ((11, 1000.0, "first"), (12, 2000.0, "second")):
        journal = SqliteJournal(path)
        journal.register(make_worker(pid, began))
        for number in range(10):
            window = make_window(number, began, retained=number)
            other = RouteCount("POST /b", count=1, retained=1)
            journal.window(dataclasses.replace(window, routes=(*window.routes, other)))
        journal.finding(make_finding(fingerprint, route="GET /a" if pid == 11 else "POST /b"))
        journal.failures([make_failure(pid)])
        journal.recycle(make_recycle(began + 100, pid))
        journal.close()
    with sqlite3.connect(path) as connection:  # the journal's clock is that of its writing: put these back in time
        for boot, started in connection.execute("SELECT boot, started FROM worker").fetchall():
            connection.execute("UPDATE worker SET seen = ? WHERE boot = ?", (started + 100, boot))
            for table in ("finding", "failure"):
                first = ", first = :at + 50" if table == "finding" else ""
                connection.execute(
                    f"UPDATE {table} SET last = :at + 100{first} WHERE boot = :boot", {"at": started, "boot": boot}
                )
    connection.close()
    return path


def pids(story):
    return [each.worker.pid for each in story.workers]


def test_a_span_has_what_happened_in_it(two):
    """Windows, findings, failures, recycles and workers from before and after the span are left out."""
    early, late = read(two, part=Part(until=1500)), read(two, part=Part(since=1500))
    assert (pids(early), pids(late)) == ([11], [12])
    assert ([f.fingerprint for f in early.findings], [f.fingerprint for f in late.findings]) == (["first"], ["second"])
    assert [failure.count for failure in early.failures + late.failures] == [11, 12]
    assert ([r.pid for r in early.recycles], [r.pid for r in late.recycles]) == ([11], [12])
    middle = read(two, part=Part(since=1030, until=1060))
    assert [window.closed for window in middle.workers[0].windows] == [1030, 1040, 1050, 1060]
    assert {route.route: route.count for route in middle.routes} == {"GET /a": 40, "POST /b": 4}


def test_a_workers_part_is_its_own(two):
    """Only what this worker wrote counts, the gap between the two is still known."""
    story = read(two, part=Part(workers=frozenset({12})))
    assert pids(story) == [12]
    assert [finding.fingerprint for finding in story.findings] == ["second"]
    assert [failure.count for failure in story.failures] == [12]
    assert [recycle.pid for recycle in story.recycles] == [12]
    assert story.windows == 10


@pytest.mark.parametrize("wanted", ["POST /b", "POST /b*"])
def test_a_route_can_be_asked_for_by_name_or_pattern(two, wanted):
    """Only its requests count; findings on other routes are left out, but known to be there."""
    story = read(two, part=Part(routes=(wanted,)))
    assert [(route.route, route.count) for route in story.routes] == [("POST /b", 20)]
    assert [finding.fingerprint for finding in story.findings] == ["second"]
    assert [finding.fingerprint for finding in story.left_out] == ["first"]
    assert story.failures == ()
    assert [window.routes[0].retained for window in story.workers[0].windows] == [1] * 10


def test_windows_keep_the_level_of_one_route(two):
    """Asked for one route, each window tells how many of its requests were in memory: the story of a leak."""
    story = read(two, part=Part(routes=("GET /a",), workers=frozenset({11})))
    assert [window.routes[0].retained for window in story.workers[0].windows] == list(range(10))


@pytest.mark.parametrize(
    "payload",
    ["[]", "{}", '{"routes": 5}', '{"routes": [{"route": 5}]}', '{"routes": [{"route": "r", "sketch": {"buckets": {"x": 1}}}]}',
     '{"routes": [{"route": "r", "count": "many"}]}', "not json"],
)  # fmt: skip
def test_a_damaged_window_is_left_out_whole(two, payload):
    """A row that cannot be understood is counted as skipped and adds nothing to any total."""
    with sqlite3.connect(two) as connection:
        connection.execute("UPDATE window SET payload = ? WHERE closed = 1050", (payload,))
    connection.close()
    story = read(two)
    assert (story.skipped, story.windows) == (1, 19)
    assert {route.route: route.count for route in story.routes} == {"GET /a": 190, "POST /b": 19}
