"""Old windows are merged, bounded, and nothing that was counted is forgotten."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_records import make_failure, make_finding, make_recycle, make_window, make_worker

from leakguard.journal import ladder, schema
from leakguard.journal.reading import read
from leakguard.journal.sqlite import SqliteJournal
from leakguard.probes import latency
from leakguard.records import LoopLoad, Pauses, Reading, RouteCount, Window


def test_a_long_life_fits_into_few_rows_and_keeps_every_request(path, monkeypatch):
    """A worker's thousand windows become a few rows per tier; requests, errors and latencies add up to the same."""
    monkeypatch.setattr(ladder, "WINDOWS_PER_TIER", 8)
    journal = SqliteJournal(path)
    journal.register(make_worker())
    for number in range(1000):
        journal.window(make_window(number, count=3))
    journal.close()
    (worker,) = read(path).workers
    assert len(worker.windows) <= 8 * 8
    assert sum(route.count for window in worker.windows for route in window.routes) == 3000
    assert sum(route.errors for window in worker.windows for route in window.routes) == 1000
    merged = latency.merge(route.sketch for window in worker.windows for route in window.routes)
    assert latency.count(merged) == 3000
    assert [window.requests for window in worker.windows] == sorted(window.requests for window in worker.windows)
    assert all(a.closed == b.opened for a, b in zip(worker.windows, worker.windows[1:], strict=False))
    spans = [window.closed - window.opened for window in worker.windows]
    assert spans == sorted(spans, reverse=True)
    assert spans[-1] == 10


routes = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 50), max_size=4)


def _window(counts: dict[str, int], opened: float, lag: float | None) -> Window:
    return Window(
        opened=opened,
        closed=opened + 10,
        reading=Reading(at=opened, rss=1),
        requests=0,
        in_flight=0,
        routes=tuple(RouteCount(route, count=count, retained=count) for route, count in counts.items()),
        pauses=Pauses(1, 1, 0.5, lag or 0.0),
        loop=None if lag is None else LoopLoad(lag, lag / 10),
    )


@given(
    routes,
    routes,
    st.one_of(st.none(), st.floats(0, 5)),
    st.one_of(st.none(), st.floats(0, 5)),
)
@settings(max_examples=100, deadline=None)
def test_merging_adds_counts_and_keeps_extremes(first, second, lag, other_lag):
    """Two neighbours become one window: counts added, the worst lag kept, retained as it is at the end."""
    merged = ladder.merge(_window(first, 0, lag), _window(second, 10, other_lag))
    assert (merged.opened, merged.closed) == (0, 20)
    for route in merged.routes:
        assert route.count == first.get(route.route, 0) + second.get(route.route, 0)
        assert route.retained == second.get(route.route, 0)
    assert merged.pauses == Pauses(2, 2, 1.0, max(lag or 0.0, other_lag or 0.0))
    lags = [each for each in (lag, other_lag) if each is not None]
    assert (merged.loop.lag if merged.loop else None) == (max(lags) if lags else None)


def test_an_unreadable_row_is_dropped_when_its_turn_to_merge_comes(path, monkeypatch):
    """One damaged row never keeps the others from being written."""
    monkeypatch.setattr(ladder, "WINDOWS_PER_TIER", 4)
    journal = SqliteJournal(path)
    journal.register(make_worker())
    journal.window(make_window(0))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE window SET payload = '{}'")
    connection.commit()
    connection.close()
    for number in range(1, 20):
        journal.window(make_window(number))
    journal.close()
    story = read(path)
    assert (journal.lost, story.skipped) == (0, 0)
    assert story.workers[0].windows[-1].requests == 200


def test_every_table_is_bounded(path, monkeypatch):
    """Workers, windows, findings, failures and events beyond their bound go, the oldest first."""
    monkeypatch.setattr(schema, "MAX_WORKERS", 5)
    monkeypatch.setattr(schema, "MAX_WINDOWS", 10)
    monkeypatch.setattr(schema, "MAX_FINDINGS", 6)
    monkeypatch.setattr(schema, "MAX_FAILURES", 4)
    monkeypatch.setattr(schema, "MAX_EVENTS", {"recycle": 3, "relief": 3, "note": 2})
    for number in range(12):
        journal = SqliteJournal(path)
        journal.register(make_worker(started=float(number)))
        for _ in range(3):
            journal.window(make_window(number))
        journal.finding(make_finding(f"f{number}"))
        journal.failures([make_failure()])
        journal.note(f"note {number}")
        journal.recycle(make_recycle(float(number)))
        journal.close()
    with SqliteConnection(path) as connection:
        schema.trim(connection)
    story = read(path)
    assert [each.worker.started for each in story.workers] == [7.0, 8.0, 9.0, 10.0, 11.0]
    assert story.windows <= 10
    assert {finding.fingerprint for finding in story.findings} == {f"f{number}" for number in range(6, 12)}
    assert [failure.count for failure in story.failures] == [4]
    assert [recycle.at for recycle in story.recycles] == [9.0, 10.0, 11.0]
    assert [note.text for note in story.notes] == ["note 10", "note 11"]


class SqliteConnection:
    """A connection that commits and closes."""

    def __init__(self, path):
        self.connection = sqlite3.connect(path)

    def __enter__(self):
        return self.connection

    def __exit__(self, *error):
        self.connection.commit()
        self.connection.close()


def test_the_file_never_grows_beyond_its_cap(path, monkeypatch):
    """With many routes the windows are big; the file stays within its cap and still takes the newest."""
    monkeypatch.setattr(schema, "MAX_PAGES", 100)
    journal = SqliteJournal(path)
    journal.register(make_worker())
    for number in range(150):
        window = make_window(number)
        many = tuple(RouteCount(f"GET /{number}/{each}", count=1) for each in range(100))
        journal.window(
            Window(window.opened, window.closed, window.reading, requests=number, in_flight=0, routes=many, warm=True)
        )
    journal.close()
    assert path.stat().st_size <= 100 * schema.PAGE_SIZE
    story = read(path)
    assert journal.lost == 0
    assert story.workers[0].windows[-1].requests == 149
    assert 1 < story.windows < 150


@pytest.mark.slow
def test_a_week_of_eight_workers_is_read_within_bounds(path):
    """A generated week of eight workers stays under the bound of rows and of file size."""
    for _ in range(8):
        journal = SqliteJournal(path)
        journal.register(make_worker())
        journal.close()
    with SqliteConnection(path) as connection:
        boots = [boot for (boot,) in connection.execute("SELECT boot FROM worker")]
        from leakguard.journal.sqlite import _text

        text = _text(make_window(3))
        for boot in boots:
            for number in range(6000):
                connection.execute(schema.WINDOW, (boot, 10.0 * number, text))
                ladder.climb(connection, boot)
        schema.trim(connection)
    story = read(path)
    assert story.windows <= 8 * schema.WINDOWS_PER_TIER * 7
    assert path.stat().st_size < schema.MAX_PAGES * schema.PAGE_SIZE
