"""A worker's memory against its marks, with pages that it shares with its siblings counted once.

RSS counts a page in every process that maps it. Under a server that loads the app before it forks (``--preload``, uWSGI)
most of a worker's RSS may be its parent's, and N workers would count it N times. So near the ceiling, and where there are
several workers, the shared part is divided among them; what is private (USS) counts in full. Reading USS walks the page
tables, 10 to 20 ms in a process of 400 MB, so it is done only there and kept for some seconds. Always current memory: the
peak (``ru_maxrss``) never falls and would recycle a worker for its past.
"""

from __future__ import annotations

import time
import typing
from collections.abc import Callable

from leakguard.config import Config
from leakguard.probes.limits import Limit

SHARED_FOR = 5.0  # seconds that a reading of the shared part is used: pages become private as they are written to


class Marks(typing.NamedTuple):
    """The ceilings in bytes."""

    soft: int
    hard: int


class Gauge:
    """Reads this worker's memory and counts the latest readings in a row at or over its marks.

    Args:
        config: ``ceiling`` and ``hard_ceiling``.
        rss: reads this process's memory in bytes.
        uss: reads what only this process has, in bytes; ``None`` where the kernel does not tell.
        limit: finds the limit that the kernel enforces.

    Attributes:
        marks: as last worked out; ``None`` without a ceiling, or as a share of an unknown limit.
        baseline: what this worker took when it began to serve; ``None`` before.
        shared: bytes that were left out of the latest reading because siblings share them.
        above: how many readings in a row were at or over the soft mark; ``above_hard`` over the hard one.
    """

    def __init__(
        self,
        config: Config,
        rss: Callable[[], int],
        uss: Callable[[], int | None],
        limit: Callable[[], Limit],
    ) -> None:
        self.marks: Marks | None = None
        self.baseline: int | None = None
        self.shared = 0
        self.above = 0
        self.above_hard = 0
        self._config = config
        self._rss = rss
        self._uss = uss
        self._limit = limit
        self._workers = 1
        self._shared_read: float | None = None

    def begin(self, workers: int | None) -> None:
        """Take the baseline of one of so many ``workers``; it serves from now on."""
        self._workers = workers or 1
        self.baseline = self._rss() - self._left_out()
        self._shared_read = None

    def work_out(self, workers: int | None) -> Marks | None:
        """Work the marks out anew: a share is of the kernel's limit, divided among the workers."""
        self.marks = None
        if self._config.ceiling is not None:
            size = self._limit().size
            share = None if size is None else size // max(1, workers or 1)
            soft = self._config.ceiling.of(share)
            if soft is not None:
                # A size and a share of the limit can contradict each other only here, where the limit is known.
                self.marks = Marks(soft, max(self._config.hard_mark(share) or soft, soft))
        return self.marks

    def read(self) -> int:
        """Return the bytes that this worker answers for now, without counting the reading."""
        rss = self._rss()
        near = self.marks is not None and rss >= self.marks.soft
        self.shared = self._left_out() if near else 0
        return rss - self.shared

    def watch(self, marks: Marks) -> int:
        """Read, and count the readings in a row over the ``marks``."""
        size = self.read()
        self.above = self.above + 1 if size >= marks.soft else 0
        self.above_hard = self.above_hard + 1 if size >= marks.hard else 0
        return size

    def start_over(self) -> None:
        """Forget the readings: what comes next must be over the marks anew."""
        self.above = self.above_hard = 0
        self._shared_read = None

    def _left_out(self) -> int:
        if self._workers <= 1:
            return 0
        now = time.monotonic()
        if self._shared_read is not None and now - self._shared_read < SHARED_FOR:
            return self.shared
        self._shared_read = now
        uss = self._uss()
        return 0 if uss is None else max(0, self._rss() - uss) * (self._workers - 1) // self._workers
