"""Looking at what leaks: forked looks between a few more runs, then one deep look at the suspects."""

from __future__ import annotations

import atexit
import sys
import time
import types
import typing
from collections.abc import Iterable, Sequence

from leakguard.detection.attribution import accounts_for
from leakguard.detection.suspicion import Suspicion
from leakguard.observer import Burst, Observer, Question, explain
from leakguard.observer.containers import lengths_of
from leakguard.probes.limits import find_limit
from leakguard.probes.process import ProcessProbe
from leakguard.records import Census, Explanation, Kind
from leakguard.testing import outside, quiet
from leakguard.testing.places import classes, holders, places
from leakguard.testing.suspects import Looks
from leakguard.testing.tempfiles import FILES

if typing.TYPE_CHECKING:
    from leakguard.testing.caller import Caller
    from leakguard.testing.measuring import Measurement

Related = tuple[Suspicion, Explanation | None]

RUNS = 2
"""Runs of calls between the looks; a container must grow in each."""

# The name under which the callable stands among the modules while one looks: what lives only in its closure, or in frames of
# the test, would else have no root, and look like a reference lost in C.
_ROOT = "assert_no_leaks"

_DEADLINE = 30.0
_FEWEST_SECONDS = 0.5
_FRAMES = 8


class Looker:
    """Takes the looks, each in a forked copy; tracemalloc runs for one run of calls before the deep look, and no longer.

    ``why`` says what stood in the way of the first look that failed, ``None`` when none did.
    """

    def __init__(self, caller: Caller, until: float | None = None) -> None:
        self._caller = caller
        self._until = until
        self._process = ProcessProbe()
        self._burst = Burst()
        self._calls = 0
        self._seconds = 0.0
        self._traced = 0
        self._registered = 0
        self.why: str | None = None
        root = types.ModuleType(_ROOT)
        vars(root)["callable"] = caller.function
        sys.modules[_ROOT] = root
        self._observer = Observer(
            deadline=_DEADLINE,
            available=lambda: find_limit().available,
            rss=self._process.rss,
            own=lambda: [self, caller, self._burst, self._process, FILES],
        )

    @property
    def each(self) -> float:
        """Seconds that one call takes, untraced."""
        return self._seconds / self._calls if self._calls else 0.0

    @property
    def _patience(self) -> float:
        """Seconds to wait for a look."""
        left = _DEADLINE if self._until is None else self._until - time.monotonic()
        return max(_FEWEST_SECONDS, min(_DEADLINE, left))

    @property
    def caller(self) -> Caller:
        """Who makes the calls."""
        return self._caller

    async def look(self, calls: int) -> Looks:
        """Make two more runs of ``calls`` calls and return what the looks around them saw."""
        censuses = [self._census(())]
        for _ in range(RUNS):
            await self._run(calls)
            seen = censuses[-1]
            censuses.append(self._census([c.key for c in seen.containers] if seen else ()))
        return Looks(tuple(c for c in censuses if c is not None), places(), classes(), holders())

    async def explain(self, suspicions: Sequence[Suspicion], calls: int) -> tuple[Explanation | None, ...]:
        """Make one more run of ``calls`` calls under tracemalloc and return what a deep look finds out about each suspicion.

        Not earlier: what is traced makes the looks between the runs several times slower.
        """
        explain.prepare()  # what the deep look imports must not be allocated during the burst
        try:
            if self._burst.start(_FRAMES):
                await self._run(calls)
                self._traced = calls
            else:
                self._note(self._burst.why)
            questions = {i: q for i, s in enumerate(suspicions) if (q := self._question(s)) is not None}
            started = self._observer.start_explain(list(questions.values()))
            answer = self._observer.wait(self._patience) if started else None
            self._note(self._observer.why)
            told = dict(zip(questions, answer, strict=True)) if isinstance(answer, tuple) else {}
            return tuple(
                each if each is not None and accounts_for(each, suspicion, suspicion.per_request * calls) else None
                for suspicion, each in ((s, told.get(i)) for i, s in enumerate(suspicions))
            )
        finally:
            self._burst.stop()

    def close(self) -> None:
        """End what may still run, and give everything back."""
        sys.modules.pop(_ROOT, None)
        self._burst.stop()
        self._observer.close()
        self._process.close()

    def lengths(self, keys: Sequence[int]) -> dict[int, int]:
        """Return the lengths of some containers by identity; those that are gone or nearly empty are left out."""
        found = lengths_of(keys)
        if len(found) < len(
            keys
        ):  # what holds nothing but texts and numbers is not tracked: only a look knows the way to it
            seen = self._census(keys)
            found |= {container.key: container.length for container in seen.containers} if seen else {}
        return found

    async def deepen(self, related: Sequence[Related], measurement: Measurement, left: float) -> list[Related]:
        """Return what leaks with what can be found out about memory that C code keeps. Makes a few more calls for it."""
        per_call = self._registered / self._calls if self._calls else 0.0
        related = [outside.at_exit(each, per_call) for each in related]
        return [await outside.deepen(each, self._caller, measurement, self.each, left) for each in related]

    async def _run(self, calls: int) -> None:
        began, registered = time.monotonic(), atexit._ncallbacks()
        await self._caller.repeat(calls)
        quiet.settle()
        if not self._burst.active:
            self._seconds += time.monotonic() - began
            self._calls += calls
            self._registered += atexit._ncallbacks() - registered

    def _census(self, tracked: Iterable[int]) -> Census | None:
        started = self._observer.start_census(self._calls, list(tracked))
        answer = self._observer.wait(self._patience) if started else None
        self._note(self._observer.why)
        return answer if isinstance(answer, Census) else None

    def _note(self, why: str | None) -> None:
        self.why = self.why or why  # the first reason: after a failure the observer only says that it waits

    def _question(self, suspicion: Suspicion) -> Question | None:
        if suspicion.kind not in {Kind.LEAK, Kind.NATIVE} or suspicion.key == "resident":
            return None  # counted, and their places are known; or memory that no allocator of Python's gave
        if isinstance(suspicion.key, int):
            return Question(kind="container", key=suspicion.key, name=suspicion.name, requests=self._traced)
        if suspicion.kind is Kind.LEAK and suspicion.key != "blocks":
            return Question(kind="type", name=suspicion.name, requests=self._traced)
        return Question(kind="allocations", requests=self._traced)
