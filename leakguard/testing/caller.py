"""Calling the callable under test many times: plainly, or awaited on the running loop of asyncio or trio."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import sys
import time
import typing
from collections.abc import Awaitable, Callable, Coroutine

from leakguard.errors import NotMeasuredError
from leakguard.testing import quiet

# Automatic collection is off while measuring: without one now and then, the cycles of a long run would pile up.
_SLICE = 100

Result = typing.TypeVar("Result")
Sleep = Callable[[float], Awaitable[object]]


class Caller(typing.Protocol):
    """Calls the callable under test, however that is done."""

    @property
    def function(self) -> Callable[[], object]:
        """The callable under test."""

    async def repeat(self, calls: int) -> None:
        """Make so many calls, collecting garbage every hundred."""

    async def pause(self, seconds: float) -> None:
        """Give whatever runs late the time to end."""


class PlainCaller:
    """Calls a function. Its coroutines never suspend, so ``finish`` can drive them without a loop."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function

    async def repeat(self, calls: int) -> None:
        """Make so many calls, collecting garbage every hundred."""
        function = self.function
        for begun in range(0, calls, _SLICE):
            for _ in itertools.repeat(None, min(_SLICE, calls - begun)):
                function()
            quiet.collect_young()

    async def pause(self, seconds: float) -> None:
        """Sleep, so that threads can end."""
        time.sleep(seconds)


class AwaitingCaller:
    """Calls a function and awaits what it returns, on the loop that runs it."""

    def __init__(self, function: Callable[[], Awaitable[object]], sleep: Sleep = asyncio.sleep) -> None:
        self.function = function
        self._sleep = sleep

    async def repeat(self, calls: int) -> None:
        """Make so many calls, collecting garbage every hundred, then let callbacks that are due run."""
        function = self.function
        for begun in range(0, calls, _SLICE):
            for _ in itertools.repeat(None, min(_SLICE, calls - begun)):
                await function()
            quiet.collect_young()
        for _ in range(3):  # a finished task's callbacks run in the loop's next turn, and may schedule more
            await self._sleep(0)

    async def pause(self, seconds: float) -> None:
        """Let the loop run, so that tasks and transports can end."""
        await self._sleep(seconds)


def drive(function: Callable[[], object], check: Callable[[Caller], Coroutine[object, None, Result]]) -> Result:
    """Call ``function`` once, find out how it wants to be called, and run ``check`` with the fitting caller to its end.

    Whatever returns an awaitable (a coroutine function, a lambda around one) is awaited, every call on one and the same loop.

    Raises:
        NotMeasuredError: for a generator function, whose calls would run nothing of its body, and for an awaitable while a
            loop already runs in this thread.
    """
    first = function()
    _refuse_generator(first)
    if not inspect.isawaitable(first):
        del first
        return finish(check(PlainCaller(function)))
    if running_sleep() is not None:
        if inspect.iscoroutine(first):
            first.close()
        raise NotMeasuredError(
            "an awaitable cannot be driven by assert_no_leaks while an event loop runs in this thread; in an async def test: "
            "await leakguard.assert_no_leaks_async(...)"
        )

    async def awaited(first: Awaitable[object]) -> Result:
        await first
        del first
        return await check(AwaitingCaller(typing.cast("Callable[[], Awaitable[object]]", function)))

    # A loop factory, even the usual one, keeps the runner from replacing the thread's current loop.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(awaited(first))


async def drive_here(
    function: Callable[[], object], check: Callable[[Caller], Coroutine[object, None, Result]]
) -> Result:
    """Do as ``drive`` does, inside the loop of asyncio or trio that runs already, and await each call on it.

    Raises:
        NotMeasuredError: for a generator function.
    """
    first = function()
    _refuse_generator(first)
    if not inspect.isawaitable(first):
        del first
        return await check(PlainCaller(function))
    await first
    del first
    sleep = running_sleep() or asyncio.sleep
    return await check(AwaitingCaller(typing.cast("Callable[[], Awaitable[object]]", function), sleep))


def running_sleep() -> Sleep | None:
    """Return how one sleeps on the loop that runs in this thread, asyncio's or trio's; ``None`` when none runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        return asyncio.sleep
    trio = sys.modules.get("trio")
    if trio is None:
        return None
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return None
    return typing.cast("Sleep", trio.sleep)


def finish(work: Coroutine[object, None, Result]) -> Result:
    """Run a coroutine that never suspends to its end."""
    try:
        work.send(None)
    except StopIteration as stop:
        return typing.cast("Result", stop.value)
    raise AssertionError("a plain caller never suspends")


def _refuse_generator(first: object) -> None:
    if inspect.isgenerator(first) or inspect.isasyncgen(first):
        raise NotMeasuredError(
            "the callable returned a generator, so nothing of its body ran; pass one that exhausts it: lambda: list(f())"
        )
