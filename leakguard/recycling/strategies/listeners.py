"""Stopping an event loop's servers from accepting, without losing what they have accepted."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

PATIENCE = 2.0  # a loop that does not run a callback for so long is stuck; the handover goes on without it


def stop_accepting(servers: Iterable[Any]) -> bool:
    """Stop the asyncio or uvloop ``servers`` from accepting; call it from another thread than the loop's.

    On asyncio's own loops the listening sockets are only taken out of the selector. ``Server.close()`` would lose the
    connections accepted in the same turn of the loop: their transports are made in tasks of their own, which fail on a
    closed server, and the client sees a reset. uvloop makes the transport while it accepts, so there closing is safe; the
    server's parent still holds the socket, so its queue stays.

    Returns:
        Whether all of them stopped in time.
    """
    stopped = True
    for server in list(servers):
        done = threading.Event()
        try:
            server.get_loop().call_soon_threadsafe(_stop, server, done)
        except RuntimeError:  # the loop is closed: nothing accepts there
            continue
        stopped = done.wait(PATIENCE) and stopped
    return stopped


def _stop(server: Any, done: threading.Event) -> None:
    try:
        loop = server.get_loop()
        if type(loop).__module__.startswith("asyncio."):
            for listener in server.sockets:
                loop.remove_reader(listener.fileno())
        else:
            server.close()
    finally:
        done.set()
