"""The doctor: each hypothesis held up by the app that has it, and ruled out by the one that has not."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

import pytest
from detection_histories import MIB, App
from hypothesis import given, settings
from hypothesis import strategies as st

from leakguard.detection.doctor import diagnose
from leakguard.detection.responses import read_responses, spearman
from leakguard.probes import latency
from leakguard.records import (
    Failure,
    Finding,
    Hypothesis,
    Kind,
    LoopLoad,
    Pauses,
    Recycle,
    RouteCount,
    Site,
    Status,
    Window,
)

ORDER = [
    "memory leak",
    "native growth",
    "retained requests from unhandled errors",
    "too little memory",
    "slow logic",
    "garbage collector starving the app",
    "event loop busy or blocked",
    "allocator fragmentation",
]
LEAK = Finding(Kind.LEAK, Status.CONFIRMED, "f", holder="app.STORE", reasons=("app.STORE grew",))
FAILURE = Failure("feed", "KeyError", Site("game.py", 91, "ingest"), "POST /telemetry", count=41, retained=41)
KEPT = Finding(
    Kind.RETAINED_REQUESTS, Status.CONFIRMED, "g", route="POST /telemetry", holder="game.pending", error=str(FAILURE),
    reasons=("41 requests of POST /telemetry got their answer and are still in memory",), count=41,
)  # fmt: skip


def ask(
    windows: object = (),
    findings: tuple[Finding, ...] = (),
    *,
    failures: tuple[Failure, ...] = (),
    recycles: tuple[Recycle, ...] = (),
    limit: int | None = None,
    ceiling: int | None = None,
) -> dict[str, Hypothesis]:
    told = diagnose(windows, findings, failures, recycles, limit, ceiling)  # type: ignore[arg-type]
    assert [hypothesis.hypothesis for hypothesis in told] == ORDER
    assert all(hypothesis.evidence for hypothesis in told)
    return {hypothesis.hypothesis: hypothesis for hypothesis in told}


def changed(windows: tuple[Window, ...], change: Callable[[int, Window], dict[str, object]]) -> tuple[Window, ...]:
    return tuple(dataclasses.replace(w, **change(i, w)) for i, w in enumerate(windows))  # type: ignore[arg-type]


def with_times(slow: Callable[[int], float], rss: Callable[[int], int], number: int = 60) -> tuple[Window, ...]:
    rng = random.Random(2)
    return changed(
        App(windows=number).history().windows,
        lambda i, w: {
            "reading": dataclasses.replace(w.reading, rss=rss(i)),
            "routes": (
                RouteCount("GET /a", 30, sketch=latency.sketch([slow(i) * rng.uniform(0.5, 2) for _ in range(30)])),
            ),
        },
    )


def test_nothing_is_judged_from_nothing() -> None:
    """Without windows every hypothesis is open, but the recorded errors, of which there were none."""
    told = ask()
    assert told.pop("retained requests from unhandled errors").holds is False
    assert {hypothesis.holds for hypothesis in told.values()} == {None}


def test_a_clean_app_has_every_hypothesis_ruled_out() -> None:
    """With a ceiling far off and a quick, calm app nothing holds."""
    windows = changed(App().history().windows, lambda i, w: {"loop": LoopLoad(lag=0.004, busy=0.09)})
    told = ask(windows, limit=512 * MIB, ceiling=384 * MIB)
    assert {name: hypothesis.holds for name, hypothesis in told.items()} == dict.fromkeys(ORDER, False)
    assert told["event loop busy or blocked"].evidence[0] == "9 % busy (9 % in the busiest window)"
    assert told["garbage collector starving the app"].evidence[0].startswith("0.2 % of the time")
    assert "allocated blocks: " in told["memory leak"].evidence[0]


def test_the_story() -> None:
    """Leak and kept requests hold, slowness follows memory, and the owner's other hypotheses are ruled out."""
    windows = with_times(lambda i: 200 * 1.06**i, lambda i: (250 + 2 * i) * MIB)
    windows = changed(windows, lambda i, w: {"loop": LoopLoad(lag=0.02, busy=0.09)})
    told = ask(windows, (KEPT,), failures=(FAILURE,), limit=512 * MIB, ceiling=384 * MIB)
    holds = {name: hypothesis.holds for name, hypothesis in told.items()}
    assert holds["memory leak"] is True
    assert holds["retained requests from unhandled errors"] is True
    assert told["native growth"].evidence[-1] == "what grows there belongs to the Python objects found above"
    assert holds["too little memory"] is False
    assert holds["slow logic"] is False
    assert holds["garbage collector starving the app"] is False
    assert holds["event loop busy or blocked"] is False
    slow = " ".join(told["slow logic"].evidence)
    assert "they follow memory: rank correlation +1.00 over 60 windows" in slow
    assert "in the quarter with the most memory against" in slow
    assert "they follow memory" in " ".join(told["memory leak"].evidence)
    kept = told["retained requests from unhandled errors"].evidence[0]
    assert kept == "41 kept requests of POST /telemetry ended in KeyError at game.py:91"


