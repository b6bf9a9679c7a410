"""The check: measure, look, judge, forgive; raise with the whole story when something is left."""

from __future__ import annotations

import dataclasses
import time
import typing
from collections.abc import Callable
from dataclasses import dataclass

from leakguard.detection.finding import compose, join
from leakguard.detection.forgiveness import Forgiveness
from leakguard.errors import ConfigError, LeaksFoundError, NotMeasuredError
from leakguard.records import Finding
from leakguard.testing import quiet
from leakguard.testing.caller import Caller, drive, drive_here
from leakguard.testing.demand import Demand, Texts, demand
from leakguard.testing.freezing import FREEZER
from leakguard.testing.measuring import Measurement, measure
from leakguard.testing.message import tell
from leakguard.testing.suspects import filling, relate, suspect
from leakguard.testing.tempfiles import FILES
from leakguard.testing.warned import Warned

MOST_FILLING = 50
"""Calls, in multiples of n, spent on filling containers of known bound before measuring again."""


class Options(typing.TypedDict, total=False):
    """The options of a leak test; ``demand`` says what each one means."""

    n: int
    ignore: Texts
    ignore_type: Texts
    ignore_holder: Texts
    ignore_site: Texts
    kinds: Texts
    known_leaks: Texts


@dataclass(frozen=True, slots=True)
class Judged:
    """The outcome of one check: what was measured, what leaks, and what stood in the way of explaining it."""

    measurement: Measurement
    findings: tuple[Finding, ...] = ()
    why: str | None = None
    demand: Demand = dataclasses.field(default_factory=Demand)
    seconds: float = 0.0

    @property
    def unforgiven(self) -> tuple[Finding, ...]:
        """The findings that no rule and no known leak accounts for."""
        return tuple(finding for finding in self.findings if finding.known is None)

    def message(self, forgive: str = "assert_no_leaks(..., ignore=[{}])") -> str:
        """Return the whole story of what is not forgiven; ``forgive`` says where rules go, ``{}`` stands for them."""
        return tell(self.measurement, self.unforgiven, self.why, forgive)


def check(function: Callable[[], object], wanted: Demand | None = None, **options: typing.Unpack[Options]) -> Judged:
    """Measure and judge ``function`` as ``LeakChecker.assert_no_leaks`` does, and return the outcome.

    Raises:
        NotMeasuredError: it could not be measured.
        ConfigError: an option has a value that it cannot have.
    """
    return drive(function, _judgement(wanted or demand(**options)))


async def check_here(
    function: Callable[[], object], wanted: Demand | None = None, **options: typing.Unpack[Options]
) -> Judged:
    """Do as ``check`` does, on the event loop of asyncio or trio that runs already."""
    return await drive_here(function, _judgement(wanted or demand(**options)))


def _judgement(wanted: Demand) -> Callable[[Caller], typing.Coroutine[object, None, Judged]]:
    forgiveness = wanted.forgiveness

    async def judge(caller: Caller) -> Judged:
        began = time.perf_counter()
        warned = Warned()
        with FILES, FREEZER.lifted(), quiet.silence(), quiet.roomy():
            if "warnings" in wanted.kinds:
                warned.listen()
            judged = await _judge(caller, wanted, forgiveness)
        raised = tuple(
            compose(suspicion, None, {}, forgiveness) for suspicion in warned.suspicions(judged.measurement.calls)
        )
        return dataclasses.replace(
            judged, findings=judged.findings + raised, demand=wanted, seconds=time.perf_counter() - began
        )

    return judge


async def _measure(caller: Caller, wanted: Demand) -> Measurement:
    """Measure, and leave out what is of no kind that is asked for."""
    measurement = await measure(caller, wanted.n)
    asked = tuple(name for name in measurement.leaks if name in wanted.quantities)
    return dataclasses.replace(measurement, leaks=asked)


async def _judge(caller: Caller, wanted: Demand, forgiveness: Forgiveness) -> Judged:
    measurement = await _measure(caller, wanted)
    if not measurement.leaks:
        return Judged(measurement)
    judged, missing = await _explain(caller, measurement, forgiveness)
    if not 0 < missing <= MOST_FILLING * wanted.n:
        return judged
    await caller.repeat(missing)
    again = await _measure(caller, wanted)
    again = dataclasses.replace(again, calls=measurement.calls + missing + again.calls)
    if not again.leaks:
        return Judged(again)
    return (await _explain(caller, again, forgiveness))[0]


async def _explain(caller: Caller, measurement: Measurement, forgiveness: Forgiveness) -> tuple[Judged, int]:
    """Return the explained findings, and how many calls it takes to fill a cache that may be all there is to it."""
    from leakguard.testing.looking import Looker  # the observer comes in only with a failure

    looker = Looker(caller)
    try:
        calls = _run_length(measurement)
        looks = await looker.look(calls)
        missing = filling(measurement, looks)
        suspicions = suspect(measurement, looks)
        explanations = await looker.explain(suspicions, calls)
        why = looker.why
    finally:
        looker.close()
    findings = join(
        compose(suspicion, explanation, {}, forgiveness) for suspicion, explanation in relate(suspicions, explanations)
    )
    return Judged(measurement, findings, why), missing


def _run_length(measurement: Measurement) -> int:
    """Return as many calls as the rounds in which everything that leaks was seen to grow every time."""
    return max(measurement.attempts[name].calls for name in measurement.leaks)


def raise_for(judged: Judged, forgive: str = "assert_no_leaks(..., ignore=[{}])") -> None:
    """Raise when something leaks that is not forgiven.

    Raises:
        LeaksFoundError: with the whole story.
    """
    __tracebackhide__ = True
    if judged.unforgiven:
        raise LeaksFoundError(judged.message(forgive))


USAGE_ERRORS = (ConfigError, NotMeasuredError)
"""What a leak test raises about itself; the test's own line is all there is to see of it."""
