"""What the handover asks of a server, the same for each."""

from __future__ import annotations

from typing import Protocol

from leakguard.recycling.servers import Server


class Strategy(Protocol):
    """How one server's worker is replaced. Methods are called from the handover's thread, in the order given here.

    Attributes:
        name: as in the ``recycle`` option: ``gunicorn``, ``uvicorn``, ..., ``none``.
        acts: whether it ever replaces the worker; with ``False`` nothing below ``serving`` is called.
        workers: how many workers the server was told to keep; ``None`` when that cannot be known.
        told: after ``call_successor`` the server itself tells the worker to leave (SIGTERM), and an exit before would be
            taken for a crash.
        grace: seconds between asking for the exit and ending the process ourselves; ``None``: never.
    """

    name: str
    acts: bool
    workers: int | None
    told: bool
    grace: float | None

    def serving(self) -> bool:
        """Return whether this worker has booted and takes requests."""
        ...

    def can_overlap(self) -> bool:
        """Return whether a successor can be called before this worker leaves."""
        ...

    def call_successor(self) -> None:
        """Have the server start one more worker, which will be the successor."""
        ...

    def stop_accepting(self) -> bool:
        """Take no new connection from now on; what is accepted is still served. May wait a second or two.

        Returns:
            ``False`` where the server goes on accepting until ``leave`` and then finishes what is in flight by itself.

        Raises:
            OSError: when it should be possible and is not; what waits in this worker's own queue at the end is then lost.
        """
        ...

    def connections(self) -> int | None:
        """Return how many connections this worker holds open; ``None`` when that cannot be known."""
        ...

    def keep_alive(self) -> float:
        """Return the seconds after which the server itself closes an idle connection."""
        ...

    def leave(self, *, called: bool) -> None:
        """Ask the server to end this worker gracefully, after ``call_successor`` to take it back; returns at once."""
        ...

    def describe(self) -> tuple[str, ...]:
        """Return what a recycle will do here, in sentences for ``leakguard doctor``."""
        ...


class WorkerStrategy:
    """What most strategies have in common: the parent starts a new worker when this one has ended, and not before."""

    acts = True
    told = False
    grace: float | None = 10.0

    def __init__(self, server: Server) -> None:
        self.server = server
        self.workers = server.workers

    def can_overlap(self) -> bool:
        """Return false: nobody is called first; siblings bridge the gap, or requests wait in the parent's socket."""
        return False

    def call_successor(self) -> None:
        """Do nothing."""
