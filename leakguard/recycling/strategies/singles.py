"""How to drive the servers that are a single process: one small class each, found by looking at the main thread.

Under ``leakguard run`` only: elsewhere the listening socket would close with the process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable
from typing import Any, Protocol

from leakguard.recycling import door
from leakguard.recycling.servers import Server
from leakguard.recycling.strategies import listeners

IDLE = 5.0  # seconds for idle connections where the server itself keeps them for minutes


class Single(Protocol):
    """What a strategy asks of a single server. Called from threads of ours."""

    def serving(self) -> bool:
        """Return whether the server accepts and answers."""
        ...

    def stop_accepting(self) -> None:
        """Take no new connection; the queue stays in the socket that the successor shares."""
        ...

    def close(self) -> None:
        """Take what is in the queue, then close the listening socket: nobody succeeds."""
        ...

    def connections(self) -> int | None:
        """Return how many connections are open."""
        ...

    def keep_alive(self) -> float:
        """Return how long idle connections are waited for."""
        ...

    def leave(self) -> None:
        """Have the server end in its own orderly way; returns at once."""
        ...


def find_single(server: Server) -> Single | None:
    """Return what drives this server; ``None`` where it is none of these or has not come so far yet."""
    if server.supervised:
        return None
    if server.name == "uvicorn" and server.uvicorn is not None and not server.uvicorn.config.reload:
        return UvicornSingle(server.uvicorn)
    if server.name == "hypercorn" and server.worker:
        return HypercornSingle(server.worker)
    if server.name == "waitress":
        found = _owner("waitress.server", "run")
        return None if found is None else WaitressSingle(found)
    if server.name == "daphne":
        found = _owner("daphne.server", "run")
        return None if found is None else DaphneSingle(found)
    return None


class UvicornSingle:
    """``uvicorn app:app``, and ``uvicorn.run``."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def serving(self) -> bool:
        """Return whether uvicorn has finished its start-up."""
        return bool(self._server.started)

    def stop_accepting(self) -> None:
        """Take the listeners out of the loop."""
        listeners.stop_accepting(self._server.servers)

    def close(self) -> None:
        """Close the listeners when their queues are empty."""
        _close_loops_servers(self._server.servers)

    def connections(self) -> int | None:
        """Return uvicorn's own count, WebSockets and idle connections included."""
        return len(self._server.server_state.connections)

    def keep_alive(self) -> float:
        """Return ``--timeout-keep-alive``."""
        return float(self._server.config.timeout_keep_alive)

    def leave(self) -> None:
        """Send SIGTERM to this process: uvicorn ends the lifespan and then dies of the signal."""
        os.kill(os.getpid(), signal.SIGTERM)


class HypercornSingle:
    """hypercorn in one process: ``-w 0``, to which ``leakguard run`` turns the one worker that is its default.

    Args:
        serve: the variables of its main coroutine.
    """

    def __init__(self, serve: dict[str, Any]) -> None:
        self._serve = serve

    def serving(self) -> bool:
        """Return whether every socket is listened on."""
        sockets = self._serve.get("sockets")
        if sockets is None or "context" not in self._serve:
            return False
        return len(self._serve.get("servers", ())) >= len(sockets.secure_sockets) + len(sockets.insecure_sockets) > 0

    def stop_accepting(self) -> None:
        """Take the listeners out of the loop."""
        listeners.stop_accepting(self._serve["servers"])

    def close(self) -> None:
        """Close the listeners when their queues are empty."""
        _close_loops_servers(self._serve["servers"])

    def connections(self) -> int | None:
        """Return how many connections hypercorn has a task for."""
        return len(self._serve["server_tasks"])

    def keep_alive(self) -> float:
        """Return hypercorn's ``keep_alive_timeout``."""
        return float(self._serve["config"].keep_alive_timeout)

    def leave(self) -> None:
        """Send SIGTERM to this process, which hypercorn's loop takes as the wish for a graceful end."""
        os.kill(os.getpid(), signal.SIGTERM)


class WaitressSingle:
    """``waitress-serve`` and ``waitress.serve``; it has no graceful end of its own but Ctrl-C."""

    def __init__(self, server: Any) -> None:
        self._map: dict[int, Any] = getattr(server, "_map", None) or server.map

    def serving(self) -> bool:
        """Return true: it was found in its loop."""
        return True

    def stop_accepting(self) -> None:
        """Have its loop look at the listeners no more."""
        for listener in self._listeners():
            listener.accepting = False
            listener.pull_trigger()

    def close(self) -> None:
        """Close the listeners when their queues are empty."""
        door.shut([listener.socket.fileno() for listener in self._listeners()])
        self.stop_accepting()
        for listener in self._listeners():
            listener.socket.close()

    def connections(self) -> int | None:
        """Return how many channels are open."""
        return sum(len(listener.active_channels) for listener in self._listeners())

    def keep_alive(self) -> float:
        """Return a few seconds: waitress itself keeps idle connections for two minutes."""
        return IDLE

    def leave(self) -> None:
        """Interrupt the main thread, where waitress takes it as the wish for an end, with code 0."""
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _listeners(self) -> list[Any]:
        return [each for each in list(self._map.values()) if hasattr(each, "active_channels")]


class DaphneSingle:
    """``daphne``: Twisted's reactor runs in the main thread."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._reactor: Any = sys.modules["twisted.internet.reactor"]
        self._ports: list[Any] = []

    def serving(self) -> bool:
        """Return whether the reactor runs and every endpoint is listened on."""
        self._ports = self._read_by("Port")
        return bool(self._reactor.running) and len(self._ports) >= len(self._server.endpoints)

    def stop_accepting(self) -> None:
        """Have the reactor look at the listeners no more."""
        self._in_reactor("stopReading")

    def close(self) -> None:
        """Close the listeners when their queues are empty."""
        door.shut([port.fileno() for port in self._ports])
        self._in_reactor("stopListening")

    def connections(self) -> int | None:
        """Return how many connections the reactor reads from; one whose request is being answered may not count."""
        return len(self._read_by("Server"))

    def keep_alive(self) -> float:
        """Return a few seconds: daphne itself keeps idle connections for ever."""
        return IDLE

    def leave(self) -> None:
        """Send SIGTERM to this process, on which the reactor stops."""
        os.kill(os.getpid(), signal.SIGTERM)

    def _read_by(self, kind: str) -> list[Any]:
        return [each for each in self._reactor.getReaders() if type(each).__name__ == kind]

    def _in_reactor(self, method: str) -> None:
        done = threading.Event()

        def act() -> None:
            for port in self._ports:
                getattr(port, method)()
            done.set()

        self._reactor.callFromThread(act)
        done.wait(listeners.PATIENCE)


def _close_loops_servers(servers: Iterable[Any]) -> None:
    held = list(servers)
    door.shut([listener.fileno() for server in held for listener in server.sockets])
    listeners.stop_accepting(held)
    for server in held:
        loop = server.get_loop()
        # Two turns later the connections that were accepted in the same turn have their transports.
        loop.call_soon_threadsafe(loop.call_soon, loop.call_soon, server.close)


def _owner(module: str, function: str) -> Any:
    """Return ``self`` of the main thread's frame of that function."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        if frame.f_code.co_name == function and frame.f_globals.get("__name__") == module:
            return frame.f_locals.get("self")
        frame = frame.f_back
    return None
