"""One scenario, watched once: what one pass can tell without repeating anything."""

from __future__ import annotations

import time
import typing
import weakref
from collections.abc import Callable
from dataclasses import replace

from leakguard.detection.finding import compose, join
from leakguard.detection.suspicion import Suspicion
from leakguard.errors import ConfigError, LeaksFoundError, NotMeasuredError
from leakguard.observer import Observer, Question, naming
from leakguard.probes.limits import find_limit
from leakguard.probes.process import ProcessProbe
from leakguard.records import Explanation, Finding, Kind, Status
from leakguard.testing import quiet
from leakguard.testing.caller import running_sleep
from leakguard.testing.demand import Demand
from leakguard.testing.freezing import FREEZER
from leakguard.testing.measuring import Measurement
from leakguard.testing.message import ending
from leakguard.testing.scene import Left, Scene
from leakguard.testing.survivors import ENVIRON, SCOPE, Survivors, identities, survivors
from leakguard.testing.tempfiles import FILES

# As goleak does it: what ends late gets 20 tries with a pause that doubles up to 100 ms, 0.9 seconds in all.
_PAUSES = tuple(min(10e-6 * 2**turn, 0.1) for turn in range(20))
_FEWEST_REPEATS = 5
_DEADLINE = 30.0
_MOST_ASKED = 4

Record = Callable[[Demand, tuple[Finding, ...], Measurement, float], None]


