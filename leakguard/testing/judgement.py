"""The judgement: measure, look, explain, tell several leaks apart, and find the requests that they come with.

Everything that repeats calls to find leaks comes through here: leak tests and ``leakguard check``.
"""

from __future__ import annotations

import dataclasses
import time
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from leakguard.detection.finding import compose, join
from leakguard.detection.forgiveness import Forgiveness
from leakguard.detection.suspicion import Suspicion
from leakguard.errors import OutOfTimeError
from leakguard.records import Explanation, Finding, Kind
from leakguard.testing.measuring import Measurement, Patience, measure
from leakguard.testing.suspects import Looks, filling, relate, suspect

if typing.TYPE_CHECKING:
    from leakguard.testing.caller import Caller

MOST_FILLING = 50
"""Calls, in multiples of n, spent on filling containers of known bound before measuring again."""

# The looks make three more rounds, one of them under tracemalloc, where a request takes ten times as long.
_MOST_TRACED = 200
_TRACED_SECONDS = 4.0
_NO_END = 3600.0
_DEBT_SECONDS = 5.0

Related = tuple[Suspicion, Explanation | None]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a judgement is made under.

    Args:
        n: calls per round.
        quantities: the names of those that may be accused; ``None`` for all.
        patience: how long a leak is watched before it is believed.
        glance: calls per round of a first short judgement of threads, tasks, descriptors and processes; 0 for none.
        until: on the monotonic clock; what is optional is left out when it would take longer. ``None``: no end.
        debt: also judge what is left to the cyclic collector.
        routes: the requests that one call is made of, each with a caller of its own; empty when a call is one thing.
        requests: how many of them there are, the same one several times counted so often.
    """

    n: int = 100
    quantities: frozenset[str] | None = None
    patience: Patience = field(default_factory=Patience)
    glance: int = 0
    until: float | None = None
    debt: bool = False
    routes: Mapping[str, Caller] = field(default_factory=dict)
    requests: int = 1

    @property
    def left(self) -> float:
        """Seconds left."""
        return _NO_END if self.until is None else self.until - time.monotonic()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was measured, what leaks, what stood in the way of explaining it, and what is worth knowing though no leak."""

    measurement: Measurement
    findings: tuple[Finding, ...] = ()
    why: str | None = None
    notes: tuple[str, ...] = ()


async def judge(caller: Caller, terms: Terms, forgiveness: Forgiveness) -> Judgement:
    """Measure and judge the callable behind ``caller``; it has been called at least once.

    Raises:
        OutOfTimeError: the time was over before anything could be said.
        NotMeasuredError: it could not be measured.
    """
    measurement = await _measure(caller, terms)
    judged = Judgement(measurement)
    if measurement.leaks:
        judged, missing = await _explain(caller, measurement, terms, forgiveness)
        if missing:
            judged = await _fill(caller, judged, missing, terms, forgiveness)
    if terms.debt and terms.left > _DEBT_SECONDS:
        judged = await _with_debt(caller, judged, terms, forgiveness)
    return judged


async def _measure(caller: Caller, terms: Terms) -> Measurement:
    """Measure, and leave out what nobody asks for."""
    measurement = await measure(caller, terms.n, terms.patience, glance=terms.glance)
    asked = tuple(name for name in measurement.leaks if terms.quantities is None or name in terms.quantities)
    return dataclasses.replace(measurement, leaks=asked)


async def _fill(caller: Caller, judged: Judgement, missing: int, terms: Terms, forgiveness: Forgiveness) -> Judgement:
    """Fill the containers of known bound that may be all there is, and judge what grows after that."""
    made = judged.measurement.calls
    unfilled = Judgement(
        dataclasses.replace(judged.measurement, leaks=()),
        notes=(f"a cache of known size was still filling after {made} calls; {missing} more would fill it",),
    )
    if missing > MOST_FILLING * terms.n:
        return unfilled
    try:
        await caller.repeat(missing)
        again = await _measure(caller, terms)
    except OutOfTimeError:
        return unfilled
    again = dataclasses.replace(again, calls=made + missing + again.calls)
    if not again.leaks:
        return Judgement(again)
    return (await _explain(caller, again, terms, forgiveness))[0]


