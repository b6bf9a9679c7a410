"""The doctor's evidence: response time beside memory, and each hypothesis of the story held up or ruled out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import report_stories as stories

from leakguard.probes import latency
from leakguard.records import LoopLoad, Pauses, Window
from leakguard.reports.beside import beside
from leakguard.reports.model import Report, build
from leakguard.reports.style import Style
from leakguard.reports.text import lay_out

MIB = 1 << 20


def report(change: Callable[[int, Window], Window], *findings: object, **more: object) -> Report:
    """Return the report of a worker whose windows are changed one by one."""
    windows = tuple(change(number, window) for number, window in enumerate(stories.windows(60)))
    worker = dataclasses.replace(stories.story().workers[0], windows=windows)
    return build(stories.story(*findings, workers=(worker,), **more), stories.NOW)


def answers(made: Report) -> dict[str, bool | None]:
    return {hypothesis.hypothesis: hypothesis.holds for hypothesis in made.doctor}


def grown(number: int, window: Window, to: float = 2.0, slow: float = 1.0) -> Window:
    """Return a window with memory up to ``to`` times as high, and times up to ``slow`` times as long, at the end."""
    share = number / 59
    times = [20.0 * (1 + share * (slow - 1))] * 140 + [90.0 * (1 + share * (slow - 1))] * 10
    route = dataclasses.replace(window.routes[0], sketch=latency.sketch(times))
    reading = dataclasses.replace(window.reading, rss=int(250 * MIB * (1 + share * (to - 1))))
    return dataclasses.replace(window, reading=reading, routes=(route,))


def test_slow_with_memory_is_said_with_its_figures():
    """Times that rise with memory: a high rank correlation, four quarters that get slower, and no slow logic."""
    made = report(lambda number, window: grown(number, window, slow=60.0))
    text = "\n".join(lay_out(beside(made), Style(False), 100))
    assert "rank correlation of p95 and memory +1.00 over 60 windows: response time follows memory" in text
    rows = [line for line in text.splitlines() if " to " in line and "MiB" in line]
    assert len(rows) == 4
    assert rows[0].split()[0] == "250"
    assert answers(made)["slow logic"] is False


def always_slow(number: int, window: Window) -> Window:
    """Return a window with rising memory and times that are long, now more, now less, whatever the memory."""
    route = dataclasses.replace(window.routes[0], sketch=latency.sketch([2000.0 + 200 * (number * 7 % 5)] * 50))
    return dataclasses.replace(grown(number, window), routes=(route,))


def test_slow_whatever_the_memory_is_the_logic():
    """Long times at every level of memory: nothing follows, and slow logic holds."""
    made = report(always_slow)
    assert "response time does not follow memory" in " ".join(beside(made).said)
    assert answers(made)["slow logic"] is True
    assert answers(report(grown))["slow logic"] is False


def test_too_few_windows_say_so():
    """Without a history there is no correlation, and the doctor does not judge."""
    made = build(stories.story(count=3), stories.NOW)
    assert beside(made).said == ("too few windows with requests to compare",)
    assert answers(made)["slow logic"] is None
    assert answers(made)["memory leak"] is None


@pytest.mark.parametrize(
    ("hypothesis", "held", "ruled_out"),
    [
        (
            "garbage collector starving the app",
            lambda n, w: dataclasses.replace(w, pauses=Pauses(9, 9, 4.0, 1.0)),
            lambda n, w: w,
        ),
        (
            "event loop busy or blocked",
            lambda n, w: dataclasses.replace(w, loop=LoopLoad(0.1, 0.95)),
            lambda n, w: w,
        ),
        (
            "allocator fragmentation",
            lambda n, w: grown(n, w, to=2.0),
            lambda n, w: w,
        ),
        (
            "too little memory",
            lambda n, w: dataclasses.replace(w, reading=dataclasses.replace(w.reading, rss=390 * MIB)),
            lambda n, w: dataclasses.replace(w, reading=dataclasses.replace(w.reading, rss=100 * MIB)),
        ),
    ],
)
def test_each_hypothesis_is_held_up_and_ruled_out(hypothesis, held, ruled_out):
    """The same hypothesis answers yes on the one story and no on the other, each time with evidence."""
    yes, no = report(held), report(ruled_out)
    assert answers(yes)[hypothesis] is True
    assert answers(no)[hypothesis] is False
    assert all(each.evidence for each in (*yes.doctor, *no.doctor))


def test_a_leak_and_orphaned_errors_are_held_up_by_findings():
    """A confirmed finding holds up the leak; one with an error holds up the orphaned requests; without any, both are no."""
    made = report(lambda n, w: w, stories.RETAINED, failures=(stories.FAILURE,))
    assert answers(made)["memory leak"] is True
    assert answers(made)["retained requests from unhandled errors"] is True
    clean = report(lambda n, w: w)
    assert answers(clean)["memory leak"] is False
    assert answers(clean)["retained requests from unhandled errors"] is False
