"""Requests: what the hot path writes down, and what the guard's thread makes of it.

One request costs two small objects. A ``Passage`` is the record of its way through the app; it is in ``in_flight`` while the
request lasts and in a bounded queue after. A ``Sentinel`` lies in the ASGI scope or the WSGI environ, and in the passage until
the fold: when somebody else has it still, somebody keeps the request (the end-of-life oracle of LeakCanary, for requests).

The hot path only appends; ``RequestTable.fold``, called by the guard's thread a few times a second, names routes, fills the
latency sketches and follows the sentinels that are still alive. Everything kept is bounded: ``QUEUE`` unfolded passages,
``MAX_ROUTES`` routes, ``MAX_SURVIVORS`` weak references (beyond it a growing share is sampled and the weight says so).
"""

from __future__ import annotations

import contextvars
import functools
import sys
import threading
import time
import typing
import weakref
from collections import Counter, deque
from collections.abc import Callable, MutableMapping

from leakguard.probes import latency
from leakguard.probes.routes import MAX_LENGTH, MAX_ROUTES, NO_CLUE, Clue, RouteNames
from leakguard.records import RouteCount, Sketch

if typing.TYPE_CHECKING:
    import asyncio

    from leakguard.probes.failures import Cause
    from leakguard.probes.solo import SoloProbe

KEY = "leakguard"
"""The key of the sentinel in an ASGI scope or a WSGI environ; also the mark that a request is already counted."""

UNCOUNTED = "(leakguard)"
"""The route of a passage that is in no figure: that of leakguard's own page, which says so while it answers."""

FOLD_AT = 128  # so many ended requests are folded by the request path itself: 0.1 ms, and at most 50 KiB wait for it
SETTLE_AT = 64  # so many times of one route wait for their buckets
QUEUE = 8192  # unfolded passages at the most; only a fold that never gets its turn could reach it
_OURS = (
    2  # references to a sentinel that nobody keeps, as ``sys.getrefcount`` counts: the passage's, and its own argument
)
MAX_SURVIVORS = 20_000  # at about 200 bytes each: 4 MB at the most


class Sentinel:
    """The weakly referenced mark of one request's end of life. Empty: what it would hold, a leak would hold too."""

    __slots__ = ("__weakref__",)


class Passage:
    """One request on its way through the app; ``enter`` makes it, the hot path fills it, the fold reads it.

    ``scope`` is the ASGI scope or WSGI environ while the request is in flight and ``None`` after it, so that a context that
    outlives the request does not keep the request. ``sentinel`` is forgotten by the fold. Times are of ``time.perf_counter``.
    """

    __slots__ = (
        "abandoned",
        "answered",
        "began",
        "cause",
        "clue",
        "ended",
        "endpoint",
        "params",
        "route",
        "scope",
        "sentinel",
        "status",
        "task",
        "thread",
    )

    scope: typing.Any
    sentinel: Sentinel | None
    began: float
    answered: float
    ended: float
    status: int
    abandoned: int
    thread: int
    cause: Cause | None
    task: asyncio.Task[object] | None
    clue: Clue
    params: object  # of the path, where they are needed to name the route
    endpoint: object
    route: str | None


def enter(scope: MutableMapping[str, typing.Any]) -> Passage:
    """Return the passage of a request that begins now, its sentinel laid into ``scope``.

    A function and no ``__init__``: calling the class would cost half as much again.
    """
    passage = Passage()
    passage.scope = scope
    passage.began = time.perf_counter()
    passage.answered = passage.ended = 0.0
    passage.status = passage.abandoned = passage.thread = 0
    passage.cause = passage.task = passage.params = passage.endpoint = passage.route = None
    passage.clue = NO_CLUE
    scope[KEY] = passage.sentinel = Sentinel()
    return passage


current: contextvars.ContextVar[Passage | None] = contextvars.ContextVar("leakguard_passage", default=None)
"""The passage in whose context code runs: tasks started by a request inherit it, which joins them to their route."""


class Survivor(typing.NamedTuple):
    """A sentinel that was alive when its request had ended."""

    ref: weakref.ref[Sentinel]
    route: str
    cause: Cause | None
    ended: float


