"""The check: measure, look, judge, forgive; raise with the whole story when something is left."""

from __future__ import annotations

import dataclasses
import time
import typing
from collections.abc import Callable
from dataclasses import dataclass

from leakguard.detection.finding import compose
from leakguard.errors import ConfigError, LeaksFoundError, NotMeasuredError
from leakguard.records import Finding
from leakguard.testing import quiet
from leakguard.testing.caller import Caller, drive, drive_here
from leakguard.testing.demand import Demand, Texts, demand
from leakguard.testing.freezing import FREEZER
from leakguard.testing.judgement import Terms
from leakguard.testing.judgement import judge as judge_calls
from leakguard.testing.measuring import Measurement
from leakguard.testing.message import tell
from leakguard.testing.tempfiles import FILES
from leakguard.testing.warned import Warned


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
            made = await judge_calls(caller, Terms(n=wanted.n, quantities=wanted.quantities), forgiveness)
            judged = Judged(made.measurement, made.findings, made.why)
        raised = tuple(
            compose(suspicion, None, {}, forgiveness) for suspicion in warned.suspicions(judged.measurement.calls)
        )
        return dataclasses.replace(
            judged, findings=judged.findings + raised, demand=wanted, seconds=time.perf_counter() - began
        )

    return judge


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
