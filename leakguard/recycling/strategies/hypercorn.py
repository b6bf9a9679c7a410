"""Replacing a worker of hypercorn: its parent starts a new one when this one ends with code 0, and only then.

Any other end, a signal's too, stops the whole server (measured). The graceful end is an event of hypercorn's own, the one
that its ``max_requests`` sets. Nothing calls a successor first: the parent starts workers only when one has ended.
"""

from __future__ import annotations

from typing import Any

from leakguard.recycling.servers import Server
from leakguard.recycling.strategies import listeners
from leakguard.recycling.strategies.base import WorkerStrategy


class HypercornStrategy(WorkerStrategy):
    """One worker of hypercorn's asyncio or uvloop worker class, under its parent."""

    name = "hypercorn"

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        # The variables of worker_serve, this worker's main coroutine; none while the app is loaded.
        self._serve: dict[str, Any] = server.worker or {}

    def serving(self) -> bool:
        """Return whether the sockets are listened on."""
        sockets = self._serve.get("sockets")
        if sockets is None or "context" not in self._serve:
            return False
        listening = len(sockets.secure_sockets) + len(sockets.insecure_sockets)
        return len(self._serve.get("servers", ())) >= listening

    def stop_accepting(self) -> bool:
        """Leave new connections to the siblings; the parent's socket keeps its queue."""
        listeners.stop_accepting(self._serve["servers"])
        return True

    def connections(self) -> int | None:
        """Return how many connections hypercorn has a task for."""
        return len(self._serve["server_tasks"])

    def keep_alive(self) -> float:
        """Return hypercorn's ``keep_alive_timeout``."""
        return float(self._serve["config"].keep_alive_timeout)

    def leave(self, *, called: bool) -> None:  # noqa: ARG002 - the protocol's signature
        """Set the event that ends this worker gracefully, with code 0; the parent then starts a new one."""
        terminate = self._serve["context"].terminate
        self._serve["loop"].call_soon_threadsafe(terminate._event.set)

    def describe(self) -> tuple[str, ...]:
        """Return what a recycle will do here."""
        if self.workers == 1:
            how = (
                "at the ceiling this worker finishes what is in flight with Connection: close and ends; requests wait in the "
                "parent's socket until its successor has booted: no request lost, but a gap, because hypercorn's parent "
                "starts a worker only when one has ended."
            )
        else:
            how = (
                "at the ceiling one worker at a time waits until its siblings serve, stops accepting, finishes what is in "
                "flight with Connection: close and ends with code 0; the parent starts its successor on the same socket."
            )
        return (f"{self.server}: {how}",)
