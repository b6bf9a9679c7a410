"""Vitals: every probe of one worker together; closes one window after the other."""

from __future__ import annotations

import asyncio
import gc
import time
import typing
from collections.abc import Callable

from leakguard.guard.fence import Fence
from leakguard.probes import tasks
from leakguard.probes.collector import CollectorProbe
from leakguard.probes.failures import NO_ROUTE, Cause, FailureTable
from leakguard.probes.hooks import HookSet
from leakguard.probes.loop import LoopProbe
from leakguard.probes.low import LowWater
from leakguard.probes.process import ProcessProbe
from leakguard.probes.requests import Passage, RequestTable, current
from leakguard.probes.routes import read_asgi, read_wsgi
from leakguard.records import Pauses, Reading, Stuck, Window

if typing.TYPE_CHECKING:
    from leakguard.config import Config

GRACE_INTERVALS = 5  # a request that ended so many windows ago and is still alive is retained, collection or not
# A quiet app handles so many requests in a minute of warm-up: a busy one need not wait for the minute.
WARM_REQUESTS, WARM_REQUESTS_PER_SECOND = 2000, 2000 / 60
USS_EVERY = 12  # windows: USS costs 10 to 26 ms in a big process, RSS two microseconds
MAX_STUCK = 50


class Vitals:
    """The probes of one worker. ``tick`` is cheap and frequent, ``close_window`` runs once per interval."""

    def __init__(self, config: Config, fence: Fence, own_blocks: Callable[[], int] = int) -> None:
        self.config = config
        self.process = ProcessProbe()
        self.collector = CollectorProbe()
        self.failures = FailureTable()
        self.requests = RequestTable(self.failures.record)
        self._fence = fence
        self._blocks = LowWater(own_blocks, self.requests.handled)
        self._hooks = HookSet(self._record_outside)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_probe: LoopProbe | None = None
        self._started = time.time()
        self._opened = self._started
        self._windows = 0

    def start(self) -> None:
        """Install the hooks and the collector's callbacks."""
        self._hooks.install()
        self.collector.install()
        self.collector.before_full.append(self.requests.before_full_collection)
        self.collector.after_full.append(self.requests.after_full_collection)
        self.collector.after_each.append(self._blocks.after_collection)

    def stop(self) -> None:
        """Take out whatever ``start`` put in."""
        self._hooks.remove()
        self.collector.remove()
        self.process.close()

    def mute(self) -> None:
        """In a forked child: let the inherited hooks pass everything on without recording it."""
        self._hooks.mute()
        self.collector.remove()

    def meet_loop(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        """Watch this event loop; called in the loop's own thread at start-up or at the first request."""
        self._loop = loop
        self._loop_probe = LoopProbe(loop, thread)
        self._hooks.install_loop(loop)

    def tick(self) -> None:
        """A few times per window: fold the requests, beat the loop, take the lowest number of blocks."""
        self.requests.fold()
        if self._loop_probe is not None:
            self._loop_probe.beat()
        self._blocks.note()

    def retained_before(self) -> float:
        """Return the moment before which an ended request must be dead.

        That is the start of the last full collection, which leaves only what is held; without a recent one, some windows ago.
        """
        return max(self.collector.last_full, time.perf_counter() - GRACE_INTERVALS * self.config.interval)

    def close_window(self) -> Window:
        """Return the window since the last call; about a millisecond, more with many tasks or a USS reading."""
        self._windows += 1
        now = time.time()
        run = self._fence.run
        loop_tasks = run("asyncio tasks", tasks.all_tasks, self._loop) if self._loop is not None else None
        reading = run(
            "process reading",
            self.process.read,
            uss=self._windows % USS_EVERY == 1,
            tasks=None if loop_tasks is None else len(loop_tasks),
        )
        stuck = [*(run("stuck requests", self._stuck, loop_tasks or []) or ()), *(run("tasks", self._surviving) or ())]
        now_blocks, lowest = self._blocks.take()
        # Taken before the total is read, for taking folds: a total that lags behind the routes blurs every rate.
        routes = run("requests", self.requests.take, self.retained_before()) or ()
        window = Window(
            opened=self._opened,
            closed=now,
            reading=reading or Reading(at=now, rss=self.process.rss(), blocks=now_blocks.blocks),
            requests=self.requests.total,
            in_flight=self.requests.counted_in_flight(),
            routes=routes,
            pauses=run("collector", self.collector.take) or Pauses(),
            loop=run("event loop", self._loop_probe.take) if self._loop_probe is not None else None,
            stuck=tuple(stuck[:MAX_STUCK]),
            blocks_low=lowest.blocks,
            low_at=lowest.requests,
            websockets=self.requests.websockets,
            warm=self._is_warm(now),
            forgotten=self.failures.evicted,
        )
        self._opened = now
        return window

    def _is_warm(self, now: float) -> bool:
        warmup = self.config.warmup
        busy = self.requests.total >= max(WARM_REQUESTS, WARM_REQUESTS_PER_SECOND * warmup)
        return busy or now - self._started >= warmup

    def collect(self) -> None:
        """Have the cyclic collector run once, in the thread of the event loop where there is one: finalizers belong there."""
        loop = self._loop
        if loop is None or loop.is_closed():
            gc.collect()
        else:
            loop.call_soon_threadsafe(gc.collect)

    def abandon_overdue(self) -> None:
        """Cancel the ASGI requests that are older than ``abandon_after``; the middleware then answers 504."""
        limit, loop = self.config.abandon_after, self._loop
        if limit is None or loop is None or loop.is_closed():
            return
        oldest = time.perf_counter() - limit
        for passage in list(self.requests.in_flight):
            if passage.began < oldest and passage.task is not None and not passage.status:
                loop.call_soon_threadsafe(self._cancel, passage)

    def _cancel(self, passage: Passage) -> None:
        # In the loop's thread: only here is it certain that the request has not ended in the meantime.
        if passage in self.requests.in_flight and passage.task is not None and not passage.status:
            passage.abandoned += 1
            passage.task.cancel()

    def _stuck(self, loop_tasks: list[asyncio.Task[typing.Any]]) -> tuple[Stuck, ...]:
        now = time.perf_counter()
        overdue = [p for p in list(self.requests.in_flight) if now - p.began > self.config.stuck_after]
        if not overdue:
            return ()
        overdue.sort(key=lambda passage: passage.began)
        running: dict[Passage, list[asyncio.Task[typing.Any]]] = {}
        for task in loop_tasks:
            passage = tasks.task_context_value(task, current)
            if isinstance(passage, Passage):
                running.setdefault(passage, []).append(task)
        return tuple(self._stuck_one(p, running.get(p, []), now) for p in overdue[:MAX_STUCK])

    def _stuck_one(self, passage: Passage, its_tasks: list[asyncio.Task[typing.Any]], now: float) -> Stuck:
        scope = passage.scope
        route = "(ended)"
        if scope is not None:
            (read_wsgi if passage.thread else read_asgi)(passage, scope)
            route = self.requests.names.of_passage(passage)
        where = tasks.where_thread(passage.thread) if passage.thread else None
        for task in its_tasks:
            where = where or tasks.where_task(task)
        return Stuck(route=route, age=now - passage.began, where=where, kind="request")

    def _surviving(self) -> tuple[Stuck, ...]:
        if self._loop is None:
            return ()
        return tasks.surviving_tasks(self._loop, current, _route_if_ended, age=_age)

    def _record_outside(self, cause: Cause) -> None:
        passage = current.get()
        self.failures.record(cause, (passage.route if passage is not None else None) or NO_ROUTE)


def _route_if_ended(value: object) -> str | None:
    return value.route if isinstance(value, Passage) and value.ended else None


def _age(passage: Passage) -> float:
    return time.perf_counter() - passage.ended
