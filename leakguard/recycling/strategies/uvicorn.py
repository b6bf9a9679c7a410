"""Replacing a worker of ``uvicorn --workers N``: its siblings serve while the parent starts a new one.

The parent's own roll (SIGHUP) is not used: it replaces all workers for the sake of one, gives up when a boot takes longer
than the health check's 5 s, and tells the old ones to leave without a drain (0.1 requests lost per worker, measured).
"""

from __future__ import annotations

import os
import signal

from leakguard.recycling.strategies import listeners
from leakguard.recycling.strategies.base import WorkerStrategy


class UvicornStrategy(WorkerStrategy):
    """Drain and end by SIGTERM; the parent looks every half second and starts a new worker on the same socket."""

    name = "uvicorn"

    def serving(self) -> bool:
        """Return whether uvicorn has finished its start-up."""
        return bool(self.server.uvicorn.started)

    def stop_accepting(self) -> bool:
        """Leave new connections to the siblings; the parent's socket keeps its queue."""
        listeners.stop_accepting(self.server.uvicorn.servers)
        return True

    def connections(self) -> int | None:
        """Return uvicorn's own count, WebSockets and idle connections included."""
        return len(self.server.uvicorn.server_state.connections)

    def keep_alive(self) -> float:
        """Return ``--timeout-keep-alive``."""
        return float(self.server.uvicorn.config.timeout_keep_alive)

    def leave(self, *, called: bool) -> None:  # noqa: ARG002 - the protocol's signature
        """Send SIGTERM to this process: uvicorn ends the lifespan and then dies of the signal.

        Not ``should_exit``: that ends through the interpreter's long tear-down, in which the worker lives but answers no
        health check, and the parent then waits its whole 5 s before it starts the successor.
        """
        os.kill(os.getpid(), signal.SIGTERM)

    def describe(self) -> tuple[str, ...]:
        """Return what a recycle will do here."""
        how = (
            "at the ceiling one worker at a time waits until its siblings serve, stops accepting, finishes what is in flight "
            "with Connection: close and ends; the parent starts its successor on the same socket."
        )
        delay = "The parent may need up to --timeout-worker-healthcheck (default 5 s) to notice; the siblings serve meanwhile."
        return (f"{self.server}: {how}", delay)
