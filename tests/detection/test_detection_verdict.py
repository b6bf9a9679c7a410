"""The verdict on a process, and the time that is left."""

from __future__ import annotations

import dataclasses

import pytest
from detection_histories import MIB, App

from leakguard.detection.suspicion import History
from leakguard.detection.verdict import by_worker, conclude, seconds_to
from leakguard.records import Finding, Kind, Reading, Status, Window


def finding(kind: Kind = Kind.LEAK, status: Status = Status.CONFIRMED, **changes: object) -> Finding:
    base = {"kind": kind, "status": status, "fingerprint": "f", "holder": "app.STORE", "reasons": ("grew",)}
    return Finding(**{**base, **changes})  # type: ignore[arg-type]


def test_too_little_is_unknown_and_never_clean() -> None:
    """No windows, or a few, are no ground for "steady"."""
    assert conclude(History(), ()).kind is Kind.UNKNOWN
    short = conclude(App(windows=10).history(), ())
    assert short.kind is Kind.UNKNOWN
    assert short.reasons == ("too little to judge by: 5 windows after the warm-up with 177 requests in 1 worker",)


def test_a_clean_app_is_steady() -> None:
    """Enough was seen and nothing grows."""
    verdict = conclude(App().history(), ())
    assert verdict.kind is Kind.STEADY
    assert "nothing grows with the requests: 55 windows" in verdict.reasons[0]


def test_the_gravest_confirmed_finding_gives_the_kind() -> None:
    """A leak before a debt, the larger before the smaller; each is named."""
    debt = finding(Kind.GC_DEBT, retained_bytes=10**9)
    small, large = finding(retained_bytes=10), finding(Kind.NATIVE, retained_bytes=1000)
    verdict = conclude(App().history(), [debt, small, large])
    assert verdict.kind is Kind.NATIVE
    assert len(verdict.reasons) == 3


def test_a_suspect_is_no_verdict() -> None:
    """No verdict from what is not confirmed, and no all-clear either."""
    verdict = conclude(App().history(), [finding(status=Status.SUSPECT)])
    assert verdict.kind is Kind.UNKNOWN
    assert verdict.reasons == ("suspected, not confirmed yet: app.STORE: grew",)


def test_what_the_user_accepts_does_not_make_the_verdict() -> None:
    """What a rule of the user's accepts is mentioned and no more."""
    verdict = conclude(App().history(), [finding(known="ignored by the rule x", accepted=True)])
    assert verdict.kind is Kind.STEADY
    assert verdict.reasons[-1] == "accepted: app.STORE: grew; ignored by the rule x"


def test_a_known_leak_of_a_package_is_a_leak_all_the_same() -> None:
    """Somebody else's bug fills this worker's memory no less."""
    verdict = conclude(App().history(), [finding(known="vendor 1.2: fixed in 1.3")])
    assert verdict.kind is Kind.LEAK


@pytest.mark.parametrize(
    ("leaving", "said"),
    [({"per_blocks": 4.0}, "allocated blocks grew"), ({"per_heap": 900.0}, "C heap in use grew")],
)
def test_a_level_that_surely_grows_is_not_steady_before_its_finding(leaving: dict[str, float], said: str) -> None:
    """Between the moment at which a level surely grows and its finding the verdict is not yet known, and says why."""
    windows = App(leaky="POST /telemetry", **leaving).history().windows  # type: ignore[arg-type]
    verdict = conclude(windows, ())
    assert verdict.kind is Kind.UNKNOWN
    assert verdict.reasons[0].startswith(said)
    known = conclude(windows, [finding(known="ignored by the rule x", accepted=True)])
    assert known.kind is Kind.STEADY  # what is accepted explains it


def test_memory_that_rises_without_a_finding_is_not_steady() -> None:
    """A worker that grew to its end by half is not called clean because nothing was confirmed."""
    windows = App(windows=40).history().windows
    rising = tuple(
        dataclasses.replace(w, reading=dataclasses.replace(w.reading, rss=(100 + 2 * i) * MIB))
        for i, w in enumerate(windows)
    )
    verdict = conclude({"one": windows, "two": rising}, ())
    assert verdict.kind is Kind.UNKNOWN
    assert "not explained" in verdict.reasons[0]


def test_memory_that_rose_and_stays_is_steady() -> None:
    """A cache that is full by now is not held against the app."""
    windows = App(windows=40).history().windows
    full = tuple(
        dataclasses.replace(w, reading=dataclasses.replace(w.reading, rss=(100 + min(4 * i, 60)) * MIB))
        for i, w in enumerate(windows)
    )
    assert conclude(full, ()).kind is Kind.STEADY


def test_windows_of_several_workers_are_told_apart() -> None:
    """In a flat sequence a new worker begins where the requests are counted anew."""
    one, two = App(windows=20).history().windows, App(seed=1, windows=30).history().windows
    assert [len(worker) for worker in by_worker((*one, *two))] == [20, 30]
    assert by_worker({1: one, 2: two}) == [one, two]
    assert by_worker(()) == []


def line(start: int, per_second: float, number: int = 20) -> list[Window]:
    return [
        Window(i, i + 1, Reading(i + 1, round(start + per_second * (i + 1))), 10 * i, 0, warm=True)
        for i in range(number)
    ]


def test_time_to_the_ceiling() -> None:
    """At a steady growth the time left is what remains over the rate."""
    assert seconds_to(200 * MIB, line(100 * MIB, MIB)) == pytest.approx(80, rel=0.01)
    assert seconds_to(110 * MIB, line(100 * MIB, MIB)) == 0.0
    assert seconds_to(200 * MIB, line(100 * MIB, 0)) is None
    assert seconds_to(200 * MIB, line(100 * MIB, -MIB)) is None
    assert seconds_to(None, line(100 * MIB, MIB)) is None
    assert seconds_to(200 * MIB, []) is None
