"""The listening sockets that the supervisor keeps: from systemd or its like, and from the process that listens first."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping

from leakguard.recycling.link import MOST_SOCKETS

FIRST = 3  # sd_listen_fds(3): passed descriptors begin here
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class Kept:
    """Sockets by what was asked for when they were bound.

    Attributes:
        given: they are from whoever started us and stay open without us.
    """

    def __init__(self, sockets: dict[str, socket.socket] | None = None) -> None:
        self._sockets = dict(sockets or {})
        self.given = bool(sockets)

    @classmethod
    def passed(cls, environment: MutableMapping[str, str]) -> Kept:
        """Take the sockets that systemd passed to this process (sd_listen_fds), and its words out of the environment.

        The descriptors keep their numbers in the processes to come: ``uvicorn --fd 3`` works, too.
        """
        pid, count = environment.get("LISTEN_PID", ""), environment.get("LISTEN_FDS", "")
        if pid != str(os.getpid()) or not count.isdigit():
            return cls()
        for name in _VARIABLES:
            environment.pop(name, None)
        found = {}
        for number in range(FIRST, FIRST + min(int(count), MOST_SOCKETS)):
            with contextlib.suppress(OSError):
                os.set_inheritable(number, True)
                each = socket.socket(fileno=number)
                if each.type == socket.SOCK_STREAM:
                    found[key_of(each, each.getsockname())] = each
        return cls(found)

    @property
    def keys(self) -> list[str]:
        """What was asked for, in the order of ``sockets``."""
        return list(self._sockets)

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets."""
        return list(self._sockets.values())

    def add(self, key: str, listener: socket.socket) -> None:
        """Keep one more; one that is there already is closed again."""
        if key in self._sockets or len(self._sockets) >= MOST_SOCKETS:
            listener.close()
        else:
            self._sockets[key] = listener

    def close(self) -> None:
        """Let go of all: nobody will listen any more."""
        for listener in self._sockets.values():
            listener.close()
        self._sockets.clear()


def key_of(listener: socket.socket, address: object) -> str:
    """Return under which key a socket bound to ``address`` is kept; the same words for the same wish."""
    return f"{int(listener.family)} {address!r}"