async def _explain(
    caller: Caller, measurement: Measurement, terms: Terms, forgiveness: Forgiveness
) -> tuple[Judgement, int]:
    """Return the explained findings, and how many calls it takes to fill a cache that may be all there is to it."""
    from leakguard.testing.looking import Looker  # the observer comes in only with a failure
    from leakguard.testing.routing import routed

    looker = Looker(caller, terms.until)
    related: list[Related] = []
    missing = 0
    try:
        calls = _run_length(measurement)
        looks = await _looks(looker, calls)
        missing = filling(measurement, looks)
        if missing:
            return Judgement(measurement), missing
        suspicions = suspect(measurement, looks)
        related = [(suspicion, None) for suspicion in suspicions]
        explanations = await looker.explain(suspicions, _traced(calls, looker.each, terms))
        related = relate(suspicions, explanations)
        if terms.left > 0:
            related = await looker.deepen(related, measurement, terms.left)
        if terms.routes and (terms.left > 0 or len(terms.routes) == 1):
            related = await routed(related, looker, measurement, terms)
    except OutOfTimeError:
        looker.why = looker.why or "the time was over before everything was explained"
        related = related or [(suspicion, None) for suspicion in suspect(measurement, Looks())]
    finally:
        looker.close()
    named = [(_as_requests(suspicion, explanation), explanation) for suspicion, explanation in ranked(related)]
    findings = join(compose(suspicion, explanation, {}, forgiveness) for suspicion, explanation in named)
    return Judgement(measurement, findings, looker.why), missing


def _as_requests(suspicion: Suspicion, seen: Explanation | None) -> Suspicion:
    """Call objects that are requests, by the name that every framework gives them, what they are."""
    if suspicion.kind is Kind.LEAK and seen is not None and (seen.type or "").endswith("Request"):
        return dataclasses.replace(suspicion, kind=Kind.RETAINED_REQUESTS)
    return suspicion


async def _looks(looker: typing.Any, calls: int) -> Looks:
    looks: Looks = await looker.look(calls)
    return looks


def ranked(related: Sequence[Related]) -> list[Related]:
    """Return what leaks by what mending it gives back: first what never ends, for it holds more than its objects."""

    def worth(one: Related) -> tuple[bool, float]:
        suspicion, seen = one
        each = seen.bytes_each if seen is not None else None
        weight = suspicion.bytes_per_request or (suspicion.per_request * each if each else 0.0)
        return suspicion.kind in {Kind.TASKS, Kind.THREADS, Kind.DESCRIPTORS}, weight

    return sorted(related, key=worth, reverse=True)


def _run_length(measurement: Measurement) -> int:
    """Return as many calls as the rounds in which everything that leaks was seen to grow every time."""
    return max(measurement.attempts[name].calls for name in measurement.leaks)


def _traced(calls: int, each: float, terms: Terms) -> int:
    """Return how many calls to make under tracemalloc: ten times as dear, so fewer of slow ones."""
    seconds = min(_TRACED_SECONDS, terms.left / 4)
    return max(min(calls, _MOST_TRACED, int(seconds / (10 * max(each, 1e-6)))), min(calls, 10))


async def _with_debt(caller: Caller, judged: Judgement, terms: Terms, forgiveness: Forgiveness) -> Judgement:
    from leakguard.testing import debt  # brings in the observer, which a leak test that passes never needs

    collected = debt.collects()
    try:
        owed = await debt.owe(caller, min(debt.CALLS, terms.n))
    except OutOfTimeError:
        return judged
    if owed is None or owed.per_call < 1:
        return judged
    if not owed.heavy(collected=collected, requests=terms.requests):
        return dataclasses.replace(judged, notes=(*judged.notes, owed.note()))
    finding = compose(*debt.suspicion(owed, debt.CALLS, collected=collected), {}, forgiveness)
    if len(terms.routes) == 1:
        finding = dataclasses.replace(finding, route=next(iter(terms.routes)))
    return dataclasses.replace(judged, findings=(*judged.findings, finding))
