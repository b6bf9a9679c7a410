"""Where the callables under test keep what they leak, and the objects that they are about."""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
import string
import threading
from collections.abc import Callable

Maker = Callable[[], Callable[[], object]]


class Hold:
    """Where leaks are kept: one attribute per leak, made anew by ``reset``."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.rows: list[object] = []
        self.table: dict[object, object] = {}
        self.listeners: list[Callable[[], object]] = []
        self.errors: list[BaseException] = []
        self.buffers: list[object] = []
        self.stop = threading.Event()
        self.pipes: list[int] = []
        self.numbers = array.array("i")
        self.tasks: set[asyncio.Task[object]] = set()

    def close(self) -> None:
        """Give the descriptors back."""
        for descriptor in (*self.pipes, *self.numbers):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        for row in self.rows:
            if isinstance(row, socket.socket):
                row.close()


HOLD = Hold()
WORDS = [word * 3 for word in string.ascii_lowercase]


class Node:
    """An ordinary object of the application."""

    def __init__(self, payload: object = None) -> None:
        self.payload = payload
        self.other: object = None


class Slotted:
    """An object without a dictionary: its line is known on every Python."""

    __slots__ = ("payload",)
