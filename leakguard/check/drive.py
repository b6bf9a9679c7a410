"""Drives a check in this process: load the app, start it up, make round trips, have them judged, shut it down."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import typing
from collections.abc import Callable, Coroutine, Iterator, Sequence

from leakguard.check import routes, served
from leakguard.check.board import ASKING, IMPORTING, MEASURING, STARTING, STOPPING, Board
from leakguard.check.clients.base import Client
from leakguard.check.interface import Interface
from leakguard.check.judging import Outcome, judge
from leakguard.check.plan import Plan
from leakguard.check.request import Request, names
from leakguard.check.result import Asked, Result
from leakguard.check.target import Target, load
from leakguard.check.trips import RoundTrips, listening
from leakguard.detection.forgiveness import Forgiveness
from leakguard.errors import ConfigError
from leakguard.testing import quiet

Tell = Callable[[tuple[str, ...] | Result], None]
"""Is told the names of the requests before the first is sent, and the result before the app is shut down."""

_RUNNERS: list[asyncio.Runner] = []
_MARGIN = 2.0  # seconds at the end to shut down and report
_TRIAL, _TRIAL_SECONDS = 20, 0.3


def drive(plan: Plan, board: Board, tell: Tell) -> Result:
    """Check an app in this process.

    Args:
        plan: what to check, and how.
        board: is written what is being done.
        tell: is told the names of the requests, and the result.

    Raises:
        ConfigError: the target is no app, or gives no requests.
        NotMeasuredError: it does not start up, hangs, or was not answered.
    """
    return _Drive(plan, board, tell).run()


class _Drive:
    """One check."""

    def __init__(self, plan: Plan, board: Board, tell: Tell) -> None:
        self._plan = plan
        self._board = board
        self._tell = tell
        self._began = time.monotonic()

    def run(self) -> Result:
        plan, board = self._plan, self._board
        board.enter(IMPORTING)
        target = load(plan.target, interface=plan.interface, factory=plan.factory)
        if target.interface is Interface.WSGI:
            from leakguard.check.clients.wsgi import WsgiClient

            return _finish(self._check(target, WsgiClient(target.app, plan.concurrency, board)))
        client: Client
        if target.interface is Interface.AIOHTTP:
            from leakguard.check.clients.aiohttp import AiohttpClient

            client = AiohttpClient(target.app, plan.concurrency, plan.patience, board)
        else:
            from leakguard.check.clients.asgi import AsgiClient

            client = AsgiClient(target.app, plan.concurrency, plan.patience, board)
        # Never closed: that would wait for the app's threads. The process ends instead.
        _RUNNERS.append(asyncio.Runner())
        return _RUNNERS[-1].run(self._check(target, client))

    async def _check(self, target: Target, client: Client) -> Result:
        board = self._board
        board.enter(STARTING)
        await client.start()
        try:
            result = await self._measure(target, client)
            self._tell(result)  # before the app is shut down, which may hang
        finally:
            board.enter(STOPPING)
            await client.stop()
        return result

    async def _measure(self, target: Target, client: Client) -> Result:
        plan, board = self._plan, self._board
        requests, notes = self._requests(client.app)
        self._tell(tuple(request.name for request in requests))
        deadline = self._began + plan.deadline - min(_MARGIN, plan.deadline / 10)
        trips = RoundTrips(client, requests, deadline, board)
        board.enter(ASKING)
        causes, each = await _acquaint(trips)
        board.enter(MEASURING)
        outcomes = await _judged(plan, trips, each)
        answers = trips.answers
        asked = tuple(
            Asked(name, answers.statuses(index), answers.cause(index) or causes[index])
            for index, name in enumerate(answers.names)
        )
        return Result(
            target=target.name,
            interface=str(target.interface),
            asked=asked,
            outcomes=tuple(outcomes),
            blocked=tuple(served.blocked(asked, requests, plan)),
            notes=(*notes, *served.remarks(asked), *(note for outcome in outcomes for note in outcome.notes)),
            requests=answers.total,
            seconds=time.monotonic() - self._began,
        )

    def _requests(self, app: object) -> tuple[tuple[Request, ...], tuple[str, ...]]:
        plan = self._plan
        notes: tuple[str, ...] = ()
        if plan.requests is not None:
            found = routes.name(plan.requests, app)
        else:
            found, notes = routes.discover(app)
            chosen = tuple(each for each in found if plan.wants(each.name))
            if not chosen:
                raise ConfigError("--route", "must fit a route of the app", plan.routes, f"they are {listed(found)}")
            found = chosen
        usual = routes.usual_headers(app)
        return tuple(each.given(usual) for each in found), notes


async def _acquaint(trips: RoundTrips) -> tuple[list[str | None], float]:
    """Send every request once, one after the other; return what went wrong with each, and the seconds of a round trip."""
    causes: list[str | None] = []
    with listening() as heard:
        for index, request in enumerate(trips.requests):
            heard.last = None
            await trips.client.send([(index, request, 0)], trips.answers)
            causes.append(heard.last)
    began, trial = time.monotonic(), 0
    with swallowed(), quiet.silence():
        while trial < _TRIAL and time.monotonic() - began < _TRIAL_SECONDS:
            await trips.repeat(1)
            trial += 1
    return causes, (time.monotonic() - began) / trial


async def _judged(plan: Plan, trips: RoundTrips, each: float) -> list[Outcome]:
    forgiveness = Forgiveness(plan.ignore)
    with swallowed(), quiet.silence(), quiet.roomy():
        if not plan.separate or len(trips.requests) == 1:
            return [await judge(trips, n=plan.loops, each=each, forgiveness=forgiveness)]
        outcomes = []
        for index, alone in enumerate(trips.each):
            alone.deadline = time.monotonic() + (trips.deadline - time.monotonic()) / (len(trips.requests) - index)
            outcomes.append(await judge(alone, n=plan.loops, each=each / len(trips.requests), forgiveness=forgiveness))
        return outcomes


@contextlib.contextmanager
def swallowed() -> Iterator[None]:
    """Let what the app writes to its standard output and error, in whatever way, go nowhere while the block runs."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    kept = [(descriptor, os.dup(descriptor)) for descriptor in (1, 2)]
    for descriptor, _ in kept:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    try:
        yield
    finally:
        for descriptor, copy in kept:
            os.dup2(copy, descriptor)
            os.close(copy)


def listed(requests: Sequence[Request], most: int = 8) -> str:
    """Return the names of requests as a person lists them."""
    found = names(requests)
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")


_Answer = typing.TypeVar("_Answer")


def _finish(work: Coroutine[object, None, _Answer]) -> _Answer:
    """Run a coroutine that never suspends."""
    try:
        work.send(None)
    except StopIteration as stop:
        return typing.cast("_Answer", stop.value)
    raise AssertionError("a client without an event loop never suspends")
