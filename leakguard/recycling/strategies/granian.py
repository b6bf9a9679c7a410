"""Replacing a worker of granian: the parent is asked to roll its workers, and each leaves only when it lost nothing.

A worker that ends by itself stops the whole server unless it runs with ``--respawn-failed-workers``; the one graceful way
is SIGHUP to the parent, which replaces all workers, one by one: it starts the new one, waits ``--respawn-interval``
(3.5 s) whether it is ready or not, and sends the old one SIGTERM. So the SIGTERM is held back until the successor serves.
Each worker listens on a socket of its own, whose queue is reset when it closes: new connections are steered past it first.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from leakguard.recycling import steering
from leakguard.recycling.servers import Server
from leakguard.recycling.strategies.base import WorkerStrategy

CRASH_LOOP = 5.5  # granian's own figure: a worker that ends so soon after its respawn stops the server
IDLE_FOR = 2.0  # granian never closes an idle connection; clients that keep one get so long to use it and be told


class GranianStrategy(WorkerStrategy):
    """One granian worker of the interfaces asgi, asginl and wsgi, forked by its parent."""

    name = "granian"

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._server: Any = server.worker
        self._connections = steering.Connections()
        # With siblings and that flag one worker can end alone, without a roll of all.
        self.told = not (self._server.respawn_failed_workers and (self.workers or 1) > 1)
        # Before the parent's SIGTERM an exit of ours would stop the server; only after it there is a deadline.
        self.grace: float | None = 10.0

    def serving(self) -> bool:
        """Return whether this worker's own socket listens.

        A SIGTERM while a worker boots meets the handler that it has from its parent by the fork, which only notes it in the
        worker's copy of the server, and granian then waits for that worker for ever. So it is handed on here.
        """
        if not steering.own_sockets().listeners:
            return False
        if self._server.interrupt_signal:
            self._server.interrupt_signal = False
            os.kill(os.getpid(), signal.SIGTERM)
        return True

    def can_overlap(self) -> bool:
        """Return whether the parent is asked to start the successor first; alone with the flag, siblings bridge the gap."""
        return self.told

    def call_successor(self) -> None:
        """Have the parent replace its workers, one by one."""
        os.kill(os.getppid(), signal.SIGHUP)

    def stop_accepting(self) -> bool:
        """Steer new connections to the other workers; what is in this one's queue is still accepted.

        Raises:
            OSError: when the kernel does not let us; what is in the queue at the end is then lost.
        """
        if not steering.steer_away():
            raise OSError("no other worker listens")
        return True

    def connections(self) -> int | None:
        """Return how many connections the kernel knows on this worker's port; looked at ten times a second at most."""
        return self._connections.count()

    def keep_alive(self) -> float:
        """Return how long idle connections are waited for: granian itself keeps them for ever."""
        return IDLE_FOR

    def leave(self, *, called: bool) -> None:
        """After a call the parent's SIGTERM is passed on and this does nothing; else end by SIGTERM, and be respawned.

        Not before the age at which granian no longer takes the end for a crash; until then the siblings serve.
        """
        if not called:
            import psutil

            age = time.time() - psutil.Process().create_time()
            time.sleep(max(0.0, CRASH_LOOP + 1.0 - age))
            os.kill(os.getpid(), signal.SIGTERM)

    def describe(self) -> tuple[str, ...]:
        """Return what a recycle will do here."""
        if not self.told:
            how = (
                "at the ceiling one worker at a time waits until its siblings serve, steers new connections to them, finishes "
                "what is in flight with Connection: close and ends; the parent respawns it (--respawn-failed-workers)."
            )
            return (f"{self.server}: {how}",)
        all_of_them = "it replaces all workers, one by one" if (self.workers or 1) > 1 else "it starts the successor"
        how = (
            f"at the ceiling the parent is asked to reload (SIGHUP): {all_of_them}; when the successor serves, new connections "
            "are steered to it, what is in flight is finished with Connection: close, and only then the parent's SIGTERM is "
            "passed on: no gap, no request lost."
        )
        lines = [f"{self.server}: {how}"]
        if (self.workers or 1) > 1:
            lines.append("With --respawn-failed-workers a worker would be replaced alone instead of all.")
        return tuple(lines)
