"""When a census is due."""

from __future__ import annotations

import pytest

from leakguard.config import Config
from leakguard.guard.schedule import FIRST_REQUESTS, YOUNG_LOOKS, CensusSchedule
from leakguard.records import Reading, Window

COLD = Window(0.0, 1.0, Reading(1.0, 1), 0, 0)
WARM = Window(0.0, 1.0, Reading(1.0, 1), 0, 0, warm=True)


def begun(level: str = "watch") -> CensusSchedule:
    """Return a schedule whose baseline was taken at time 0 and 100 requests, in half a second."""
    schedule = CensusSchedule(Config.load({}, interval="10s", level=level))
    assert schedule.due(0.0, 100, WARM, wanted=False)
    schedule.looked(0.0, 100)
    schedule.took(0.5)
    return schedule


def test_nothing_is_due_before_the_warm_up_and_the_first_requests() -> None:
    """Imports and caches fill first: a baseline before that would call them growth."""
    schedule = CensusSchedule(Config.load({}, interval="10s"))
    assert not schedule.due(0.0, 1000, None, wanted=True)
    assert not schedule.due(0.0, 1000, COLD, wanted=True)
    assert not schedule.due(0.0, FIRST_REQUESTS - 1, WARM, wanted=True)
    assert schedule.due(0.0, FIRST_REQUESTS, WARM, wanted=False)


@pytest.mark.parametrize(
    ("now", "requests", "wanted", "due"),
    [
        (0.8, 10_000, False, False),  # a first look of half a second rests for most of a second
        (0.9, 10_000, False, True),
        (60.0, 199, False, False),  # too few new requests for a routine look
        (60.0, 199, True, True),  # not for a wanted one
        (60.0, 124, True, False),
        (0.8, 10_000, True, False),
    ],
)
def test_looks_wait_for_time_and_requests(now: float, requests: int, wanted: bool, due: bool) -> None:
    """A look needs new requests and some time since the last one; fewer when something grows."""
    assert begun().due(now, requests, WARM, wanted=wanted) is due


def test_routine_looks_become_rare() -> None:
    """A worker that has served a million requests is not looked at every hundred."""
    schedule = begun()
    schedule.looked(1000.0, 1_000_000)
    assert not schedule.due(2000.0, 1_100_000, WARM, wanted=False)
    assert schedule.due(2000.0, 1_200_000, WARM, wanted=False)


def test_a_slow_look_rests_longer() -> None:
    """A big process, whose look takes ten seconds, is left alone for a hundred once the first looks are taken."""
    schedule = begun()
    for _ in range(YOUNG_LOOKS):
        schedule.looked(0.0, 100)
    schedule.took(10.0)
    assert not schedule.due(99.0, 100_000, WARM, wanted=False)
    assert schedule.due(100.0, 100_000, WARM, wanted=False)
    assert schedule.due(50.0, 100_000, WARM, wanted=True)


def test_higher_levels_look_more_often() -> None:
    """At census a look needs a window and some requests, at paranoid only a window."""
    assert begun("census").due(10.0, 125, WARM, wanted=False)
    assert not begun("census").due(10.0, 124, WARM, wanted=False)
    assert begun("paranoid").due(10.0, 101, WARM, wanted=False)
