"""Round trips: all requests of the list, once; the callable that is judged."""

from __future__ import annotations

import contextlib
import copy
import itertools
import logging
import time
import typing
from collections.abc import Callable, Iterator, Sequence

from leakguard.check.answers import Answers
from leakguard.check.board import Board
from leakguard.check.clients.base import Client
from leakguard.check.request import Request
from leakguard.errors import OutOfTimeError
from leakguard.probes.failures import cause_of
from leakguard.testing import quiet

# Automatic collection is off while measuring: without one now and then, the cycles of a long run would pile up.
SLICE = 100


class RoundTrips:
    """A ``testing.caller.Caller`` whose calls are round trips: every request of the list once, numbered on.

    Args:
        client: has been started.
        requests: what one round trip is.
        deadline: on the monotonic clock; past it no request is sent.
        board: is written the round trips made in all.
    """

    def __init__(self, client: Client, requests: Sequence[Request], deadline: float, board: Board) -> None:
        self.requests = tuple(requests)
        self.answers = Answers([request.name for request in requests])
        self.made = 0
        self.deadline = deadline
        self.client = client
        self._board = board
        self._chosen = tuple(enumerate(self.requests))
        self._numbers = itertools.count(1)

    @property
    def function(self) -> Callable[[], object]:
        """What stands for the callable under test; the app's own objects hang on its modules."""
        return self._nothing

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the requests of one round trip, in their order."""
        return tuple(request.name for _, request in self._chosen)

    @property
    def each(self) -> tuple[RoundTrips, ...]:
        """Round trips of each request alone, through the same client; numbers and answers go on from here."""
        return tuple(self.alone(index) for index in range(len(self._chosen)))

    def alone(self, index: int) -> RoundTrips:
        """Return round trips of one request alone."""
        return self.only((index,))

    def only(self, indexes: Sequence[int]) -> RoundTrips:
        """Return round trips of some of the requests."""
        trips = copy.copy(self)
        trips.made = 0
        trips._chosen = tuple(self._chosen[index] for index in indexes)
        return trips

    async def repeat(self, calls: int) -> None:
        """Make so many round trips, collecting garbage every hundred.

        Raises:
            OutOfTimeError: the deadline has passed.
            NotMeasuredError: the app hangs.
        """
        for begun in range(0, calls, SLICE):
            trips = min(SLICE, calls - begun)
            await self.client.send(self._work(trips), self.answers)
            if time.monotonic() > self.deadline:
                raise OutOfTimeError("the deadline came before a judgement; give it more time: --deadline")
            await self.client.settle()
            quiet.collect_young()
            self._board.count(trips)

    async def pause(self, seconds: float) -> None:
        """Give whatever runs late the time to end."""
        await self.client.pause(seconds)

    def _work(self, trips: int) -> Iterator[tuple[int, Request, int]]:
        for _ in range(trips):
            if time.monotonic() > self.deadline:
                return
            for index, request in self._chosen:
                yield index, request, next(self._numbers)
            self.made += 1

    def _nothing(self) -> None:
        """Stand for the callable."""


class Causes(logging.Handler):
    """Catches what frameworks log when they answer 500 by themselves: the type and place of the last exception."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record."""
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if error is not None:
            cause = cause_of(error)
            self.last = f"{cause.type} at {cause.site} in {cause.site.function}" if cause.site else cause.type


@contextlib.contextmanager
def listening() -> typing.Iterator[Causes]:
    """Listen to the log while the block runs."""
    root, causes = logging.getLogger(), Causes()
    root.addHandler(causes)
    try:
        yield causes
    finally:
        root.removeHandler(causes)
