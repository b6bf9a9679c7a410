"""Replacing a gunicorn worker: with one worker the successor is ready first, with more the siblings bridge the gap.

The arbiter keeps ``num_workers`` workers: SIGTTIN raises the number by one, SIGTTOU lowers it and ends the oldest worker
by SIGTERM. With one worker configured the oldest is the one that asked, so nothing needs to be configured.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

from leakguard.recycling import turn
from leakguard.recycling.servers import Server
from leakguard.recycling.strategies import listeners
from leakguard.recycling.strategies.base import WorkerStrategy

_books_kept_by = 0  # the arbiter that the shipped hooks run in; its workers inherit the number by their fork


def keep_books(arbiter: Any) -> None:
    """Have an arbiter let the worker go that asked, at SIGTTOU, and not the oldest; called in the arbiter when it is ready.

    So more than one worker can have a successor before it leaves.
    """
    global _books_kept_by
    _books_kept_by = os.getpid()
    take_back = arbiter.handle_ttou
    directory = turn.directory_of(os.getpid())

    def handle_ttou() -> None:
        with contextlib.suppress(OSError):
            for pid in turn.take_asked(directory):
                worker = arbiter.WORKERS.get(pid)
                if worker is not None:
                    worker.age = -1  # the arbiter ends its workers in the order of their age, lowest number first
        take_back()

    arbiter.handle_ttou = handle_ttou


class GunicornStrategy(WorkerStrategy):
    """One gunicorn worker of the kinds sync, gthread, asgi and uvicorn."""

    name = "gunicorn"

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._worker: Any = server.worker
        self._hooked = bool(_books_kept_by) and self._worker.ppid == _books_kept_by

    def serving(self) -> bool:
        """Return whether the application is loaded and the worker's loop runs."""
        if not self._worker.booted:
            return False
        if self.server.kind == "uvicorn":
            return self.server.uvicorn is not None and bool(self.server.uvicorn.started)
        if self.server.kind == "asgi":
            return bool(self._worker.servers)
        return True

    def can_overlap(self) -> bool:
        """Return whether the arbiter takes our signals and would end this worker, not a sibling, at SIGTTOU."""
        return (self.workers == 1 or self._hooked) and self._may_signal_arbiter()

    def call_successor(self) -> None:
        """Have the arbiter start a second worker."""
        os.kill(self._worker.ppid, signal.SIGTTIN)

    def stop_accepting(self) -> bool:
        """Leave new connections to the others; the arbiter's socket keeps its queue.

        A sync worker has at most one connection and takes the next only after this one: SIGTERM alone loses nothing.
        """
        if self.server.kind == "uvicorn":
            listeners.stop_accepting(self.server.uvicorn.servers)
        elif self.server.kind == "asgi":
            listeners.stop_accepting(self._worker.servers)
        elif self.server.kind == "gthread":
            self._close_gthread()
        return True

    def connections(self) -> int | None:
        """Return the worker's own count of open connections, idle ones included."""
        if self.server.kind == "uvicorn":
            return len(self.server.uvicorn.server_state.connections)
        if self.server.kind in {"asgi", "gthread"}:
            return int(self._worker.nr_conns)
        return None

    def keep_alive(self) -> float:
        """Return gunicorn's ``--keep-alive``; a sync worker has none."""
        return 0.0 if self.server.kind == "sync" else float(self._worker.cfg.keepalive)

    def leave(self, *, called: bool) -> None:
        """Have the arbiter take this worker back after a call, else send SIGTERM to this process."""
        if called:
            if self._hooked:
                turn.ask_to_leave(turn.directory_of(self._worker.ppid))
            os.kill(self._worker.ppid, signal.SIGTTOU)
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    def describe(self) -> tuple[str, ...]:
        """Return what a recycle will do here."""
        if self.can_overlap():
            how = (
                "at the ceiling the arbiter is asked for one more worker (SIGTTIN); when that one serves, this one stops "
                "accepting, finishes what is in flight with Connection: close and is let go (SIGTTOU): no gap, no request lost."
            )
        elif self.workers == 1:
            how = (
                "at the ceiling this worker finishes what is in flight and ends; requests wait in the arbiter's socket until "
                "its successor has booted, because this user may not signal the arbiter."
            )
        else:
            how = (
                "at the ceiling one worker at a time waits until its siblings serve, stops accepting, finishes what is in "
                "flight with Connection: close and ends (SIGTERM); the arbiter starts its successor. With "
                "-c python:leakguard.integrations.gunicorn the successor would serve first."
            )
        lines = [f"{self.server}: {how}"]
        if self._worker.cfg.reuse_port:
            lines.append("reuse_port is set: what waits in this worker's own accept queue is lost when it ends.")
        return tuple(lines)

    def _may_signal_arbiter(self) -> bool:
        # A worker that gave up root cannot signal an arbiter that kept it.
        try:
            os.kill(self._worker.ppid, 0)
        except OSError:
            return False
        return bool(os.getppid() == self._worker.ppid)

    def _close_gthread(self) -> None:
        worker = self._worker
        if hasattr(worker, "set_accept_enabled"):
            # Its own loop stops accepting while nr_conns >= worker_connections; it only must be woken to see it.
            worker.worker_connections = 0
            worker.method_queue.defer(_nothing)
            return
        with worker._lock:  # gunicorn 23: its loop polls them for good, so they are taken out
            for listener in worker.sockets:
                with contextlib.suppress(KeyError, ValueError):
                    worker.poller.unregister(listener)


def _nothing() -> None:
    pass
