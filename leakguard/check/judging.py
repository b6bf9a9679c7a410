"""The judgement on round trips: that of leak tests, with as many round trips as there is time for, request by request."""

from __future__ import annotations

import time
from dataclasses import dataclass

from leakguard.check.trips import RoundTrips
from leakguard.detection.forgiveness import Forgiveness
from leakguard.errors import OutOfTimeError
from leakguard.records import Finding, Kind, Verdict
from leakguard.testing.caller import Caller
from leakguard.testing.judgement import Terms
from leakguard.testing.judgement import judge as judge_calls
from leakguard.testing.measuring import Measurement, Patience

LOOPS = 250
"""Round trips per round of the rate law, where there is time for them."""

FEWEST = 5

GLANCE = 25
"""Round trips per round of a first look at threads, tasks and descriptors."""

# A round takes a second, and longer only where a second is too short for so many round trips.
_ROUND_SECONDS, _ROUND_TRIPS = 0.5, 50
_PACES, _PACE_SECONDS = 3, 0.1
# What a leak takes from beginning to end in rounds: 12 to find it, 3 to look, as many again to explain it.
_ROUNDS = 26
# What still grows after so many round trips is no cache of a sensible size.
_PATIENT = 5000
_PATIENT_SHARE = 0.2
# Kept back, so that what is found is told before the deadline.
_RESERVE = 0.2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was concluded about one series of round trips.

    ``names`` are the requests of a round trip, ``calls`` the round trips made, ``why`` what stood in the way of explaining,
    ``notes`` what is worth knowing though it is no leak.
    """

    names: tuple[str, ...]
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    n: int = 0
    calls: int = 0
    measurement: Measurement | None = None
    why: str | None = None
    notes: tuple[str, ...] = ()


async def judge(trips: RoundTrips, *, n: int | None, each: float, forgiveness: Forgiveness) -> Outcome:
    """Measure and judge round trips until ``trips.deadline`` at the latest.

    Args:
        trips: have been made once.
        n: round trips per round; by the time there is when ``None``.
        each: seconds that one round trip took.
        forgiveness: the user's rules and the known leaks.
    """
    loops = n or FEWEST
    try:
        if n is None:
            each = await _pace(trips, each)
            loops = fitting(each, trips.deadline - time.monotonic())
    except OutOfTimeError:
        return _too_late(trips, loops)
    left = trips.deadline - time.monotonic()
    terms = Terms(
        n=loops,
        patience=Patience(_PATIENT, time.monotonic() + _PATIENT_SHARE * left),
        glance=GLANCE if loops > GLANCE else 0,
        until=trips.deadline - _RESERVE * left,
        debt=True,
        routes=_routes(trips),
        requests=len(trips.names),
    )
    try:
        judged = await judge_calls(trips, terms, forgiveness)
    except OutOfTimeError:
        return _too_late(trips, loops)
    fresh = [finding for finding in judged.findings if not finding.accepted]
    verdict = (
        Verdict(fresh[0].kind, tuple(finding.reasons[0] for finding in fresh if finding.reasons))
        if fresh
        else Verdict(Kind.STEADY, (f"nothing grows with the requests in {trips.made} round trips (n = {loops})",))
    )
    return Outcome(
        trips.names, verdict, judged.findings, loops, trips.made, judged.measurement, judged.why, judged.notes
    )


def _too_late(trips: RoundTrips, loops: int) -> Outcome:
    said = f"the deadline came after {trips.made} round trips, before a judgement with n = {loops}"
    return Outcome(trips.names, Verdict(Kind.UNKNOWN, (said,)), n=loops, calls=trips.made)


async def _pace(trips: RoundTrips, each: float) -> float:
    """Return the seconds of a round trip when warm: the first ones import, connect and compile."""
    for _ in range(_PACES):
        made = max(1, min(_ROUND_TRIPS, int(_PACE_SECONDS / max(each, 1e-4))))
        began = time.monotonic()
        await trips.repeat(made)
        each = (time.monotonic() - began) / made
    return each


def fitting(each: float, left: float) -> int:
    """Return the round trips per round that there is time for, when one takes ``each`` of the seconds ``left``."""
    each = max(each, 1e-5)
    most = left / _ROUNDS
    seconds = min(_ROUND_SECONDS, most)
    if seconds / each < _ROUND_TRIPS:
        seconds = min(most, _ROUND_TRIPS * each)
    return max(FEWEST, min(LOOPS, int(seconds / each)))


def _routes(trips: RoundTrips) -> dict[str, Caller]:
    """Return a caller for every request of a round trip, those of one name together."""
    indexes: dict[str, list[int]] = {}
    for index, name in enumerate(trips.names):
        indexes.setdefault(name, []).append(index)
    return {name: trips.only(chosen) for name, chosen in indexes.items()}
