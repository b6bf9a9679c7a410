"""When a worker is relieved, replaced, or left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard.recycling.ceiling import READINGS, RELIEF_PAUSE, ROOM_LEAST, Situation, Step, decide, room

MIB = 1024 * 1024

DUE = Situation(
    rss=400 * MIB,
    baseline=250 * MIB,
    soft=384 * MIB,
    hard=450 * MIB,
    above=READINGS,
    above_hard=0,
    age=3600,
    min_lifetime=120,
    since_relief=1.0,
    since_recycle=None,
    cool_down=12,
    today=0,
    daily_cap=500,
)


def test_a_worker_over_the_ceiling_is_replaced():
    """A worker that relief could not bring down is replaced, and the reason has the figures."""
    decision = decide(DUE)
    assert decision.step is Step.RECYCLE
    assert "400 MiB over the ceiling of 384 MiB, 150 MiB above the worker's own 250 MiB" in decision.reason


@pytest.mark.parametrize(
    ("change", "step", "rule"),
    [
        ({"above": READINGS - 1}, Step.HOLD, ""),
        ({"since_relief": None}, Step.RELIEVE, ""),
        ({"since_relief": RELIEF_PAUSE}, Step.RELIEVE, ""),
        ({"age": 119}, Step.HOLD, "min_lifetime"),
        ({"today": 500}, Step.HOLD, "daily_cap"),
        ({"since_recycle": 11.0}, Step.HOLD, "cool_down"),
        ({"since_recycle": 12.0}, Step.RECYCLE, ""),
        ({"above_hard": READINGS, "rss": 460 * MIB}, Step.LEAVE, ""),
        ({"above_hard": READINGS, "since_recycle": 1.0}, Step.LEAVE, ""),
        ({"above_hard": READINGS, "age": 119}, Step.HOLD, "min_lifetime"),
        ({"above_hard": READINGS, "today": 500}, Step.HOLD, "daily_cap"),
        ({"baseline": 360 * MIB}, Step.REFUSE, "refused"),
    ],
)
def test_each_rule_alone_decides(change, step, rule):
    """Every rule that keeps recycling from looping holds on its own."""
    decision = decide(DUE._replace(**change))
    assert (decision.step, decision.rule) == (step, rule)


def test_a_ceiling_below_a_fresh_worker_is_refused_with_the_figure():
    """A ceiling that a fresh worker already passes is refused, and the note says what it must be."""
    decision = decide(DUE._replace(soft=200 * MIB, hard=240 * MIB, above=0))
    assert decision.step is Step.REFUSE
    assert "250 MiB" in decision.reason
    assert "set it to 275 MiB or more" in decision.reason


@given(
    st.builds(
        Situation,
        rss=st.integers(1, 1 << 34),
        baseline=st.integers(1, 1 << 33),
        soft=st.integers(1, 1 << 34),
        hard=st.integers(1, 1 << 34),
        above=st.integers(0, 10),
        above_hard=st.integers(0, 10),
        age=st.floats(0, 1e6),
        min_lifetime=st.floats(0, 1e4),
        since_relief=st.none() | st.floats(0, 1e4),
        since_recycle=st.none() | st.floats(0, 1e6),
        cool_down=st.floats(0, 1e4),
        today=st.integers(0, 600),
        daily_cap=st.integers(1, 500),
    )
)
def test_no_situation_makes_recycling_loop(now):
    """Whatever happens, a worker leaves only when old enough, under the cap, relieved, and well above a fresh one."""
    decision = decide(now)
    assert decision.reason
    if decision.step in {Step.RECYCLE, Step.LEAVE}:
        assert now.age >= now.min_lifetime
        assert now.today < now.daily_cap
        assert now.since_relief is not None
        assert now.soft >= now.baseline + max(ROOM_LEAST, room(now.baseline))
