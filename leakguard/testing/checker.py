"""The check: measure, look, judge, forgive; raise with the whole story when something is left."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from leakguard.config import Config
from leakguard.detection.finding import compose, join
from leakguard.detection.forgiveness import Forgiveness
from leakguard.errors import ConfigError, LeaksFoundError, NotMeasuredError
from leakguard.records import Finding
from leakguard.testing import quiet
from leakguard.testing.caller import Caller, drive
from leakguard.testing.measuring import Measurement, measure
from leakguard.testing.message import tell
from leakguard.testing.suspects import filling, relate, suspect

MOST_FILLING = 50
"""Calls, in multiples of n, spent on filling containers of known bound before measuring again."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The outcome of one check: what was measured, what leaks, and what stood in the way of explaining it."""

    measurement: Measurement
    findings: tuple[Finding, ...] = ()
    why: str | None = None

    @property
    def unforgiven(self) -> tuple[Finding, ...]:
        """The findings that no rule and no known leak accounts for."""
        return tuple(finding for finding in self.findings if finding.known is None)


class LeakChecker:
    """What the pytest fixture ``leakguard`` gives to a test."""

    def assert_no_leaks(self, function: Callable[[], object], *, n: int = 100, ignore: Iterable[str] = ()) -> None:
        """Fail when ``function`` leaks: Python objects, C heap, threads, asyncio tasks or descriptors.

        It is called once as it is, n times to warm up, and then 5 n to 11 n times between collections, judged by the rate
        law (``leakguard.detection.rate_law``): caches up to about 10 n entries pass, leaks down to about one in n calls are
        found. What grows unclearly takes more, at worst 166 n calls. While it measures, automatic garbage collection is off and
        what the function prints, warns and logs goes nowhere.

        Args:
            function: takes no argument; what it returns is dropped, an awaitable (of a coroutine function, or a lambda
                around one) is awaited first, all of them on one event loop.
            n: calls per round. 100 is quick; 500 sees rarer leaks and acquits larger caches.
            ignore: what is known and accepted: ``"holder:app.cache.*"``, ``"type:app.Session"``, ``"site:vendor/*"``.

        Raises:
            LeaksFoundError: it leaks; the message says what, how much per call, held by whom, allocated where.
            NotMeasuredError: it could not be measured: a generator function, an awaitable while a loop already runs here.
            ConfigError: ``n`` or a rule of ``ignore`` is not one.
        """
        __tracebackhide__ = True
        try:
            judged = check(function, n=n, ignore=ignore)
        except (ConfigError, NotMeasuredError) as error:
            raise error.with_traceback(None) from None  # the test's own line is all there is to see
        if judged.unforgiven:
            raise LeaksFoundError(tell(judged.measurement, judged.unforgiven, judged.why))


def check(function: Callable[[], object], *, n: int = 100, ignore: Iterable[str] = ()) -> Judged:
    """Measure and judge ``function`` as ``LeakChecker.assert_no_leaks`` does, and return the outcome.

    Raises:
        NotMeasuredError: it could not be measured.
        ConfigError: ``n`` or a rule of ``ignore`` is not one.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ConfigError("n", "must be a whole number of at least 1", n, "n=100")
    rules = ignore if isinstance(ignore, str) else list(ignore)
    forgiveness = Forgiveness(Config.load(ignore=rules or None).ignore)

    async def judge(caller: Caller) -> Judged:
        with quiet.silence(), quiet.roomy():
            return await _judge(caller, n, forgiveness)

    return drive(function, judge)


async def _judge(caller: Caller, n: int, forgiveness: Forgiveness) -> Judged:
    measurement = await measure(caller, n)
    if not measurement.leaks:
        return Judged(measurement)
    judged, missing = await _explain(caller, measurement, forgiveness)
    if not 0 < missing <= MOST_FILLING * n:
        return judged
    await caller.repeat(missing)
    again = await measure(caller, n)
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
