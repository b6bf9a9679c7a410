"""The guard: one thread that ticks a few times per window and has every step done, fenced, in order."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import sys
import threading
import time
import typing

import leakguard
from leakguard.config import unknown_variables
from leakguard.guard.cost import CostMeter
from leakguard.guard.fence import Fence, log
from leakguard.guard.inquiry import Inquiry
from leakguard.guard.pace import Pace
from leakguard.guard.vitals import Vitals
from leakguard.journal import open_journal
from leakguard.journal.ladder import merge
from leakguard.observer import Observer
from leakguard.probes.limits import find_limit
from leakguard.records import Recycle, Relief, Window, Worker
from leakguard.recycling.close import close_wsgi
from leakguard.recycling.recycler import Recycler

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from leakguard.config import Config

LAST_WORDS = 3.0  # seconds that the end of a process waits for the guard's thread


class Guard:
    """Everything that watches one process. Make it through ``leakguard.guard.obtain``.

    The hot path uses ``requests``, ``failures``, ``drain`` and ``abandons``; the rest belongs to the guard's thread.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.fence = Fence()
        self.vitals = Vitals(config, self.fence, own_blocks=lambda: self.inquiry.own_blocks)
        self.requests = self.vitals.requests
        self.failures = self.vitals.failures
        self.abandons = config.abandon_after is not None
        self.is_ready = False
        self.journal = open_journal(config.journal)
        self.recycler = Recycler(
            config,
            in_flight=lambda: self.requests.counted_in_flight() + self.requests.websockets,
            rss=self.vitals.process.rss,
            uss=lambda: self.vitals.process.read(uss=True).uss,
            limit=find_limit,
            on_relief=self._on_relief,
            on_recycle=self._on_recycle,
            on_note=self._on_note,
            evidence=self.write_evidence,
        )
        self.drain = self.recycler.drain
        self.inquiry = Inquiry(
            config,
            self.requests,
            Observer(available=lambda: find_limit().available, rss=self.vitals.process.rss, own=self._own_objects),
            recall=self.journal.recall,
            siblings=lambda: self.recycler.server.workers or 1,
            collect=self.vitals.collect,
        )
        self.pace = Pace(config.interval)
        self.cost = CostMeter()
        self.started = time.time()
        self.boot = secrets.token_hex(8)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._announced = False
        self._unwritten: Window | None = None  # the windows since the last judgement, merged to one

    # ------------------------------------------------------------------------------- called by the integrations

    def start(self) -> None:
        """Install the probes and start the thread; fenced: an app whose guard cannot start runs unguarded."""
        self.fence.run("start", self.vitals.start)
        self._thread = threading.Thread(target=self._run, name="leakguard", daemon=True)
        self.fence.run("thread", self._thread.start)

    def ready(self) -> None:
        """Say that this worker serves now: at the end of its start-up, or with its first request."""
        self.is_ready = True
        self.fence.run("SIGTERM", self.recycler.meet_main_thread)

    def meet_loop(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        """Watch an event loop; called in its thread."""
        self.fence.run("event loop", self.vitals.meet_loop, loop, thread)

    def close_wsgi(
        self, environ: WSGIEnvironment, start_response: StartResponse, headers: list[tuple[str, str]]
    ) -> list[tuple[str, str]]:
        """Have the server close this connection after the answer, in the form that it takes; return the headers."""
        closed = self.fence.run("connection close", close_wsgi, environ, start_response, headers)
        return headers if closed is None else closed

    def stop(self) -> None:
        """End the thread, which writes its last window, and take everything out again. Waits ``LAST_WORDS`` at most."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(LAST_WORDS)
        self.fence.run("stop", self.vitals.stop)

    def abandon_after_fork(self) -> None:
        """In a forked child: the thread is gone and the rest is the parent's; let go without touching any of it."""
        self.vitals.mute()

    # -------------------------------------------------------------------------------------- the guard's thread

    def _run(self) -> None:
        run = self.fence.run
        run("introduction", self._introduce)
        pace = self.pace
        while not self._stop.wait(pace.tick(time.monotonic())):
            run("vitals", self.vitals.tick)
            pace.note(self.requests.total)
            run("readiness", self._announce)
            run("recycling", self.recycler.tick)
            run("abandoning", self.vitals.abandon_overdue)
            if pace.window_due(now := time.monotonic()):
                pace.window_closed(now)
                run("window and journal", self._close_window)
            run("looking", self._look)
        run("looking", self.inquiry.last_answer, time.monotonic())
        run("window and journal", self._close_window, leaving=True)
        run("looking", self.inquiry.close)
        run("recycling", self.recycler.close)
        run("journal", self.journal.close)

    def _introduce(self) -> None:
        self._register()
        for name, meant in unknown_variables(os.environ).items():
            self._on_note(f"{name} is not an option{f'; {meant} is meant?' if meant else ''}")
        self.inquiry.remember()

    def _register(self) -> None:
        limit = find_limit()
        marks = self.recycler.marks  # known once the worker serves: a share is divided by the workers
        self.journal.register(
            Worker(
                pid=os.getpid(),
                boot=self.boot,
                started=self.started,
                parent=os.getppid(),
                python=platform.python_version(),
                server=str(self.recycler.server),
                target=target_of(sys.argv),
                version=leakguard.__version__,
                limit=limit.size,
                ceiling=marks.soft if marks else None,
                hard_ceiling=marks.hard if marks else None,
                strategy=" ".join(self.recycler.describe()),
            ),
        )

    def _announce(self) -> None:
        """Pass readiness on; the worker counts as serving once the server is found booted, and is then known for certain."""
        if self.is_ready and not self._announced:
            self.recycler.ready()
            if self.recycler.serving:
                self._announced = True
                self._register()
                self.journal.ready(time.time())

    def _look(self) -> None:
        if self.drain.closing:  # a worker that leaves has better things to do
            return
        try:
            self.inquiry.step(time.monotonic(), self.requests.total)
        except BaseException:
            self.inquiry.close()  # whatever goes wrong, no tracing stays on and no child stays behind
            raise

    def _close_window(self, *, leaving: bool = False) -> None:
        run = self.fence.run
        window = run("window", self.vitals.close_window)
        if window is None:
            return
        self.inquiry.note_window(window)
        self._unwritten = window if self._unwritten is None else merge(self._unwritten, window)
        if not self.pace.judging_due(time.monotonic(), window.requests) and not leaving:
            return
        self.journal.window(self._unwritten)
        self._unwritten = None
        judged = run("judging", self.inquiry.judge, self.failures.known(), leaving=leaving)
        for finding in judged or ():
            self.journal.finding(finding)
        for fingerprint in self.inquiry.told.take_withdrawn():
            self.journal.withdraw(fingerprint)
        self.journal.failures(self.failures.take())
        if leaving or self.cost.due(self.config.interval):
            self.journal.cost(self.cost.read(self.inquiry.observer.stalls))
        while self.fence.notes:
            self._on_note(self.fence.notes.pop(0))

    def _own_objects(self) -> tuple[object, ...]:
        return (self, self.vitals, self.inquiry, self.recycler, self.journal)

    # -------------------------------------------------------------- called from the recycler's thread as well

    def write_evidence(self) -> None:
        """Write down what is known now, before the worker leaves: recycling must not hide the leak."""
        self.fence.run("last look", self.inquiry.last_look, time.monotonic(), self.requests.total)
        self.fence.run("evidence", self._close_window, leaving=True)

    def _on_relief(self, relief: Relief) -> None:
        self.fence.run("relief", self.journal.relief, relief)

    def _on_recycle(self, recycle: Recycle) -> None:
        self.fence.run("recycle", self.journal.recycle, recycle)

    def _on_note(self, note: str) -> None:
        log.warning("leakguard: %s", note)
        self.fence.run("note", self.journal.note, note)


def target_of(arguments: list[str]) -> str | None:
    """Return the app as the server's command line names it (``module:attribute``), the last such word; ``None`` if none."""
    for word in reversed(arguments[1:]):
        module, colon, attribute = word.partition(":")
        names = [*module.split("."), *attribute.rstrip("()").split(".")]
        if colon and all(name.isidentifier() for name in names):
            return word
    return None