class _Tally:
    """One route's counts since the last window was closed. Times wait for their buckets, which are cheaper by the dozen."""

    __slots__ = ("_buckets", "_longest", "errors", "route", "times")

    def __init__(self, route: str) -> None:
        self.route = route
        self.errors = 0
        self.times: list[float] = []  # milliseconds; ``SETTLE_AT`` at the most
        self._buckets: dict[int, int] = {}
        self._longest = 0.0

    def settle(self) -> None:
        """Put the times that wait into their buckets."""
        self._longest = max(self._longest, latency.add(self._buckets, self.times))
        self.times.clear()

    def close(self) -> tuple[int, Sketch]:
        """Return how many requests there were, and their sketch."""
        if self.times:
            self.settle()
        return sum(self._buckets.values()), Sketch(self._buckets, self._longest)


class RequestTable:
    """Counts the requests of one process by route and follows those that outlive their response."""

    def __init__(self, on_cause: Callable[[Cause, str], str] | None = None) -> None:
        self.in_flight: set[Passage] = set()
        self.ended: deque[Passage] = deque(maxlen=QUEUE)
        self.total = 0
        self.websockets = 0
        self.begin: Callable[[Passage], None] = self.in_flight.add
        """Put a request in flight. Called once per request; nothing but the set's own method while no solo probe is armed."""
        self.names = RouteNames()
        self._on_cause = on_cause
        self._fingerprints: dict[tuple[Cause, str], str] = {}
        self._tallies: dict[str, _Tally] = {}
        self._known: dict[Clue, _Tally] = {}  # the same by what names the route: ``MAX_ROUTES`` at the most
        self._survivors: deque[Survivor] = deque()
        self._weight = 1
        self._skipped = 0
        self._debt: Counter[str] = Counter()
        self._before_full: tuple[Survivor, ...] = ()
        self._folding = threading.Lock()

    def arm(self, solo: SoloProbe | None) -> None:
        """Have every request that begins sampled, or with ``None`` none any more."""
        self.begin = self.in_flight.add if solo is None else functools.partial(self._begin_sampled, solo)

    def _begin_sampled(self, solo: SoloProbe, passage: Passage) -> None:
        solo.begin(passage, len(self.in_flight))
        self.in_flight.add(passage)

    def handled(self) -> int:
        """Return how many requests have ended so far, those that wait for the fold included."""
        return self.total + len(self.ended)

    def counted_in_flight(self) -> int:
        """Return how many requests are in flight, those of leakguard's own page left out."""
        return sum(passage.route is not UNCOUNTED for passage in tuple(self.in_flight))

    def finish(self, passage: Passage) -> None:
        """Take a request off the in-flight set and queue it for the fold. Called once per request; about 300 ns."""
        self.in_flight.discard(passage)
        passage.ended = time.perf_counter()
        passage.scope = passage.task = None
        ended = self.ended
        ended.append(passage)
        if len(ended) >= FOLD_AT:
            try:
                self.fold(sweep=False)
            except Exception:
                pass  # nothing of ours reaches the host; the guard's thread folds as well, and its fence says what is wrong

    def fold(self, *, sweep: bool = True) -> None:
        """Turn the queued passages into counts and survivors; returns at once when another thread is at it.

        Args:
            sweep: also drop the survivors that have died since; some milliseconds when thousands are kept, and therefore
                not on the request path.
        """
        if not self._folding.acquire(blocking=False):
            return
        try:
            self._fold_queue()
            if sweep:
                self._drop_dead()
        except IndexError:
            pass  # another thread took the last one between the length and the pop
        finally:
            self._folding.release()

    def _fold_queue(self) -> None:
        """Take every passage from the queue. A third of what a request costs is spent in here: nothing is called needlessly."""
        pop, known = self.ended.popleft, self._known.get
        for _ in range(len(self.ended)):
            passage = pop()
            if passage.route is UNCOUNTED:
                continue
            tally = known(passage.clue) or self._tally_of(passage)
            self.total += 1
            passage.route = tally.route
            passage.endpoint = passage.params = None
            times = tally.times
            times.append(((passage.answered or passage.ended) - passage.began) * 1000)
            if len(times) >= SETTLE_AT:
                tally.settle()
            cause = passage.cause
            if cause is not None or passage.status >= 500:
                tally.errors += 1
                if cause is not None:
                    self._note_cause(cause, tally.route)
            if sys.getrefcount(passage.sentinel) > _OURS:
                self._follow(passage)
            # A task that outlives the request has its passage, and must not seem to keep the request.
            passage.sentinel = None

    def _tally_of(self, passage: Passage) -> _Tally:
        route = self.names.of_passage(passage)
        tally = self._tallies.get(route)
        if tally is None:
            tally = self._tallies[route] = _Tally(route)
        _, root, _, path = passage.clue
        if len(self._known) < MAX_ROUTES and len(root) + len(path) <= MAX_LENGTH:
            self._known[passage.clue] = tally
        return tally

    def _note_cause(self, cause: Cause, route: str) -> None:
        if self._on_cause is None:
            return
        if len(self._fingerprints) >= MAX_ROUTES:
            self._fingerprints.clear()
        self._fingerprints[cause, route] = self._on_cause(cause, route)

    def _follow(self, passage: Passage) -> None:
        """Keep an eye on a request that has ended and is alive."""
        self._skipped += 1
        if self._skipped < self._weight or passage.sentinel is None or passage.route is None:
            return
        self._skipped = 0
        survivor = Survivor(weakref.ref(passage.sentinel), passage.route, passage.cause, passage.ended)
        self._survivors.append(survivor)
        if len(self._survivors) > MAX_SURVIVORS:
            # Keep every other one and count each for two: the rate stays right and the memory bounded.
            self._survivors = deque(list(self._survivors)[::2])
            self._weight *= 2

    def _drop_dead(self) -> None:
        self._survivors = deque(survivor for survivor in self._survivors if survivor.ref() is not None)

    # The two below run inside the collector's callbacks, in any thread, between any two bytecodes: they take no lock and
    # change nothing but their own attribute.

    def before_full_collection(self) -> None:
        """Remember which survivors were alive when a full collection began."""
        self._before_full = tuple(s for s in tuple(self._survivors) if s.ref() is not None)

    def after_full_collection(self) -> None:
        """Count the survivors that only the cyclic collector could free: GC debt."""
        for survivor in self._before_full:
            if survivor.ref() is None:
                self._debt[survivor.route] += self._weight
        self._before_full = ()

    def retained(self, ended_before: float) -> list[Survivor]:
        """Return the survivors whose request ended before a moment of ``time.perf_counter``: each counts ``weight``."""
        return [s for s in tuple(self._survivors) if s.ended < ended_before and s.ref() is not None]

    @property
    def weight(self) -> int:
        """How many requests one survivor stands for; 1 until more than ``MAX_SURVIVORS`` were retained."""
        return self._weight

    def take(self, retained_before: float) -> tuple[RouteCount, ...]:
        """Close a window: return the counts per route since the last call, and reset them.

        Args:
            retained_before: requests that ended before this moment of ``time.perf_counter`` and whose sentinel is alive
                are retained; later ones are too young to tell.
        """
        self.fold()
        with self._folding:
            tallies, self._tallies, self._known = self._tallies, {}, {}
            debt, self._debt = self._debt, Counter()
        alive: Counter[str] = Counter()
        by_failure: dict[str, Counter[str]] = {}
        for survivor in self.retained(retained_before):
            alive[survivor.route] += self._weight
            fingerprint = self._fingerprints.get((survivor.cause, survivor.route)) if survivor.cause else None
            if fingerprint is not None:
                by_failure.setdefault(survivor.route, Counter())[fingerprint] += self._weight
        counts = []
        for route in sorted({*tallies, *alive, *debt}):
            tally = tallies.get(route) or _Tally(route)
            count, sketch = tally.close()
            counts.append(
                RouteCount(
                    route=route,
                    count=count,
                    errors=tally.errors,
                    sketch=sketch,
                    retained=alive[route],
                    gc_debt=debt[route],
                    retained_by_failure=dict(by_failure.get(route, {})),
                )
            )
        return tuple(counts)
