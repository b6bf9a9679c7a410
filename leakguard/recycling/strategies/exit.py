"""Ending a process because its owner said that something outside starts it again (``recycle='exit'``)."""

from __future__ import annotations

import os
import signal

from leakguard.recycling.strategies import listeners
from leakguard.recycling.strategies.base import WorkerStrategy


class ExitStrategy(WorkerStrategy):
    """Announce the close, finish what is in flight, then SIGTERM to this process."""

    name = "exit"

    def serving(self) -> bool:
        """Return true: whoever said that it serves is believed."""
        return True

    def stop_accepting(self) -> bool:
        """Stop a uvicorn that is alone; of other servers nothing is known."""
        if self.server.uvicorn is None:
            return False
        listeners.stop_accepting(self.server.uvicorn.servers)
        return True

    def connections(self) -> int | None:
        """Return uvicorn's own count, else ``None``."""
        return None if self.server.uvicorn is None else len(self.server.uvicorn.server_state.connections)

    def keep_alive(self) -> float:
        """Return one second: what idle connections get to be used and told."""
        return 1.0

    def leave(self, *, called: bool) -> None:  # noqa: ARG002 - the protocol's signature
        """Send SIGTERM to this process."""
        os.kill(os.getpid(), signal.SIGTERM)

    def describe(self) -> tuple[str, ...]:
        """Return what a recycle will do here."""
        how = (
            "recycle is exit: at the ceiling this process finishes what is in flight with Connection: close and ends by "
            "SIGTERM. Its listening socket closes with it, so requests are refused until whatever watches it has started "
            "another."
        )
        return (f"{self.server}: {how}",)
