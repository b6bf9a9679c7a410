"""A supervised process leaves: successor, drain, exit; or it stays, because the successor did not come.

The same order as any handover. What differs: the supervisor says what became of the successor, so that nothing is
irrevocable before it serves, and a process may be told to retire, when nobody succeeds.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from leakguard.recycling.drain import Drain
from leakguard.recycling.handover import EVIDENCE_WITHIN, POLL, Leaving
from leakguard.recycling.strategies.supervised import SupervisedStrategy
from leakguard.recycling.term import Term
from leakguard.units import format_duration

FIRST_PAUSE = 60.0  # after a successor that did not come; then twice as long each time
LONGEST_PAUSE = 3600.0
ANNOUNCED_FOR = 1.0  # seconds in which a busy keep-alive client hears of the end with its next answer


def pause_after(failures: int) -> float:
    """Return the seconds before the next try, after so many tries without a successor before this one."""
    return float(min(FIRST_PAUSE * 2 ** min(failures, 20), LONGEST_PAUSE))


class Succession:
    """Leads this process out, in a daemon thread of its own. For the arguments see ``Handover``.

    ``on_lost`` is called with the reason when the successor did not come and this process stays.

    Attributes:
        committed: under way; what memory does meanwhile changes nothing but the hurry.
        lost: why the successor did not come; empty when it did.
    """

    def __init__(
        self,
        strategy: SupervisedStrategy,
        drain: Drain,
        term: Term,
        *,
        in_flight: Callable[[], int],
        deadline: float,
        roomy: Callable[[], bool],
        on_leaving: Callable[[Leaving], None],
        on_lost: Callable[[str], None],
        on_note: Callable[[str], None],
    ) -> None:
        self._strategy = strategy
        self._drain = drain
        self._term = term
        self._in_flight = in_flight
        self._deadline = deadline
        self._roomy = roomy
        self._on_leaving = on_leaving
        self._on_lost = on_lost
        self._on_note = on_note
        self._urgent = threading.Event()
        self._evidence_taken = threading.Event()
        self.committed = True
        self.lost = ""
        self._thread = threading.Thread(target=self._run, name="leakguard-succession", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is still under way."""
        return self._thread.is_alive()

    def give_up(self) -> None:
        """Do nothing: with the successor on its way it goes on."""

    def release(self) -> None:
        """Say that the evidence is written down: before that this process goes on serving beside its successor."""
        self._evidence_taken.set()

    def hurry(self) -> None:
        """Do not wait for the successor any longer: the hard ceiling is reached, or this process retires."""
        self._urgent.set()

    def _run(self) -> None:
        began = time.monotonic()
        try:
            overlapped = self._succeed()
            if self.lost and not self._strategy.link.retiring:
                self._on_lost(f"the successor did not come: {self.lost}")
                self.committed = False
                return
            if not self._strategy.link.retiring:
                self._evidence_taken.wait(EVIDENCE_WITHIN)
            waited = time.monotonic() - began
            begun, cut = self._drain_connections(overlapped)
            self._on_leaving(Leaving(begun, cut, waited, overlapped))
        except Exception as error:  # a process that may have stopped accepting must go
            self._on_note(f"leaving without a full drain: {type(error).__name__}")
        self._leave()

    def _succeed(self) -> bool:
        """Return whether a successor serves; ``lost`` says why not, unless it was not waited for."""
        link = self._strategy.link
        if link.retiring:
            return False
        if not self._roomy():
            self._on_note("no memory for a second process beside this one: leaving first, requests wait meanwhile")
            return False
        self._strategy.call_successor()
        patience = self._strategy.patience
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and not link.retiring:
            if link.successor == "serves":
                return True
            if link.successor:
                self.lost = link.successor
                return False
            if self._urgent.is_set():
                self._on_note(
                    "memory passed the hard ceiling before the successor served: leaving, requests wait meanwhile"
                )
                return False
            time.sleep(POLL)
        if not link.retiring:
            link.dismiss_successor()
            self.lost = f"it did not serve within {format_duration(patience)}"
        return False

    def _drain_connections(self, overlapped: bool) -> tuple[int, int]:
        end = time.monotonic() + self._deadline
        begun = self._in_flight()
        self._drain.leave()
        keep_alive = self._strategy.keep_alive()
        if not overlapped:
            announced = ANNOUNCED_FOR if self._strategy.link.retiring else keep_alive
            self._until_unused(time.monotonic() + min(announced, self._deadline / 2), or_succeeded=True)
        self._strategy.stop_accepting()
        self._until_unused(min(end, time.monotonic() + keep_alive + 2 * POLL))
        while self._in_flight() > 0 and time.monotonic() < end:
            time.sleep(POLL / 5)
        return begun, self._in_flight()

    def _until_unused(self, end: float, *, or_succeeded: bool = False) -> None:
        while self._strategy.connections() != 0 and time.monotonic() < end:
            if or_succeeded and self._strategy.link.successor == "serves":
                return
            time.sleep(POLL / 5)

    def _leave(self) -> None:
        self._term.open()
        try:
            self._strategy.leave(called=False)
        except Exception as error:
            self._on_note(f"the server cannot be asked to end: {type(error).__name__}")
        time.sleep(self._strategy.grace or 0.0)
        # uvicorn waits for streams and WebSockets for ever, and an atexit hook may hang: the deadline is ours.
        os._exit(0)
