"""Drives a check in this process: load the app, start it up, make round trips, have them judged, shut it down."""

from __future__ import annotations

import asyncio
import time
import typing
from collections.abc import Callable, Coroutine, Sequence

from leakguard.check.clients.base import Client
from leakguard.check.interface import Interface
from leakguard.check.judging import Outcome, judge
from leakguard.check.plan import Plan
from leakguard.check.request import Request
from leakguard.check.result import Asked, Result
from leakguard.check.target import Target, load
from leakguard.check.trips import RoundTrips, listening
from leakguard.detection.forgiveness import Forgiveness
from leakguard.errors import NotMeasuredError
from leakguard.testing import quiet

Tell = Callable[[str, int], None]
"""Is told what is being done, and how many round trips were made."""

_MOST_SAID = 5
_TRIAL, _TRIAL_SECONDS = 20, 0.3


def drive(plan: Plan, tell: Tell) -> Result:
    """Check an app in this process.

    Raises:
        ConfigError: the target is no app, or gives no requests.
        NotMeasuredError: it does not start up, hangs, or was not answered.
    """
    began = time.monotonic()
    tell("importing", 0)
    target = load(plan.target, interface=plan.interface, factory=plan.factory)
    if target.interface is Interface.WSGI:
        from leakguard.check.clients.wsgi import WsgiClient

        return _finish(_check(plan, target, WsgiClient(target.app, plan.concurrency), began, tell))
    client: Client
    if target.interface is Interface.AIOHTTP:
        from leakguard.check.clients.aiohttp import AiohttpClient

        client = AiohttpClient(target.app, plan.concurrency, plan.patience)
    else:
        from leakguard.check.clients.asgi import AsgiClient

        client = AsgiClient(target.app, plan.concurrency, plan.patience)
    with asyncio.Runner() as runner:
        return runner.run(_check(plan, target, client, began, tell))


async def _check(plan: Plan, target: Target, client: Client, began: float, tell: Tell) -> Result:
    tell("starting up", 0)
    await client.start()
    try:
        requests, notes = _requests(plan, target)
        deadline = began + plan.deadline
        trips = RoundTrips(client, requests, deadline, lambda made: tell("measuring", made))
        tell("asking", 0)
        causes, each = await _acquaint(trips, client, requests)
        outcomes = await _judged(plan, trips, each)
        answers = trips.answers
        asked = tuple(
            Asked(name, answers.statuses(index), answers.cause(index) or causes[index])
            for index, name in enumerate(answers.names)
        )
    finally:
        await client.stop()
    sent = sum(sum(each.statuses.values()) for each in asked)
    return Result(
        target=target.name,
        interface=str(target.interface),
        asked=asked,
        outcomes=tuple(outcomes),
        blocked=tuple(blocked(asked, requests, errors_expected=plan.errors_expected)),
        notes=(*notes, *remarks(asked)),
        requests=sent,
        seconds=time.monotonic() - began,
    )


def _requests(plan: Plan, target: Target) -> tuple[tuple[Request, ...], list[str]]:
    if plan.requests is not None:
        return plan.requests, []
    raise NotMeasuredError("name what to request: --path /items/{n}, or --requests FILE")


async def _acquaint(trips: RoundTrips, client: Client, requests: Sequence[Request]) -> tuple[list[str | None], float]:
    """Send every request once, one after the other; return what went wrong with each, and the seconds of a round trip."""
    causes: list[str | None] = []
    with listening() as heard:
        for index, request in enumerate(requests):
            heard.last = None
            await client.send([(index, request, 0)], trips.answers)
            causes.append(heard.last)
    began, trial = time.monotonic(), 0
    with quiet.silence():
        while trial < _TRIAL and time.monotonic() - began < _TRIAL_SECONDS:
            await trips.repeat(1)
            trial += 1
    return causes, (time.monotonic() - began) / trial


async def _judged(plan: Plan, trips: RoundTrips, each: float) -> list[Outcome]:
    forgiveness = Forgiveness(plan.ignore)
    with quiet.silence(), quiet.roomy():
        if not plan.separate or len(trips.requests) == 1:
            return [await judge(trips, n=plan.loops, each=each, forgiveness=forgiveness)]
        outcomes = []
        for index in range(len(trips.requests)):
            alone = trips.alone(index)
            share = (trips.deadline - time.monotonic()) / (len(trips.requests) - index)
            alone.deadline = time.monotonic() + share
            outcomes.append(await judge(alone, n=plan.loops, each=each / len(trips.requests), forgiveness=forgiveness))
        return outcomes


def blocked(asked: Sequence[Asked], requests: Sequence[Request], *, errors_expected: bool) -> list[str]:
    """Return why what was measured must not be called clean: requests that the app never really served."""
    said = []
    for each in asked:
        if each.always == 500 and not errors_expected:
            cause = f" ({each.cause})" if each.cause else ""
            said.append(f"{each.name} answered 500 every time{cause}: only its error path was measured")
    if asked and all(each.always == 404 for each in asked) and not any("{n}" in r.path for r in requests):
        said.append(
            f"every request was answered 404: {', '.join(each.name for each in asked[:_MOST_SAID])}; a wrong path?"
        )
    return said


def remarks(asked: Sequence[Asked]) -> list[str]:
    """Return what the reader should know about the answers."""
    said = []
    for each in asked:
        status = each.always
        if status is not None and status >= 400 and status != 500:
            said.append(f"{each.name} was answered {status} every time")
    return said


_Answer = typing.TypeVar("_Answer")


def _finish(work: Coroutine[object, None, _Answer]) -> _Answer:
    """Run a coroutine that never suspends."""
    try:
        work.send(None)
    except StopIteration as stop:
        return typing.cast("_Answer", stop.value)
    raise AssertionError("a client without an event loop never suspends")
