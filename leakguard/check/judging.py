"""The judgement on round trips: the rate law of a leak test, within the time there is."""

from __future__ import annotations

import time
from dataclasses import dataclass

from leakguard.check.trips import RoundTrips
from leakguard.detection.finding import compose, join
from leakguard.detection.forgiveness import Forgiveness
from leakguard.errors import OutOfTimeError
from leakguard.records import Finding, Kind, Verdict
from leakguard.testing.looking import Looker
from leakguard.testing.measuring import Measurement, measure
from leakguard.testing.suspects import filling, relate, suspect

LOOPS = 100
"""Round trips per round of the rate law, where there is time for them."""

FEWEST = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was concluded about one series of round trips.

    ``names`` are the requests of a round trip, ``calls`` the round trips made, ``why`` what stood in the way of explaining.
    """

    names: tuple[str, ...]
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    n: int = 0
    calls: int = 0
    measurement: Measurement | None = None
    why: str | None = None


async def judge(trips: RoundTrips, *, n: int | None, each: float, forgiveness: Forgiveness) -> Outcome:
    """Measure and judge round trips until ``trips.deadline`` at the latest.

    Args:
        trips: have been made once.
        n: round trips per round; by the time there is when ``None``.
        each: seconds that one round trip took.
        forgiveness: the user's rules and the known leaks.
    """
    loops = _fitting(each, trips.deadline - time.monotonic()) if n is None else n
    try:
        measurement = await measure(trips, loops)
        findings, why = await _explain(trips, measurement, forgiveness) if measurement.leaks else ((), None)
    except OutOfTimeError:
        said = f"the deadline came after {trips.made} round trips, before a judgement with n = {loops}"
        return Outcome(trips.names, Verdict(Kind.UNKNOWN, (said,)), n=loops, calls=trips.made)
    fresh = [finding for finding in findings if not finding.accepted]
    verdict = (
        Verdict(fresh[0].kind, tuple(finding.reasons[0] for finding in fresh if finding.reasons))
        if fresh
        else Verdict(Kind.STEADY, (f"nothing grows with the requests in {trips.made} round trips (n = {loops})",))
    )
    return Outcome(trips.names, verdict, findings, loops, trips.made, measurement, why)


async def _explain(
    trips: RoundTrips, measurement: Measurement, forgiveness: Forgiveness
) -> tuple[tuple[Finding, ...], str | None]:
    looker = Looker(trips)
    try:
        calls = max(measurement.attempts[name].calls for name in measurement.leaks)
        looks = await looker.look(calls)
        suspicions = suspect(measurement, looks)
        if filling(measurement, looks):
            return (), None
        explanations = await looker.explain(suspicions, calls)
        why = looker.why
    finally:
        looker.close()
    related = relate(suspicions, explanations)
    return join(compose(suspicion, explanation, {}, forgiveness) for suspicion, explanation in related), why


def _fitting(each: float, left: float) -> int:
    """Return the round trips per round that a plain leak's judgement, 11 rounds and 3 to look, leaves time for."""
    return max(FEWEST, min(LOOPS, int(left / 2 / (20 * max(each, 1e-5)))))
