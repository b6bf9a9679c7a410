"""Clean callables that the way a test runner or the loop works makes look otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import logging
import logging.handlers
import queue
import threading
import warnings
from collections.abc import Callable

from hold import Maker, Node


def talks() -> Callable[[], object]:
    """Prints and logs, which a test runner keeps for its report."""
    log = logging.getLogger("talks")
    numbers = itertools.count()

    def call() -> None:
        number = next(numbers)
        print("said", number)
        log.warning("logged %d", number)

    return call


def logs_in_a_thread() -> Callable[[], object]:
    """Logs through a queue that a thread empties whenever it gets to run, as Litestar's usual set-up does."""
    log = logging.getLogger("logs_in_a_thread")
    records: queue.Queue[logging.LogRecord] = queue.Queue()
    log.handlers[:] = [logging.handlers.QueueHandler(records)]
    log.propagate = False
    numbers = itertools.count()

    class Listener(logging.handlers.QueueListener):
        def __del__(self) -> None:
            self.stop()

    listener = Listener(records, logging.NullHandler())
    listener.start()

    def call(listener: Listener = listener) -> None:
        log.warning("logged %d", next(numbers))

    return call


def warns() -> Callable[[], object]:
    """Warns, always of the same; a test runner keeps every warning."""
    return lambda: warnings.warn("warned", UserWarning, stacklevel=1)


def async_gather() -> Callable[[], object]:
    async def call() -> None:
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))

    return call


def async_timeout() -> Callable[[], object]:
    async def call() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.sleep(1)

    return call


def async_late_end() -> Callable[[], object]:
    """Leaves a task behind that ends by itself a little later."""

    async def call() -> None:
        asyncio.get_running_loop().create_task(asyncio.sleep(0.2))

    return call


def late_thread() -> Callable[[], object]:
    """Leaves a thread behind that ends by itself; a pool of timers, a logger's flusher."""

    def call() -> None:
        threading.Timer(0.05, lambda: None).start()

    return call


def context_variable() -> Callable[[], object]:
    variable: contextvars.ContextVar[object] = contextvars.ContextVar("variable")

    def call() -> None:
        contextvars.copy_context().run(variable.set, Node())

    return call


CLEAN_BUT: tuple[Maker, ...] = (
    talks,
    logs_in_a_thread,
    async_gather,
    async_timeout,
    async_late_end,
    late_thread,
    context_variable,
)
