"""Closing a listening socket for good without resetting those who wait in its queue.

Whoever is in the queue when a listening socket closes is reset, and between the last look at the queue and the closing
somebody may always come. So the kernel first drops what knocks: a socket filter (SO_ATTACH_FILTER, socket(7); no privilege is
needed) of one instruction that keeps nothing. Then the queue can only become shorter, and when it is empty the door is
closed. A client that knocked meanwhile knocks again after a second, by TCP's own rules, and is refused.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import time

_ATTACH_FILTER = 26  # SO_ATTACH_FILTER; the socket module has no name for it
_KEEP_NOTHING = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF_RET | BPF_K, linux/filter.h
_WAITING = 24  # where tcp_info of a listening socket says how many wait in its queue (tcpi_unacked)
_PATIENCE = 2.0  # seconds for a server that does not accept any more; what waits then is lost
_LOOK = 0.005


def shut(descriptors: list[int]) -> None:
    """Have the kernel drop new connections to these listening sockets, and wait until their queues are taken.

    The server must go on accepting meanwhile. Where the system has no such filter, a little time has to do.
    """
    held = [socket.socket(fileno=os.dup(descriptor)) for descriptor in descriptors]
    try:
        for listener in held:
            with contextlib.suppress(OSError):
                _drop_all(listener)
        end = time.monotonic() + _PATIENCE
        time.sleep(_LOOK)
        while any(_waiting(listener) for listener in held) and time.monotonic() < end:
            time.sleep(_LOOK)
        time.sleep(_LOOK)  # the last one was taken: its transport is made in the loop's next turns
    finally:
        for listener in held:
            listener.close()


def _drop_all(listener: socket.socket) -> None:
    code = ctypes.create_string_buffer(_KEEP_NOTHING, len(_KEEP_NOTHING))
    listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(code)))


def _waiting(listener: socket.socket) -> int:
    try:
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    except (OSError, AttributeError):  # a Unix socket, or another system
        return 0
    return int(struct.unpack_from("I", info, _WAITING)[0])
