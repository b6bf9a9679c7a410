"""One process that the supervisor started, with the supervisor's end of its link."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from leakguard.recycling import link

# What Python ignores and no program it starts should: as subprocess does.
_RESTORED = [signal.SIGPIPE, signal.SIGXFSZ]


class Process:
    """Started by its constructor.

    Args:
        command: its words; the first is looked up on the PATH.
        environment: what it gets, without the link.
        mask: the signals that it has blocked.

    Raises:
        OSError: when it cannot be started.

    Attributes:
        pid: its process id.
        listening: it handed up a socket.
        ready: it said that it serves.
        leaving: it said that it ends on purpose.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], mask: Iterable[int]) -> None:
        self.listening = False
        self.ready = False
        self.leaving = False
        self.started = time.monotonic()
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            theirs.set_inheritable(True)
            told = {**environment, link.VARIABLE: link.address(theirs)}
            try:
                self.pid = os.posix_spawnp(command[0], list(command), told, setsigmask=mask, setsigdef=_RESTORED)
            except OSError:
                self.channel.close()
                raise
        self.channel.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that is readable when the process said something."""
        return self.channel.fileno()

    def hear(self) -> tuple[dict[str, Any], list[int]] | None:
        """Return the next message with the descriptors that came along; ``None``: nobody holds the other end any more."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.channel, link.LARGEST, link.MOST_SOCKETS)
        except BlockingIOError:
            return {}, []
        except OSError:
            return None
        if not data:
            return None
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        try:
            message = json.loads(data)
        except ValueError:
            message = {}
        return (message if isinstance(message, dict) else {}), descriptors

    def tell(self, word: str, sockets: Iterable[socket.socket] = (), **more: Any) -> bool:
        """Say something; return whether anybody is there to hear it."""
        return link.send(self.channel, word, sockets, **more)

    def signal(self, number: int) -> None:
        """Send a signal; a process that ended but was not reaped yet takes it without harm."""
        os.kill(self.pid, number)
