"""What a leaving worker tells its clients: send no more here, and close this connection after the answer."""

from __future__ import annotations


class Drain:
    """Whether this worker is ready for requests, and whether it closes connections.

    Read on the hot path, written by the recycler only: two plain attributes, no lock.

    Attributes:
        ready: it serves and wants requests; what a readiness endpoint should say.
        closing: every answer should end its connection, because the worker leaves.
    """

    __slots__ = ("closing", "ready")

    def __init__(self) -> None:
        self.ready = False
        self.closing = False
