"""The link between a served process and the supervisor that started it (``leakguard run``): the process's half.

One message is one JSON object in one packet of a Unix socket pair; listening sockets travel beside it. What a process
listens on before it serves is kept by the supervisor, so that its successor gets the very same socket: two sockets on one
port (``SO_REUSEPORT``) would each lose their own queue when they close.

The process says ``hello``, ``keep`` (a listening socket), ``ready``, ``call`` (start my successor), ``dismiss`` (the
successor takes too long), ``leaving`` and ``stopped``; the supervisor says ``sockets`` (in answer to hello), ``serves`` and
``lost`` (of the successor), ``retire``, ``replace`` and ``closed`` (in answer to stopped).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

VARIABLE = "_LEAKGUARD_LINK"  # not LEAKGUARD_*: those are options
LARGEST = 65536
MOST_SOCKETS = 16
PATIENCE = 2.0  # seconds for an answer of a supervisor that has nothing else to do

_current: Link | None = None


def current() -> Link | None:
    """Return this process's link; ``None`` without a supervisor, and in children that this process forked."""
    return _current


def address(process_end: socket.socket) -> str:
    """Return what the variable tells the process: the descriptor, what it must be to be ours, and the supervisor's pid."""
    return f"{process_end.fileno()}:{os.fstat(process_end.fileno()).st_ino}:{os.getpid()}"


def open_link(environment: Mapping[str, str] = os.environ) -> Link | None:
    """Open the link named by the environment and make it current; ``None`` where there is none.

    A program in between may have closed the descriptor and another may have its number: it must be the very socket.
    """
    global _current
    try:
        number, inode, supervisor = (int(word) for word in environment.get(VARIABLE, "").split(":"))
        found = os.fstat(number)
    except (ValueError, OSError):
        return None
    if not stat.S_ISSOCK(found.st_mode) or found.st_ino != inode:
        return None
    _current = Link(socket.socket(fileno=number), supervisor)
    return _current