class Watching:
    """Watches one block, entered with ``with``, or ``async with`` inside a running event loop.

    When the block ends without an error, whatever began in it and is still there fails the test: threads, asyncio tasks,
    descriptors, child processes, temporary files, requests, and the objects named by ``expect_gone``. What ends late gets
    0.9 seconds. While the block runs the heap is frozen (``gc.freeze``), so ``gc.get_objects`` does not see what is older.
    """

    def __init__(
        self, wanted: Demand, *, repeats: int = 1, spared: tuple[type, ...] = (), record: Record | None = None
    ):
        if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
            raise ConfigError("repeats", "must be a whole number of at least 1", repeats, "repeats=10")
        self._wanted = wanted
        self._repeats = repeats
        self._spared = spared
        self._record = record
        self._expected: list[tuple[weakref.ref[typing.Any], str]] = []
        self._before: Scene | None = None
        self._froze = self._own_freeze = False
        self._began = 0.0

    def expect_gone(self, thing: object) -> None:
        """Say that ``thing`` must be gone when the block ends. It is not kept; let go of it yourself (``del thing``).

        Raises:
            ConfigError: nothing can refer weakly to it, as to an ``int`` or a ``dict``.
        """
        name = naming.name_of(thing)
        try:
            self._expected.append((weakref.ref(thing), name))
        except TypeError:
            raise ConfigError(
                "thing", "must be an object that can be referred to weakly", name, "an instance of a class of yours"
            ) from None

    def __enter__(self) -> Watching:
        """Begin.

        Raises:
            NotMeasuredError: an event loop runs in this thread: what ends late could not end while one waits.
        """
        __tracebackhide__ = True
        if running_sleep() is not None:
            raise NotMeasuredError("inside a running event loop: async with leakguard.watching()")
        self._begin()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """End, and judge unless the block failed by itself.

        Raises:
            LeaksFoundError: something is left.
        """
        __tracebackhide__ = True
        try:
            if kind is None:
                for pause in _PAUSES:
                    if not self._left():
                        break
                    time.sleep(pause)
                self._judge()
        finally:
            self._end()

    async def __aenter__(self) -> Watching:
        """Begin, inside a running loop."""
        self._begin()
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        """End, and judge unless the block failed by itself; the loop runs while what is late ends.

        Raises:
            LeaksFoundError: something is left.
        """
        __tracebackhide__ = True
        try:
            sleep = running_sleep()
            if kind is None and sleep is not None:
                for pause in _PAUSES:
                    if not self._left():
                        break
                    await sleep(pause)
                self._judge()
        finally:
            self._end()

    def _begin(self) -> None:
        self._began = time.perf_counter()
        FILES.__enter__()
        self._own_freeze = not FREEZER.active
        self._froze = FREEZER.begin()
        self._before = Scene.now()

    def _end(self) -> None:
        FILES.__exit__()
        if self._own_freeze and self._froze:
            FREEZER.end()

    def _left(self) -> tuple[Left, ...]:
        if self._before is None:
            return ()
        left = Scene.now().left_since(self._before)
        return tuple(each for each in left if each.kind in self._wanted.kinds)

    def _judge(self) -> None:
        __tracebackhide__ = True
        quiet.collect()
        suspicions = [each.suspicion(self._repeats) for each in self._left()]
        if "memory" in self._wanted.kinds:
            suspicions += self._objects(survivors(self._spared) if self._froze else Survivors())
        forgiveness = self._wanted.forgiveness
        explanations = self._explain(suspicions)
        findings = join(compose(s, e, {}, forgiveness) for s, e in zip(suspicions, explanations, strict=True))
        if self._record is not None:
            nothing = Measurement(self._repeats, self._repeats)
            self._record(self._wanted, findings, nothing, time.perf_counter() - self._began)
        unforgiven = [finding for finding in findings if finding.known is None]
        if unforgiven:
            raise LeaksFoundError(_tell(unforgiven))

    def _objects(self, born: Survivors) -> list[Suspicion]:
        kept = [(name, count, "kept") for name, count in born.requests.items()]
        if len(kept) > 1:  # a request and its scope are one
            kept = [each for each in kept if each[0] not in {SCOPE, ENVIRON}] or kept[:1]
        found = [_kept(name, count, Kind.RETAINED_REQUESTS, "outlived its response") for name, count, _ in kept]
        gone: dict[str, int] = {}
        for reference, name in self._expected:
            gone[name] = gone.get(name, 0) + (reference() is not None)
        found += [_kept(name, count, Kind.LEAK, "should be gone and is not") for name, count in gone.items() if count]
        if self._repeats >= _FEWEST_REPEATS:
            found += [
                _kept(name, count, Kind.LEAK, f"is still there after {self._repeats} repeats", self._repeats)
                for name, count in born.objects.items()
                if count >= self._repeats and name not in gone
            ]
        return found

    def _explain(self, suspicions: list[Suspicion]) -> list[Explanation | None]:
        asked = [index for index, s in enumerate(suspicions) if s.key in {"object", "request"} and "." in s.name]
        explained: list[Explanation | None] = [None] * len(suspicions)
        if not asked:
            return explained
        # By identity: others of the class may be older, and none of the block's business.
        questions = [self._question(suspicions[index].name) for index in asked]
        process = ProcessProbe()
        observer = Observer(
            deadline=_DEADLINE,
            available=lambda: find_limit().available,
            rss=process.rss,
            own=lambda: [self, process],
        )
        try:
            with FREEZER.lifted():  # a frozen holder would not be found
                answer = observer.wait(_DEADLINE) if observer.start_explain(questions) else None
            for index, each in zip(asked, answer if isinstance(answer, tuple) else (), strict=False):
                if each is not None:  # what else the holder holds is not what is told of
                    explained[index] = replace(each, type=None, also_types=(), bytes_each=None, retained_bytes=None)
        finally:
            observer.close()
            process.close()
        return explained

    def _question(self, name: str) -> Question:
        gone = tuple(
            id(reference()) for reference, named in self._expected if named == name and reference() is not None
        )
        return Question(kind="object", name=name, keys=gone[:_MOST_ASKED] or identities(name, _MOST_ASKED))


def _kept(name: str, count: int, kind: Kind, said: str, calls: int = 1) -> Suspicion:
    return Suspicion(
        kind=kind,
        status=Status.CONFIRMED,
        key="request" if kind is Kind.RETAINED_REQUESTS else "object",
        name=name,
        type=name,
        per_request=count / calls,
        count=count,
        reasons=(f"{count} {name} {said}",),
        growth=count,
        requests=calls,
    )


def _tell(findings: list[Finding]) -> str:
    """Return the message: each finding in a sentence, with its chain; then what one pass can and cannot say."""
    parts = []
    for finding in findings:
        lines = [f"{finding.kind}: {finding.reasons[0]}"]
        if finding.holder is not None:
            lines[0] += f", held by {finding.holder}"
        lines += [f"  {'  ' * depth}{'└ ' if depth else ''}{edge}" for depth, edge in enumerate(finding.chain)]
        lines.append(f"  fingerprint {finding.fingerprint}")
        parts.append("\n".join(lines))
    parts.append(
        "one pass tells what began in the block and is still there; what grows, assert_no_leaks tells by repeating"
    )
    parts += ending(findings, "watching(ignore=[{}])")
    return "\n\n".join(parts)
