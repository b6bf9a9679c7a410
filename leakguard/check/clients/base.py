"""What every client can do, and what those on an event loop have in common."""

from __future__ import annotations

import asyncio
import heapq
import time
import typing
from collections.abc import Callable, Coroutine, Iterable, Iterator

from leakguard.check.answers import Answer, Answers
from leakguard.check.board import Board
from leakguard.check.request import Request
from leakguard.errors import NotMeasuredError
from leakguard.probes.failures import cause_of
from leakguard.probes.tasks import where_task

HOST, PORT = "127.0.0.1", 8000
PEER = ("127.0.0.1", 50000)
AGENT = "leakguard"

Work = Iterable[tuple[int, Request, int]]
"""What to send: the request's place in the list, the request, its number."""

TURNS = 10
"""Turns of the event loop after each request: what a server's own input and output would give to callbacks and tasks."""

STOP = 2.0  # seconds in which an app must have shut down
TICK = 0.1  # seconds between two looks at requests that do not end
LINGER = 1.0  # seconds that a handler may go on after its answer (background tasks) before the next request is sent
UNENDING = 2.0  # seconds after which a client leaves an answer that has begun and does not end
STREAM = 0.4  # seconds, or so many events, after which a client leaves an event stream, which never ends by itself
EVENTS = 5
LONGEST_STREAM = 64 * 2**20  # bytes after which a client leaves any answer


class Client(typing.Protocol):
    """Speaks to one app. The coroutines of a client without an event loop never suspend."""

    app: typing.Any
    """The application; of an aiohttp factory that is a coroutine, once it has been started."""

    async def start(self) -> None:
        """Start the app up.

        Raises:
            NotMeasuredError: it failed to.
        """

    async def send(self, work: Work, answers: Answers) -> None:
        """Send every request, at most ``concurrency`` at a time, and count the answers.

        Raises:
            NotMeasuredError: the app hangs.
        """

    async def pause(self, seconds: float) -> None:
        """Let whatever runs late go on for so long."""

    async def settle(self) -> None:
        """Bring what the loop and the client keep for themselves to a fixed point, before something is read."""

    async def stop(self) -> None:
        """Shut the app down; what goes wrong then is no longer of interest."""


class HangError(NotMeasuredError):
    """A request was not answered in time."""

    def __init__(self, name: str, seconds: float, where: object) -> None:
        place = f"; it waits at {where}" if where else ""
        super().__init__(f"{name} hangs: no answer within {seconds:g} s{place}")


def failure_of(error: BaseException) -> Answer:
    """Return the answer that stands for an exception which the app let through to the server."""
    if isinstance(error, SystemExit):
        return Answer(500, f"the app called sys.exit{_at(error)}")
    return Answer(500, f"{cause_of(error).type}{_at(error)}")


def _at(error: BaseException) -> str:
    site = cause_of(error).site
    return f" at {site} in {site.function}" if site else ""


class Flight:
    """One request on its way: when it was sent, whether its answer is complete, and the future its sender waits for."""

    __slots__ = ("answer", "answered", "began", "leave", "name", "on_leave", "over", "status", "streams", "task")

    def __init__(self, name: str, over: asyncio.Future[None]) -> None:
        self.name = name
        self.over = over
        self.began = time.monotonic()
        self.answered = 0.0
        self.status = 0
        self.answer: Answer | None = None
        self.leave: float | None = None  # when the client turns away from a stream
        self.streams = False  # its answer has begun, and more is to come
        self.on_leave: Callable[[], None] | None = None
        self.task: asyncio.Task[None] | None = None

    def end(self) -> None:
        """Let the sender go on."""
        if not self.over.done():
            self.over.set_result(None)


