"""What a worker does when its server tells it to leave unasked: a deploy, a reload, a roll of all workers."""

from __future__ import annotations

import time

from leakguard.recycling.drain import Drain
from leakguard.recycling.strategies.base import Strategy
from leakguard.recycling.term import Term
from leakguard.recycling.turn import Group

POLL = 0.05
ANNOUNCED_FOR = 1.0  # seconds in which a busy keep-alive client hears of a deploy with its next answer
NEWBORN_DEADLINE = 25.0  # below the 30 s that most supervisors give a process after SIGTERM


class Farewell:
    """Announces the close, then lets the server have its SIGTERM.

    The server ends what is in flight by its own rules, and nobody is killed by us.
    """

    def __init__(self, strategy: Strategy, group: Group | None, drain: Drain, term: Term) -> None:
        self._strategy = strategy
        self._group = group
        self._drain = drain
        self._term = term

    def say(self) -> None:
        """Announce for a second, or until no connection is left, then pass the signal on. In a thread of its own."""
        try:
            self._await_newborn()
            self._drain.leave()
            self._until_unused(ANNOUNCED_FOR)
            if self._strategy.acts:
                self._strategy.stop_accepting()
                self._until_unused(2 * POLL)
        except Exception:  # the server gets its signal whatever happens
            pass
        self._term.pass_on()

    def _await_newborn(self) -> None:
        """Where the server started our successor first but does not wait until it serves, do it in its place."""
        if self._group is None or not self._strategy.told:
            return
        deadline = time.monotonic() + NEWBORN_DEADLINE
        while time.monotonic() < deadline and not self._group.youngest_serves():
            time.sleep(POLL)

    def _until_unused(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self._strategy.connections() != 0 and time.monotonic() < end:
            time.sleep(POLL / 5)