def test_slow_whatever_the_memory_is_slow_logic() -> None:
    """High response times that do not follow memory are the code's."""
    rng = random.Random(3)
    told = ask(with_times(lambda i: 4000, lambda i: (250 + rng.randint(0, 60)) * MIB))
    assert told["slow logic"].holds is True


def test_errors_that_keep_nothing_are_ruled_out() -> None:
    """Unhandled errors alone are no leak, and are named all the same."""
    hypothesis = ask(App().history().windows, failures=(FAILURE,))["retained requests from unhandled errors"]
    assert hypothesis.holds is False
    assert hypothesis.evidence == (
        "KeyError at game.py:91 on POST /telemetry: raised 41 times",
        "none of them keeps its request",
    )


def test_a_suspect_leaves_the_question_open() -> None:
    """Neither held up nor ruled out while it is not confirmed."""
    suspect = dataclasses.replace(LEAK, status=Status.SUSPECT)
    assert ask(App().history().windows, (suspect,))["memory leak"].holds is None


def test_native_growth_is_its_own_hypothesis() -> None:
    """C memory does not count as a leak of Python objects."""
    native = Finding(Kind.NATIVE, Status.CONFIRMED, "f", reasons=("C heap in use grew",))
    told = ask(App().history().windows, (native,))
    assert told["native growth"].holds is True
    assert told["memory leak"].holds is False


@pytest.mark.parametrize(
    ("ceiling", "findings", "holds"),
    [
        (110, (), True),
        (384, (), False),
        (None, (), None),
        (384, (LEAK,), False),
        (140, (), None),
        (140, (LEAK,), False),
    ],
)
def test_too_little_memory(ceiling: int | None, findings: tuple[Finding, ...], holds: bool | None) -> None:
    """A fresh worker of 100 MiB against the ceiling; what leaks is not helped by more."""
    told = ask(App().history().windows, findings, ceiling=ceiling and ceiling * MIB)
    assert told["too little memory"].holds is holds


def test_a_collector_that_takes_its_share_is_found() -> None:
    """A fifth of the time in collections starves the app."""
    windows = changed(App().history().windows, lambda i, w: {"pauses": Pauses(5, 2, 0.2, 0.15)})
    hypothesis = ask(windows)["garbage collector starving the app"]
    assert hypothesis.holds is True
    assert hypothesis.evidence == (
        "20 % of the time was spent in collections (20 % in the worst window), longest pause 150 ms, 120 full collections",
    )


@pytest.mark.parametrize(
    ("load", "holds"), [(LoopLoad(0.01, 0.95), True), (LoopLoad(2.0, 0.1), True), (LoopLoad(0.5, None), None)]
)
def test_a_busy_or_blocked_loop_is_found(load: LoopLoad, holds: bool | None) -> None:
    """Busy nearly always, or a beat that waits for seconds."""
    windows = changed(App().history().windows, lambda i, w: {"loop": load})
    assert ask(windows)["event loop busy or blocked"].holds is holds


def test_fragmentation_is_told_from_growth() -> None:
    """RSS up with a flat heap is the allocator; with a heap that grows too it is not."""
    windows = App().history().windows
    rss = lambda w, i: dataclasses.replace(w.reading, rss=(100 + i) * MIB)  # noqa: E731
    assert ask(changed(windows, lambda i, w: {"reading": rss(w, i)}))["allocator fragmentation"].holds is True
    both = changed(windows, lambda i, w: {"reading": dataclasses.replace(rss(w, i), heap=(30 + i) * MIB)})
    assert ask(both)["allocator fragmentation"].holds is False
    blind = changed(windows, lambda i, w: {"reading": dataclasses.replace(rss(w, i), heap=None)})
    assert ask(blind)["allocator fragmentation"].holds is None


def test_ranks_share_ties_and_need_movement() -> None:
    """Spearman's correlation on known values."""
    assert spearman([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 2, 2, 3], [1, 2, 2, 3]) == pytest.approx(1)
    assert spearman([1, 1, 1], [1, 2, 3]) is None
    assert spearman([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]) == pytest.approx(0.8)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=2, max_size=30))
def test_a_rank_correlation_is_within_its_bounds(pairs: list[tuple[float, float]]) -> None:
    """Between minus one and one, and the same whichever is asked first."""
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    found = spearman(one, other)
    if found is not None:
        assert -1.000001 <= found <= 1.000001
        assert found == pytest.approx(spearman(other, one))


def test_idle_windows_say_nothing_about_response_times() -> None:
    """A handful of windows with requests is too few to correlate."""
    assert read_responses([changed(App(windows=60).history().windows, lambda i, w: {"routes": ()})]) is None


@given(st.integers(0, 10_000), st.integers(0, 30), st.none() | st.integers(1, 2**40))
@settings(max_examples=30, deadline=None)
def test_the_doctor_never_raises(seed: int, number: int, mark: int | None) -> None:
    """Any number of windows, any mark."""
    ask(
        App(seed=seed, windows=number, looks=0).history().windows,
        (LEAK, KEPT),
        failures=(FAILURE,),
        limit=mark,
        ceiling=mark,
    )
