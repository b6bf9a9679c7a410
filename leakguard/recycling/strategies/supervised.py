"""Replacing a server that is a single process, under ``leakguard run``: the supervisor keeps the listening socket.

It starts the successor, which shares that very socket; when the successor serves, this process stops accepting, finishes
what is in flight and ends. A successor that does not come changes nothing: this process goes on serving.
"""

from __future__ import annotations

import typing

from leakguard.recycling.link import Link
from leakguard.recycling.servers import Server
from leakguard.units import format_duration

if typing.TYPE_CHECKING:
    from leakguard.recycling.strategies.singles import Single

LEAST_PATIENCE = 60.0
BOOTS = 3  # a successor may take so many times as long as this process took, for it boots beside one that works


class SupervisedStrategy:
    """One single server process with a link to its supervisor.

    Args:
        server: what was found.
        single: drives that server.
        link: of this process.
    """

    acts = True
    told = False
    grace: float | None = 10.0

    def __init__(self, server: Server, single: Single, link: Link) -> None:
        self.name = server.name
        self.server = server
        self.link = link
        self.workers: int | None = 1
        self._single = single

    @property
    def patience(self) -> float:
        """Seconds that a successor may take to boot."""
        return max(LEAST_PATIENCE, BOOTS * (self.link.boot or 0.0))

    def serving(self) -> bool:
        """Return whether the server has begun to serve; the supervisor is told when it has."""
        # Who was given a socket by number need not have called listen().
        if not ((self.link.listening or self.link.given) and self._single.serving()):
            return False
        self.link.ready()
        return True

    def can_overlap(self) -> bool:
        """Return true unless this process retires."""
        return not self.link.retiring

    def call_successor(self) -> None:
        """Have the supervisor start the successor."""
        self.link.call_successor()

    def stop_accepting(self) -> bool:
        """Leave new connections to the successor; where the queue ends with this process, what waits there is taken first."""
        if self.link.retiring and not self.link.given:
            self.link.stop()
            self._single.close()
        elif self.link.bound_anew:
            self._single.close()
        else:
            self._single.stop_accepting()
        return True

    def connections(self) -> int | None:
        """Return how many connections are open."""
        return self._single.connections()

    def keep_alive(self) -> float:
        """Return how long idle connections are waited for."""
        return self._single.keep_alive()

    def leave(self, *, called: bool) -> None:  # noqa: ARG002 - the protocol's signature
        """Tell the supervisor that this end is meant, then end as this server does."""
        self.link.leave()
        self._single.leave()

    def describe(self) -> tuple[str, ...]:
        """Return what a recycle will do here."""
        how = (
            "under leakguard run: at the ceiling the supervisor, which keeps the listening socket, boots a successor; when "
            "that one serves, this process stops accepting, finishes what is in flight with Connection: close and ends: no "
            "gap, no request lost."
        )
        otherwise = (
            f"A successor that fails to boot or does not serve within {format_duration(self.patience)} changes nothing: this "
            "process goes on. Without memory for two it leaves first, and requests wait in the socket until its successor "
            "has booted."
        )
        return (f"{self.server}: {how}", otherwise)