class LoopClient:
    """Sends requests from one long-lived task, each in a task (and a context) of its own.

    One timer looks at all flights now and then; a timer per request would leave cancelled ones behind, which look like growth.

    Args:
        concurrency: requests at a time.
        patience: seconds without an answer after which the app hangs.
        board: is written what is on its way.
    """

    def __init__(self, concurrency: int, patience: float, board: Board) -> None:
        self._board = board
        self._concurrency = concurrency
        self._patience = patience
        self._flights: list[Flight | None] = [None] * concurrency
        self._ticking: asyncio.TimerHandle | None = None
        self._lingers: dict[str, float] = {}
        self._endings: dict[str, float] = {}

    async def start(self) -> None:
        """Start looking at flights."""
        self._tick()

    async def stop(self) -> None:
        """Stop looking at flights."""
        if self._ticking is not None:
            self._ticking.cancel()

    async def pause(self, seconds: float) -> None:
        """Let the loop run."""
        await asyncio.sleep(seconds)

    async def settle(self) -> None:
        """Let callbacks that are due run, and drop timers that were cancelled.

        The loop drops those as well, but only when there are more than a hundred: until then they look like growth.
        """
        for _ in range(TURNS):
            await asyncio.sleep(0)
        _drop_cancelled(asyncio.get_running_loop())

    async def send(self, work: Work, answers: Answers) -> None:
        """Send every request, at most ``concurrency`` at a time."""
        waiting = iter(work)
        if self._concurrency == 1:
            await self._pilot(0, waiting, answers)
            return
        pilots = [asyncio.ensure_future(self._pilot(seat, waiting, answers)) for seat in range(self._concurrency)]
        try:
            await asyncio.gather(*pilots)
        finally:
            for pilot in pilots:
                pilot.cancel()

    async def _pilot(self, seat: int, waiting: Iterator[tuple[int, Request, int]], answers: Answers) -> None:
        """Send what is waiting, one after the other."""
        for index, request, number in waiting:
            flight = Flight(request.name, asyncio.get_running_loop().create_future())
            self._flights[seat] = flight
            self._board.send(seat, index)
            flight.task = asyncio.ensure_future(self._fly(flight, seat, request, number))
            try:
                await flight.over
            finally:
                self._flights[seat] = None
                self._board.answered(seat)
                flight.task = None
            answers.add(index, flight.answer or Answer(flight.status))
            for _ in range(TURNS):
                await asyncio.sleep(0)

    async def _fly(self, flight: Flight, seat: int, request: Request, number: int) -> None:
        try:
            flight.answer = await self._exchange(flight, seat, request, number)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if not flight.over.done():
                flight.over.set_exception(error)
        finally:
            flight.end()

    def _exchange(self, flight: Flight, seat: int, request: Request, number: int) -> Coroutine[object, None, Answer]:
        """Send one request and return its answer; never raises what the app raises."""
        raise NotImplementedError

    def _tick(self) -> None:
        self._ticking = asyncio.get_running_loop().call_later(TICK, self._tick)
        now = time.monotonic()
        for flight in self._flights:
            if flight is None or flight.over.done():
                continue
            if flight.answered:
                self._let_linger(flight, now)
            elif (flight.leave is not None and now >= flight.leave) or self._never_ends(flight, now):
                flight.leave, flight.answered = None, now
                if flight.on_leave is not None:
                    flight.on_leave()
            elif now - flight.began > self._patience:
                self._give_up(flight)

    def _never_ends(self, flight: Flight, now: float) -> bool:
        """Say whether to leave an answer that goes on and on: ever sooner where that is the rule."""
        if not flight.streams:
            return False
        patience = self._endings.get(flight.name, min(UNENDING, self._patience / 2))
        if now - flight.began < patience:
            return False
        self._endings[flight.name] = max(patience / 2, STREAM)
        return True

    def _let_linger(self, flight: Flight, now: float) -> None:
        """Go on without a handler that does not end: less and less patient with a request that always does so."""
        patience = self._lingers.get(flight.name, LINGER)
        if now - flight.answered >= patience:
            self._lingers[flight.name] = patience / 2
            flight.end()

    def _give_up(self, flight: Flight) -> None:
        flight.over.set_exception(HangError(flight.name, self._patience, self._where(flight)))

    def _where(self, flight: Flight) -> object:
        """Return where a flight's handler waits."""
        return where_task(flight.task) if flight.task is not None else None


def _drop_cancelled(loop: typing.Any) -> None:
    """Do what ``BaseEventLoop._run_once`` does with cancelled timers now and then; nothing to a loop of another kind."""
    timers = getattr(loop, "_scheduled", None)
    if type(timers) is not list or not hasattr(loop, "_timer_cancelled_count"):
        return
    for timer in timers:
        if timer._cancelled:
            timer._scheduled = False
    timers[:] = [timer for timer in timers if not timer._cancelled]
    heapq.heapify(timers)
    loop._timer_cancelled_count = 0
