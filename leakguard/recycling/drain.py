"""What a leaving worker tells its clients: send no more here, and close this connection after the answer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable


class Drain:
    """Whether this worker is ready for requests, and whether it closes connections.

    Read on the hot path, written by the recycler only: two plain attributes, no lock.

    Attributes:
        ready: it serves and wants requests; what a readiness endpoint should say.
        closing: every answer should end its connection, because the worker leaves.
        partings: called when the worker leaves, from another thread: one for each open WebSocket and event stream, which
            would not end by themselves. They add and remove themselves.
    """

    __slots__ = ("closing", "partings", "ready")

    def __init__(self) -> None:
        self.ready = False
        self.closing = False
        self.partings: set[Callable[[], None]] = set()

    def leave(self) -> None:
        """Turn readiness off, announce the close, and part from what would not end by itself."""
        self.ready = False
        self.closing = True
        for part in tuple(self.partings):
            with contextlib.suppress(Exception):  # a connection's loop is closed already, or its client is gone
                part()
