"""Leading new connections past a worker that leaves, where every worker has a listening socket of its own.

Such sockets share their address (SO_REUSEPORT) and the kernel deals new connections out among them. What waits in the queue
of one of them is reset when it closes, so it must get no more before. Nothing but closing stops a socket from being dealt
to; but any socket of the group may say how to deal, with a few instructions of classic BPF (SO_ATTACH_REUSEPORT_CBPF since
Linux 4.5, socket(7); no privilege is needed). Ours deals at random among all but this worker's. When the socket is gone the
kernel moves the last one to its place, numbers beyond the end are dealt by the kernel's own hash, and nothing is lost if
the instructions outlive us; the next worker that leaves replaces them.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

_ATTACH_REUSEPORT_CBPF = 51  # SO_ATTACH_REUSEPORT_CBPF; the socket module has no name for it
_PROBE_WITHIN = 0.25  # seconds in which a server that lives accepts a connection on loopback

# Classic BPF (linux/filter.h): operation, jump if true, jump if false, operand.
_LOAD_RANDOM = (0x20, 0, 0, 0xFFFFF000 + 56)  # BPF_LD | BPF_W | BPF_ABS at SKF_AD_OFF + SKF_AD_RANDOM
_RETURN_A = (0x16, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Own:
    """This process's TCP sockets on the ports that it listens on: descriptors of the listeners, count of connections."""

    listeners: tuple[int, ...]
    connections: int


def own_sockets() -> Own:
    """Return what this process holds open now. Costs milliseconds: it reads the kernel's table of sockets."""
    found = _connections()
    listeners = [each for each in found if each.status == "LISTEN"]
    ports = {each.laddr.port for each in listeners}
    taken = sum(1 for each in found if each.status != "LISTEN" and each.laddr and each.laddr.port in ports)
    return Own(tuple(each.fd for each in listeners), taken)


class Connections:
    """Counts this process's connections, looking ten times a second at most."""

    def __init__(self) -> None:
        self._at = 0.0
        self._count = 0

    def count(self) -> int:
        """Return how many connections are open on the ports that this process listens on."""
        if time.monotonic() - self._at > 0.1:
            self._count = own_sockets().connections
            self._at = time.monotonic()
        return self._count


def steer_away() -> bool:
    """Have the kernel deal new connections to the other sockets of this worker's address; ``False``: it cannot be done.

    Takes some milliseconds per worker: the only way to learn our own number in the group is to try each.
    """
    done = False
    for descriptor in own_sockets().listeners:
        with socket.socket(fileno=os.dup(descriptor)) as listener:
            if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
                continue
            members = _members(listener)
            number = _own_number(listener, members) if members > 1 else None
            if number is not None:
                _attach(listener, _deal_past(number, members))
                done = True
    return done


def _own_number(listener: socket.socket, members: int) -> int | None:
    for number in range(members):
        _attach(listener, [(0x06, 0, 0, number)])  # BPF_RET | BPF_K: all to that one, for a moment
        if _comes_to_us(listener):
            return number
    _attach(listener, [(0x06, 0, 0, 0xFFFF)])  # no such member: the kernel's own hash again
    return None


def _comes_to_us(listener: socket.socket) -> bool:
    """Return whether a new connection is accepted by this process, watching both ends of it."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    with socket.create_connection((host, port), timeout=_PROBE_WITHIN) as probe:
        name = probe.getsockname()[:2]
        deadline = time.monotonic() + _PROBE_WITHIN
        while time.monotonic() < deadline:
            if any(each.raddr and tuple(each.raddr) == name for each in _connections() if each.laddr.port == port):
                return True
            if _is_accepted(name[1], port):
                # By another process; or by us in this very moment, so look once more.
                return any(each.raddr and tuple(each.raddr) == name for each in _connections())
            time.sleep(0.002)
    return False


def _is_accepted(client_port: int, port: int) -> bool:
    """Return whether the server's end of a loopback connection has an inode: it gets one when it is accepted."""
    for fields in _table():
        if fields[1].endswith(f":{port:04X}") and fields[2].endswith(f":{client_port:04X}"):
            return fields[9] != "0"
    return False


def _members(listener: socket.socket) -> int:
    port = listener.getsockname()[1]
    return sum(1 for fields in _table() if fields[3] == "0A" and fields[1].endswith(f":{port:04X}"))


def _table() -> list[list[str]]:
    rows = []
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/self/net/{name}") as table:  # noqa: PTH123
                rows += [line.split() for line in table.readlines()[1:]]
        except OSError:
            continue
    return rows


def _deal_past(number: int, members: int) -> list[tuple[int, int, int, int]]:
    """Return the instructions: a random number below ``members - 1``, one more from ``number`` on."""
    return [
        _LOAD_RANDOM,
        (0x94, 0, 0, members - 1),  # BPF_ALU | BPF_MOD | BPF_K
        (0x35, 0, 1, number),  # BPF_JMP | BPF_JGE | BPF_K: else skip one
        (0x04, 0, 0, 1),  # BPF_ALU | BPF_ADD | BPF_K
        _RETURN_A,
    ]


def _attach(listener: socket.socket, instructions: list[tuple[int, int, int, int]]) -> None:
    packed = b"".join(struct.pack("HBBI", *each) for each in instructions)
    held = ctypes.create_string_buffer(packed, len(packed))
    listener.setsockopt(
        socket.SOL_SOCKET, _ATTACH_REUSEPORT_CBPF, struct.pack("HL", len(instructions), ctypes.addressof(held))
    )


def _connections() -> list[Any]:
    import psutil

    process = psutil.Process()
    read = getattr(process, "net_connections", None) or process.connections  # the name before psutil 6
    return list(read(kind="tcp"))
