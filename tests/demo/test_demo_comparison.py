"""The table of the demo: figures over what was measured, and nothing that was not."""

from __future__ import annotations

import json

from leakguard.demo.client import Fate, Outcome
from leakguard.demo.comparison import Comparison, column
from leakguard.demo.schedule import Planned
from leakguard.demo.side import Side

PLANNED = Planned(0.0, "GET", "/")
MIB = 1024 * 1024


def side(times_ms: list[float], lost: list[Fate] = [], restarts: int = 0, killed: int = 0) -> Side:
    """Return a side whose answered requests took ``times_ms``."""
    answered = [Outcome(Fate.OK, ms / 1000, PLANNED, 200) for ms in times_ms]
    return Side(
        "x",
        (*answered, *(Outcome(fate, 10.0, PLANNED) for fate in lost)),
        restarts,
        killed,
        40 * MIB,
        80 * MIB,
        90 * MIB,
    )


def test_quantiles_are_of_the_nearest_rank() -> None:
    """Of the times 1 to 200 the median is 100, the 95th percentile 190, the 99th 198, the maximum 200."""
    figures = column(side([float(ms) for ms in range(200, 0, -1)]))
    assert figures.times == {"max": 200.0, "p99": 198.0, "p95": 190.0, "p50": 100.0}


def test_lost_requests_are_counted_by_fate_and_have_no_latency() -> None:
    """A request that was never answered must not pass for a slow one, nor for a fast one."""
    figures = column(side([5.0], [Fate.CUT, Fate.REFUSED, Fate.CUT]))
    assert (figures.requests, figures.answered, figures.lost) == (4, 1, 3)
    assert figures.lost_by_fate == {"refused": 1, "cut": 2}
    assert figures.times["max"] == 5.0


def test_a_500_is_an_answer() -> None:
    """The clean 500 for a malformed body counts as answered, and as an error."""
    broken = Side("x", (Outcome(Fate.STATUS, 0.01, PLANNED, 500),), 0, 0, MIB, MIB, MIB)
    assert (column(broken).lost, column(broken).errors, column(broken).answered) == (0, 1, 1)


def test_the_gap_is_the_longest_time_without_an_answer() -> None:
    """Between two answers that came two seconds apart nobody served for two seconds, whatever each of them took."""
    outcomes = tuple(Outcome(Fate.OK, 0.1, Planned(at, "GET", "/"), 200) for at in (0.0, 2.0, 2.5))
    assert column(Side("x", outcomes, 0, 0, MIB, MIB, MIB)).gap == 2000.0


def test_a_side_without_answers_has_no_times() -> None:
    """What cannot be known is null in JSON and a dash in the table."""
    figures = column(side([], [Fate.REFUSED]))
    assert figures.times["p50"] is None
    comparison = Comparison(figures, figures, 76 * MIB, 34)
    assert json.loads(json.dumps(comparison.as_dict()))["with"]["latency"]["max_ms"] is None
    assert "–" in comparison.as_text()


def test_for_how_long_a_reset_connection_had_been_idle() -> None:
    """Whether a reset falls on the server's keep-alive time can be seen: the idle times stand below the losses."""
    resets = tuple(Outcome(Fate.RESET_REUSED, 0.1, PLANNED, idle=idle) for idle in (1.98, 0.5, 2.01))
    figures = column(Side("x", resets, 0, 0, MIB, MIB, MIB))
    assert figures.idle == (0.5, 2.01)
    assert "lost without: 3 reset on reused" in Comparison(figures, figures, 76 * MIB, 34).as_text()
    assert "reused: idle for 0.50 to 2.01 s before" in Comparison(figures, figures, 76 * MIB, 34).as_text()


def test_the_whole_table() -> None:
    """The table as people read it."""
    without = column(side([12.25, 1500.4], [Fate.RESET_FRESH, Fate.CUT], restarts=3, killed=3))
    guarded = column(side([7.0, 90.2, 90.2], restarts=4))
    assert (
        Comparison(without, guarded, 76 * MIB, 34).as_text()
        == """\
                           without    with leakguard
  at the ceiling            killed          recycled
  max                     1 500 ms             90 ms
  99 %                    1 500 ms             90 ms
  95 %                    1 500 ms             90 ms
  50 %                       12 ms             90 ms
  requests                       4                 3
  lost                           2                 0
  restarts                       3                 4
  longest gap             1 488 ms             83 ms
  largest worker          80.0 MiB          80.0 MiB
  all at one time         90.0 MiB          90.0 MiB
  lost without: 1 reset on fresh, 1 cut"""
    )
