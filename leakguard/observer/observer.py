"""The observer: one look at a time, from the guard's thread, never in the way of the host."""

from __future__ import annotations

import os
import time
import typing
from collections.abc import Callable, Collection, Sequence

from leakguard.observer import census, forked
from leakguard.observer.containers import Lengths
from leakguard.observer.question import Question
from leakguard.records import Census, Explanation

if typing.TYPE_CHECKING:
    from leakguard.observer.sliced import SlicedCensus

Result = Census | tuple[Explanation | None, ...]

# After a failed look the next one waits, twice as long each time: a hang may be chance, several in a row are not.
_BACK_OFF = 2.0
_LONGEST_BACK_OFF = 3600.0
# The copy's writes to reference counts copy pages of the host: 56 % of its memory measured under an idle host, 90 %
# under one that writes hard. So all of it must be free, and a little for the look's own lists.
_HEADROOM = 1.0
_HEADROOM_OWN = 32 << 20
# The deep look must answer before it is killed: it plans with this share of the deadline.
_PLANNED = 0.7
# A copy is last in the queue for a processor and counts its own processor time: where the host's workers take all of every
# core, it gets a hundredth of one. So it has this much longer by the clock, and what it holds of memory it holds for as long.
_STARVED = 10


def prepare() -> None:
    """Import what the deep look will need, before the copy is made, which must import nothing.

    Not with the worker: most never need it, and objgraph, pympler and our own part of it take some MiB.
    """
    from leakguard.observer import explain

    explain.prepare()


def _nothing() -> Collection[object]:
    return ()


class Observer:
    """Takes censuses and explains suspects in a forked copy of the process; without headroom or fork, a sliced census.

    One look at a time; to be used from one thread that lives on, for a copy dies with the thread that made it. No method
    raises because of the host or the platform: ``start_…`` returns ``False`` and ``why`` says why.

    Args:
        deadline: seconds of processor time for one look; a copy that has not answered after ten times as many is killed.
        available: bytes that could be taken before a memory limit bites; ``None`` when unknown, then nothing is forked.
        rss: the process's memory in bytes.
        own: leakguard's own objects, which no census counts.

    Keeps 2.4 MB at most: the lengths of up to 200 000 containers.
    """

    def __init__(
        self,
        *,
        deadline: float = 30.0,
        available: Callable[[], int | None],
        rss: Callable[[], int],
        own: Callable[[], Collection[object]] = _nothing,
    ) -> None:
        self.why: str | None = None
        self.failed = 0
        self.looks = 0
        self.stalls = 0.0
        self._deadline = deadline
        self._available = available
        self._rss = rss
        self._own = own
        self._before = Lengths()
        self._process = os.getpid()
        self._copy: forked.Copy | None = None
        self._slices: SlicedCensus | None = None
        self._asked = 0  # questions in the look that is under way; 0 for a census
        self._begun = 0.0
        self._not_before = 0.0
        self._failures_in_a_row = 0

    @property
    def busy(self) -> bool:
        """Whether a look is under way."""
        return self._copy is not None or self._slices is not None

    def start_census(self, requests: int, tracked: Collection[int] = ()) -> bool:
        """Begin a census; ``requests`` were handled so far, ``tracked`` are identities of containers to report in any case."""
        commission = census.Commission(requests, self._before, tuple(tracked), self._mine)
        if self._may_fork():
            return self._fork(lambda: census.take(commission), questions=0)
        if self.busy or time.monotonic() < self._not_before:
            return False
        from leakguard.observer.sliced import SlicedCensus  # only where nothing can be forked

        self._slices = SlicedCensus(commission)
        self._begin(questions=0)
        return True

    def start_explain(self, questions: Sequence[Question]) -> bool:
        """Begin a deep look at suspects. There is no way to do it without a copy: then ``False``, and ``why`` says so."""
        asked = tuple(questions)
        if not asked or not self._may_fork():
            return False
        prepare()
        from leakguard.observer import explain

        seconds = self._deadline * _PLANNED
        return self._fork(lambda: explain.answer(asked, self._mine, seconds), questions=len(asked))

    def poll(self) -> Result | None:
        """Return the result of the look if it is there; ``None`` while it is under way, or when it failed."""
        if self._process != os.getpid():
            self._forget()
        if self._slices is not None:
            return self._poll_slices(self._slices)
        if self._copy is None:
            return None
        answer = self._copy.poll()
        if answer is None:
            return None
        stall, self._copy = self._copy.stall, None
        if answer.why is not None:
            self._fail(answer.why)
            return None
        try:
            if self._asked:
                from leakguard.observer import explain

                result: Result = explain.read(answer.sections)
            else:
                took = time.monotonic() - self._begun
                result, self._before = census.read(answer.sections, stall=stall, took=took)
        except (ValueError, TypeError, KeyError) as error:
            self._fail(f"the forked look's answer makes no sense: {type(error).__name__}")
            return None
        self._failures_in_a_row = 0
        return result

    def wait(self, timeout: float) -> Result | None:
        """Return the result of the look that is under way, waiting at most ``timeout`` seconds. For tests and tools."""
        until = time.monotonic() + timeout
        while self.busy and time.monotonic() < until:
            result = self.poll()
            if result is not None:
                return result
            time.sleep(0.005)
        return None

    def close(self) -> None:
        """Kill the copy if there is one, and forget the look."""
        if self._copy is not None and self._process == os.getpid():
            self._copy.kill()
        self._copy = self._slices = None

    def _mine(self) -> Collection[object]:
        return (*self._own(), self)

    def _may_fork(self) -> bool:
        self.why = None
        if self._process != os.getpid():
            self._forget()
        if self.busy:
            self.why = "a look is under way"
        elif time.monotonic() < self._not_before:
            self.why = f"waiting after {self._failures_in_a_row} failed looks"
        else:
            self.why = forked.impossible() or self._cramped()
        return self.why is None

    def _cramped(self) -> str | None:
        available, rss = self._available(), self._rss()
        if available is None:
            return "no forked look: the memory still available is not known"
        needed = int(rss * _HEADROOM) + _HEADROOM_OWN
        if available < needed:
            return f"no forked look: it may need {needed >> 20} MiB and {available >> 20} MiB are left"
        return None

    def _fork(self, work: forked.Work, *, questions: int) -> bool:
        try:
            self._copy = forked.Copy.begin(work, self._deadline * _STARVED, self._rss())
        except OSError as error:
            self._fail(f"no forked look: {error.strerror}")
            return False
        self.stalls = max(self.stalls, self._copy.stall)
        self._begin(questions)
        return True

    def _begin(self, questions: int) -> None:
        self._asked, self._begun = questions, time.monotonic()
        self.looks += 1

    def _poll_slices(self, slices: SlicedCensus) -> Result | None:
        taken = slices.poll()
        if taken is None:
            return None
        self._slices = None
        result, self._before = taken
        self.stalls = max(self.stalls, result.stall)
        return result

    def _fail(self, why: str) -> None:
        self.why = why
        self.failed += 1
        self._failures_in_a_row += 1
        pause = min(_BACK_OFF * 2 ** (self._failures_in_a_row - 1), _LONGEST_BACK_OFF)
        self._not_before = time.monotonic() + pause

    def _forget(self) -> None:
        """Start anew after the host itself forked: the look under way is the parent's, and so are the identities."""
        self._process = os.getpid()
        if self._copy is not None:
            self._copy.abandon()
        self._copy = self._slices = None
        self._before = Lengths()
