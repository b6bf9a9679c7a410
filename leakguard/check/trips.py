"""Round trips: all requests of the list, once; the callable that is judged."""

from __future__ import annotations

import contextlib
import logging
import time
import typing
from collections.abc import Callable, Iterator, Sequence

from leakguard.check.answers import Answers
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
        progress: is told after every slice how many round trips were made in all.
    """

    def __init__(
        self,
        client: Client,
        requests: Sequence[Request],
        deadline: float,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.requests = tuple(requests)
        self.answers = Answers([request.name for request in requests])
        self.made = 0
        self.deadline = deadline
        self._client = client
        self._progress = progress
        self._number = 0

    @property
    def function(self) -> Callable[[], object]:
        """What stands for the callable under test; the app's own objects hang on its modules."""
        return self._nothing

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the requests of one round trip, in their order."""
        return self.answers.names

    def alone(self, index: int) -> RoundTrips:
        """Return round trips of request ``index`` alone, through the same client; its numbers go on from here."""
        trips = RoundTrips(self._client, self.requests[index : index + 1], self.deadline, self._progress)
        trips._number = self._number + 1_000_000 * (index + 1)  # never the same twice
        return trips

    async def repeat(self, calls: int) -> None:
        """Make so many round trips, collecting garbage every hundred.

        Raises:
            OutOfTimeError: the deadline has passed.
            NotMeasuredError: the app hangs.
        """
        for begun in range(0, calls, SLICE):
            trips = min(SLICE, calls - begun)
            await self._client.send(self._work(trips), self.answers)
            if time.monotonic() > self.deadline:
                raise OutOfTimeError("the time was over before a judgement")
            quiet.collect()
            if self._progress is not None:
                self._progress(self.made)

    async def pause(self, seconds: float) -> None:
        """Give whatever runs late the time to end."""
        await self._client.pause(seconds)

    def _work(self, trips: int) -> Iterator[tuple[int, Request, int]]:
        for _ in range(trips):
            if time.monotonic() > self.deadline:
                return
            for index, request in enumerate(self.requests):
                self._number += 1
                yield index, request, self._number
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
