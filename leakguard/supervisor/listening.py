"""Sharing listening sockets between a process and its successor, whatever server asks for them in whatever way.

Binding is where all servers meet: a bind to an address that the supervisor keeps a socket for gets that socket, put in the
place of the fresh one (``dup2``), and what listens for the first time is handed up to be kept. So no server's command line
needs to be understood. uvloop binds in C; there the address is resolved here and the loop is given the socket.
"""

from __future__ import annotations

import functools
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

from leakguard.recycling.link import Link, current
from leakguard.supervisor.sockets import key_of

_wished: dict[int, str] = {}  # by descriptor: what a socket was bound to, until it listens
_MOST_WISHES = 256


def share(link: Link) -> None:
    """Put ourselves into ``bind`` and ``listen`` of this process's sockets."""
    pid = os.getpid()
    bind, listen = socket.socket.bind, socket.socket.listen

    def shared_bind(self: socket.socket, address: Any, /) -> None:
        if os.getpid() != pid or not _is_shared(self, address):
            bind(self, address)
            return
        key = key_of(self, address)
        kept = link.kept.get(key) or _same_port(link, address)
        if kept is None:
            bind(self, address)
        else:
            os.dup2(kept.fileno(), self.fileno(), inheritable=False)
        if len(_wished) < _MOST_WISHES:
            _wished[self.fileno()] = key

    def shared_listen(self: socket.socket, *backlog: int) -> None:
        listen(self, *backlog)
        if os.getpid() == pid and self.type == socket.SOCK_STREAM:
            note(link, self)

    socket.socket.bind = shared_bind  # type: ignore[method-assign, assignment]
    socket.socket.listen = shared_listen  # type: ignore[method-assign, assignment]


def note(link: Link, listener: socket.socket) -> None:
    """Tell the link that this socket listens."""
    key = _wished.pop(listener.fileno(), None)
    if key is None and listener.family in {socket.AF_INET, socket.AF_INET6} and not link.given:
        # Bound before we came, or to a port of the system's choice: nothing that a successor could ask for.
        link.unshared = link.unshared or not link.listening
        return
    link.keep(listener, key)


def _is_shared(listener: socket.socket, address: Any) -> bool:
    """Return whether a successor would ask for the same: a stream socket on a port that has a number."""
    if listener.type != socket.SOCK_STREAM or listener.family not in {socket.AF_INET, socket.AF_INET6}:
        return False
    return isinstance(address, tuple) and len(address) >= 2 and bool(address[1])


def _same_port(link: Link, address: Any) -> socket.socket | None:
    """Return the socket that systemd passed for this port, whatever host its unit and the command line name."""
    if link.given:
        for kept in link.kept.values():
            if kept.family != socket.AF_UNIX and kept.getsockname()[1] == address[1]:
                return kept
    return None


# ------------------------------------------------------------------------------------------------- per server


def _uvloop(module: Any) -> None:
    original = module.Loop.create_server

    @functools.wraps(original)
    async def create_server(
        self: Any, factory: Any, host: Any = None, port: Any = None, *arguments: Any, **more: Any
    ) -> Any:
        link = current()
        if link is not None and more.get("sock") is None and isinstance(host, str) and host and port:
            found = await self.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            if len(found) == 1:
                family, kind, proto, _, address = found[0]
                listener = socket.socket(family, kind, proto)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    listener.bind(address)
                except OSError:
                    listener.close()
                    raise
                more["sock"], host, port = listener, None, None
        server = await original(self, factory, host, port, *arguments, **more)
        if link is not None:
            for each in server.sockets:
                note(link, each)
        return server

    unix = module.Loop.create_unix_server

    @functools.wraps(unix)
    async def create_unix_server(self: Any, *arguments: Any, **more: Any) -> Any:
        server = await unix(self, *arguments, **more)
        link = current()
        if link is not None:
            for each in server.sockets:
                note(link, each)
        return server

    module.Loop.create_server = create_server
    module.Loop.create_unix_server = create_unix_server


def _hypercorn(module: Any) -> None:
    original = module.run

    @functools.wraps(original)
    def run(config: Any) -> Any:
        # One worker under a parent would leave a gap at every recycle; alone it is succeeded without one.
        if config.workers == 1 and not config.use_reloader and config.worker_class in {"asyncio", "uvloop"}:
            config.workers = 0
        return original(config)

    module.run = run


def _waitress(module: Any) -> None:
    original = module.create_server

    @functools.wraps(original)
    def create_server(*arguments: Any, **more: Any) -> Any:
        # waitress leaves SIGTERM to the system, which ends it at once, whatever is in flight.
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _interrupt)
        return original(*arguments, **more)

    module.create_server = create_server


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


PATCHES: dict[str, Callable[[Any], None]] = {
    "uvloop": _uvloop,
    "hypercorn.run": _hypercorn,
    "waitress.server": _waitress,
}
