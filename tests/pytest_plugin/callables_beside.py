"""Callables that leak beside Python's objects: C heap, threads, descriptors, tasks."""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import threading
from collections.abc import Callable

import hold
from hold import Maker, Node, Slotted

_malloc = ctypes.CDLL(None).malloc
_malloc.restype, _malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]


def c_heap() -> Callable[[], object]:
    def call() -> None:
        _malloc(200)  # and nobody frees it

    return call


def small_c_heap() -> Callable[[], object]:
    def call() -> None:
        _malloc(16)

    return call


def lost_reference() -> Callable[[], object]:
    """A C extension that forgot a decref: an object that nobody in Python refers to."""
    forget = ctypes.pythonapi.Py_IncRef
    forget.argtypes = [ctypes.py_object]
    return lambda: forget(Node())


def thread_per_call() -> Callable[[], object]:
    stop = hold.HOLD.stop

    def wait_for_ever() -> None:
        stop.wait()

    def call() -> None:
        threading.Thread(target=wait_for_ever, daemon=True).start()

    return call


def raw_descriptor() -> Callable[[], object]:
    return lambda: hold.HOLD.pipes.append(os.dup(0))


def forgotten_descriptor() -> Callable[[], object]:
    """A descriptor whose number is in no container."""
    return lambda: hold.HOLD.numbers.append(os.dup(0))


def socket_row() -> Callable[[], object]:
    return lambda: hold.HOLD.rows.append(socket.socket())


def async_row() -> Callable[[], object]:
    async def call() -> None:
        await asyncio.sleep(0)
        hold.HOLD.rows.append(Slotted())

    return call


def endless_task() -> Callable[[], object]:
    async def wait_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    async def call() -> None:
        hold.HOLD.tasks.add(asyncio.get_running_loop().create_task(wait_for_ever()))

    return call


LEAKY_BESIDE: tuple[Maker, ...] = (
    c_heap,
    small_c_heap,
    lost_reference,
    thread_per_call,
    raw_descriptor,
    socket_row,
    async_row,
    endless_task,
)