class Link:
    """What this process knows of its supervisor and says to it. No method raises on a supervisor that is gone.

    Attributes:
        supervisor: its process id; the same for all generations, so what they share is kept under it.
        kept: the sockets that came from the supervisor, by what was asked for when they were bound; until this process is
            ready.
        given: the sockets are somebody else's (systemd's): their queue outlives the supervisor.
        listening: this process listens.
        unshared: it listens on something that a successor could not ask for: a port of the system's choice.
        bound_anew: on a Unix socket, which servers unlink and bind anew: its queue ends with this process.
        retiring: told to leave for good; nobody succeeds.
        successor: ``None`` while nothing was heard of it, ``"serves"``, or why it was lost.
    """

    def __init__(self, channel: socket.socket, supervisor: int) -> None:
        self.supervisor = supervisor
        self.kept: dict[str, socket.socket] = {}
        self.given = False
        self.listening = False
        self.unshared = False
        self.bound_anew = False
        self.retiring = False
        self.successor: str | None = None
        self.born = time.monotonic()
        self.boot: float | None = None
        self._channel = channel
        self._handed: set[str] = set()
        self._claimed = False
        self._closed = threading.Event()
        self._orders: Callable[[str, str], None] | None = None
        self._early: list[tuple[str, str]] = []
        self._listeners: list[Callable[[], None]] = []

    def hello(self) -> None:
        """Introduce this process and take over what the supervisor keeps."""
        self._say("hello", pid=os.getpid())
        self._channel.settimeout(PATIENCE)
        try:
            data, descriptors, _, _ = socket.recv_fds(self._channel, LARGEST, MOST_SOCKETS)
            answer = json.loads(data)
        except (OSError, ValueError):
            return
        finally:
            self._channel.settimeout(None)
        self.given = bool(answer.get("given"))
        for key, descriptor in zip(answer.get("keys", ()), descriptors, strict=False):
            os.set_inheritable(descriptor, False)
            self.kept[key] = socket.socket(fileno=descriptor)

    def keep(self, listener: socket.socket, key: str | None) -> None:
        """Say that this process listens, and have the supervisor keep the socket unless it is from there."""
        if self.boot is not None:  # what listens later is not the server's
            return
        self.bound_anew = self.bound_anew or (listener.family == socket.AF_UNIX and not self.given)
        if key is not None and key not in self.kept and len(self._handed) < MOST_SOCKETS:
            self._handed.add(key)
            with contextlib.suppress(OSError):
                socket.send_fds(self._channel, [_packed("keep", key=key)], [listener.fileno()])
        self._claim()
        self.listening = True
        for call in self._listeners:
            call()

    def on_listening(self, call: Callable[[], None]) -> None:
        """Have ``call`` called when this process listens."""
        self._listeners.append(call)

    def ready(self) -> None:
        """Say that this process serves; only the first time counts."""
        if self.boot is None:
            self.boot = time.monotonic() - self.born
            self._claim()
            self._say("ready")
            # A second descriptor of the server's socket would keep the door open when the server closes it.
            for listener in self.kept.values():
                listener.close()
            self.kept.clear()

    def obey(self, orders: Callable[[str, str], None]) -> None:
        """Have ``orders`` called with ``retire`` or ``replace`` and the reason, in the link's thread."""
        self._orders = orders
        for early in self._early:
            orders(*early)
        self._early.clear()

    def order(self, word: str, why: str) -> None:
        """Take an order that did not come over the link: a SIGTERM sent to this process directly."""
        self._take(word, why)

    def call_successor(self) -> None:
        """Have the supervisor start the successor."""
        self.successor = None
        self._say("call")

    def dismiss_successor(self) -> None:
        """Have the supervisor end a successor that takes too long."""
        self._say("dismiss")

    def leave(self) -> None:
        """Say that this process ends now, on purpose; unless it retires, another is to follow."""
        self._say("leaving")

    def stop(self) -> None:
        """Have the supervisor let go of the sockets, because nobody succeeds, and wait until it has."""
        self._say("stopped")
        self._closed.wait(PATIENCE)

    def _claim(self) -> None:
        # From here on this is the served process: what it starts has no part in the link.
        if self._claimed:
            return
        self._claimed = True
        os.environ.pop(VARIABLE, None)
        self._channel.set_inheritable(False)
        threading.Thread(target=self._hear, name="leakguard-link", daemon=True).start()

    def _hear(self) -> None:
        while True:
            try:
                data = self._channel.recv(LARGEST)
                message = json.loads(data) if data else None
            except (OSError, ValueError):
                message = None
            if message is None:
                self._take("retire", "the supervisor is gone")
                return
            self._take(str(message.get("do")), str(message.get("why", "")))

    def _take(self, word: str, why: str) -> None:
        if word == "serves":
            self.successor = "serves"
        elif word == "lost":
            self.successor = why
        elif word == "closed":
            self._closed.set()
        elif word in {"retire", "replace"}:
            self.retiring = self.retiring or word == "retire"
            if self._orders is None:
                self._early.append((word, why))
            else:
                self._orders(word, why)

    def _say(self, word: str, **more: Any) -> None:
        with contextlib.suppress(OSError):
            self._channel.send(_packed(word, **more))


def _packed(word: str, **more: Any) -> bytes:
    return json.dumps({"do": word, **more}).encode()


def send(channel: socket.socket, word: str, sockets: Iterable[socket.socket] = (), **more: Any) -> bool:
    """Send one message from the supervisor's end; return whether somebody still holds the other."""
    descriptors = [each.fileno() for each in sockets]
    try:
        if descriptors:
            socket.send_fds(channel, [_packed(word, **more)], descriptors)
        else:
            channel.send(_packed(word, **more))
    except OSError:
        return False
    return True


def _after_fork_in_child() -> None:
    # A forked child is not the served process. Its copy of the channel would hide this process's end.
    global _current
    link, _current = _current, None
    if link is not None and link._claimed:
        with contextlib.suppress(OSError):
            os.close(link._channel.detach())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
