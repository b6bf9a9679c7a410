"""One worker leaves: turn, successor, drain, exit. The order that lost no request under any server.

Replacement ready, stop accepting, ``Connection: close`` until nothing is in flight, then ask for the exit, and after a hard
deadline end the process ourselves. Where no replacement can be ready first and no sibling serves, connections are closed
before accepting stops, because from then on requests wait in the parent's socket.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from leakguard.recycling.drain import Drain
from leakguard.recycling.strategies.base import Strategy
from leakguard.recycling.term import Term
from leakguard.recycling.turn import Group

POLL = 0.05
BOOT_DEADLINE = 60.0  # a successor that is not ready by then (--preload without traffic) is not waited for
EVIDENCE_WITHIN = 6.0  # a last look at the leak takes a second while the successor boots; nobody waits for a hung one
WORD_DEADLINE = 600.0  # for a server that replaces all its workers, one by one, to come to this one
SETTLE = 0.1  # the locks of a dying process are not all released in the same instant: look twice, so far apart


@dataclass(frozen=True, slots=True)
class Leaving:
    """What the handover reports just before the worker ends: in flight at the start of the drain and cut at its end."""

    in_flight: int
    lost: int
    waited: float  # seconds for the turn, siblings and successor
    overlapped: bool  # a successor was seen to serve before the drain began


class Handover:
    """Leads this worker out, in a daemon thread of its own.

    Args:
        strategy: of the server that runs this process.
        group: the workers of this server.
        drain: what the hot path reads.
        term: the SIGTERM of this process.
        in_flight: counts the requests that have begun and not ended.
        deadline: seconds that requests in flight get.
        roomy: whether there is memory for one more worker beside this one.
        on_leaving: called once, before the worker ends.
        on_note: called with what did not go as planned.
    """

    def __init__(
        self,
        strategy: Strategy,
        group: Group,
        drain: Drain,
        term: Term,
        *,
        in_flight: Callable[[], int],
        deadline: float,
        roomy: Callable[[], bool],
        on_leaving: Callable[[Leaving], None],
        on_note: Callable[[str], None],
    ) -> None:
        self._strategy = strategy
        self._group = group
        self._drain = drain
        self._term = term
        self._told = term.told
        self._before: frozenset[int] = frozenset()
        self._finish_by = 0.0  # for servers that accept until they are asked to end
        self._in_flight = in_flight
        self._deadline = deadline
        self._roomy = roomy
        self._on_leaving = on_leaving
        self._on_note = on_note
        self._given_up = threading.Event()
        self._urgent = threading.Event()
        self._evidence_taken = threading.Event()
        self.committed = False
        self._thread = threading.Thread(target=self._run, name="leakguard-handover", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the handover is still under way."""
        return self._thread.is_alive()

    def give_up(self) -> None:
        """Forget it, as long as nothing irrevocable has happened (``committed``)."""
        self._given_up.set()

    def release(self) -> None:
        """Say that the evidence is written down: before that this worker goes on serving beside its successor."""
        self._evidence_taken.set()

    def hurry(self) -> None:
        """Do not wait for turn, siblings or successor any longer: the hard ceiling is reached."""
        self._urgent.set()

    def _run(self) -> None:
        began = time.monotonic()
        try:
            if not (self._await_turn() and self._may_begin()):
                self._group.give_turn()
                return
            self.committed = True
        except Exception as error:
            self._group.give_turn()
            self._on_note(f"recycling stopped before it began: {type(error).__name__}")
            return
        called = False
        try:
            called = self._call_successor()
            if called and self._strategy.told and not self._await_word():
                self._back_out()
                return
            overlapped = called and self._await_successor()
            self._evidence_taken.wait(EVIDENCE_WITHIN)
            waited = time.monotonic() - began
            begun, lost = self._drain_connections(overlapped)
            self._on_leaving(Leaving(begun, lost, waited, overlapped))
        except Exception as error:  # past the point of no return: a worker that stopped accepting must go
            self._on_note(f"leaving without a full drain: {type(error).__name__}")
        self._leave(called)

    def _await_turn(self) -> bool:
        while not self._urgent.is_set():
            if self._given_up.is_set():
                return False
            if self._group.take_turn() and self._siblings_serve():
                return True
            time.sleep(POLL)
        return True

    def _siblings_serve(self) -> bool:
        wanted = self._strategy.workers or 1
        if len(self._group.serving()) < wanted:
            return False
        time.sleep(SETTLE)
        return len(self._group.serving()) >= wanted

    def _may_begin(self) -> bool:
        """Wait until there is memory for a successor, where the server starts one whether there is or not."""
        told = False
        while self._strategy.told and not self._roomy() and not self._urgent.is_set():
            if not told:
                self._on_note(
                    "no memory for a second worker beside this one, and none of them can leave first: waiting"
                )
                told = True
            if self._given_up.wait(1.0):
                return False
        return True

    def _call_successor(self) -> bool:
        """Return whether the server will take this worker back once it is told to, because another was called."""
        if not self._strategy.can_overlap():
            return False
        if self._strategy.told:
            self._strategy.call_successor()
            return True
        if self._group.is_owed():
            # A worker died between its call and its leave, so there is one too many: no call, and the oldest goes.
            return self._group.is_oldest()
        if not self._roomy():
            self._on_note("no memory for a second worker beside this one: leaving first, requests wait meanwhile")
            return False
        self._before = self._group.serving()
        if len(self._before) > (self._strategy.workers or 1):
            return False  # someone raised the number of workers: the server might take back another than this one
        self._group.owe()
        self._strategy.call_successor()
        return True

    def _await_word(self) -> bool:
        """Wait for the server's SIGTERM, which comes when it has started our successor; it may replace others before."""
        deadline = time.monotonic() + WORD_DEADLINE
        while time.monotonic() < deadline:
            if self._told.wait(POLL):
                return True
        return False

    def _back_out(self) -> None:
        self._on_note(f"the server was asked to replace this worker and did nothing in {WORD_DEADLINE:.0f} s")
        self.committed = False
        self._group.give_turn()

    def _await_successor(self) -> bool:
        deadline = time.monotonic() + BOOT_DEADLINE
        # Where the server tells us to leave, sockets are not shared: without a successor nobody would listen.
        while time.monotonic() < deadline and (self._strategy.told or not self._urgent.is_set()):
            if self._successor_serves():
                return True
            time.sleep(POLL)
        late = f"the successor did not say within {BOOT_DEADLINE:.0f} s that it serves"
        if not self._strategy.told and self._told.is_set():
            return False  # the server is told to end us meanwhile, and perhaps our successor too
        if not self._strategy.told and self._urgent.is_set():
            late = "memory passed the hard ceiling before the successor served"
        self._on_note(f"{late}: leaving all the same, requests wait in the server's socket")
        return False

    def _successor_serves(self) -> bool:
        if self._strategy.told:
            return self._group.youngest_serves()
        return bool(self._group.serving() - self._before)

    def _drain_connections(self, overlapped: bool) -> tuple[int, int]:
        end = time.monotonic() + self._deadline
        begun = self._in_flight()
        self._drain.leave()
        alone = not overlapped and (self._strategy.workers or 1) == 1
        if alone:
            self._until_unused(time.monotonic() + min(self._strategy.keep_alive(), self._deadline / 2))
        try:
            stopped = self._strategy.stop_accepting()
        except OSError as error:
            self._on_note(f"this worker cannot stop accepting ({error}): what waits in its queue at the end is lost")
            stopped = True
        # Past its keep-alive time the server closes idle connections anyway: waiting longer protects no one.
        self._until_unused(min(end, time.monotonic() + self._strategy.keep_alive() + 2 * POLL))
        if not stopped:
            self._finish_by = end
            return begun, 0
        while self._in_flight() > 0 and time.monotonic() < end:
            time.sleep(POLL / 5)
        return begun, self._in_flight()

    def _until_unused(self, end: float) -> None:
        while self._strategy.connections() != 0 and time.monotonic() < end:
            time.sleep(POLL / 5)

    def _leave(self, called: bool) -> None:
        if self._told.is_set() and not self._strategy.told:
            self._term.pass_on()
            return
        self._term.open()
        self._ask(called)
        if called:
            self._group.settle()
        if self._strategy.grace is None:
            return
        while self._in_flight() > 0 and time.monotonic() < self._finish_by:
            time.sleep(POLL)
        if self._finish_by and self._in_flight() > 0:
            self._on_note(f"{self._in_flight()} requests were cut at the drain deadline")
        time.sleep(self._strategy.grace / 5)
        if called and not self._strategy.told:
            self._ask(called=False)  # the server did not hear, or took back another worker
        time.sleep(self._strategy.grace * 4 / 5)
        # uvicorn waits for streams and WebSockets for ever, and an atexit hook may hang: the deadline is ours.
        os._exit(0)

    def _ask(self, called: bool) -> None:
        try:
            if called and self._strategy.told:
                self._term.pass_on()
            else:
                self._strategy.leave(called=called)
        except Exception as error:
            self._on_note(f"the server cannot be asked to end this worker: {type(error).__name__}")
