"""What a leaving worker tells its clients: send no more here, and close this connection after the answer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

MOST_CALLBACKS = 64

_Callback = TypeVar("_Callback", bound=Callable[[], object])
_callbacks: list[Callable[[], object]] = []


def on_not_ready(callback: _Callback) -> _Callback:
    """Register ``callback`` to be called, without arguments, when this worker ceases to want requests; a decorator, too.

    It may take the worker out of a load balancer or stop a consumer. It is called once per change, in a thread of
    leakguard's; the drain waits for it, so it should be quick; what it raises is swallowed. Plain functions are held for
    good; at most ``MOST_CALLBACKS`` are kept and further ones are ignored.
    """
    if callback not in _callbacks and len(_callbacks) < MOST_CALLBACKS:
        _callbacks.append(callback)
    return callback


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

    def refuse(self) -> None:
        """Turn readiness off, and tell those who asked to be told."""
        if self.ready:
            self.ready = False
            for callback in tuple(_callbacks):
                with contextlib.suppress(Exception):  # the app's own code, run in our thread
                    callback()

    def leave(self) -> None:
        """Turn readiness off, announce the close, and part from what would not end by itself."""
        self.refuse()
        self.closing = True
        for part in tuple(self.partings):
            with contextlib.suppress(Exception):  # a connection's loop is closed already, or its client is gone
                part()
