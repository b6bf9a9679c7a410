"""How long a tick, a window and a rest between judgements last."""

from __future__ import annotations

import itertools
import time

import pytest

from leakguard.guard.pace import FEWEST_REQUESTS, SHORTEST_TICK, Pace


def windows_of(rate: float, seconds: float, interval: float = 10.0) -> list[tuple[float, int]]:
    """Return the moments and requests at which windows close in a worker with so many requests a second."""
    pace, began = Pace(interval), time.monotonic()
    now, closed = began, []
    while now - began < seconds:
        now += pace.tick(now)
        pace.note(int(rate * (now - began)))
        if pace.window_due(now):
            pace.window_closed(now)
            closed.append((now - began, int(rate * (now - began))))
    return closed


def test_a_quiet_worker_closes_a_window_per_interval() -> None:
    """With few requests the interval decides."""
    assert len(windows_of(5, 100)) == pytest.approx(10, abs=1)


def test_a_busy_worker_does_not_wait_for_the_interval() -> None:
    """Twenty thousand requests make windows enough to judge them, however quickly they come."""
    closed = windows_of(1000, 20)
    assert 60 <= len(closed) <= 100
    assert all(b - a >= FEWEST_REQUESTS for (_, a), (_, b) in itertools.pairwise(closed))


def test_an_old_worker_closes_a_window_per_interval() -> None:
    """The windows by requests become rare: in an hour of traffic there are hardly more than by time alone."""
    late = [moment for moment, _ in windows_of(200, 3600) if moment > 3000]
    assert len(late) == pytest.approx(60, abs=2)


def test_ticks_follow_the_requests() -> None:
    """A worker at rest ticks once a second, a busy one a few times per window."""
    pace = Pace(10.0)
    now = time.monotonic() + 1
    assert pace.tick(now) == 1.0
    pace.note(100_000)
    pace.window_closed(now)
    pace.note(100_500)
    assert SHORTEST_TICK <= pace.tick(now + 0.2) < 0.3


def test_judging_waits_for_time_or_requests() -> None:
    """A judgement is due after an interval, or when the requests have grown by a fifteenth."""
    pace = Pace(10.0)
    now = time.monotonic()
    assert pace.judging_due(now, 3000)
    assert not pace.judging_due(now + 1, 3100)
    assert pace.judging_due(now + 1, 3300)
    assert pace.judging_due(now + 12, 3301)
