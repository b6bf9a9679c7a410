"""Callables that are clean and callables that leak, as makers: each makes a fresh one with a state of its own.

The first two tables follow the published experiment behind the rate law (15 clean, 10 leaky), the harder ones its second
round. What a maker plants lives in ``HOLD``, a module attribute, so that a holder has a name.
"""

from __future__ import annotations

import array
import asyncio
import collections
import contextlib
import contextvars
import ctypes
import functools
import itertools
import json
import logging
import os
import random
import re
import socket
import string
import threading
import typing
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path

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


# -- clean ------------------------------------------------------------------------------------------------------------


def nothing() -> Callable[[], object]:
    return lambda: None


def parse_json() -> Callable[[], object]:
    text = json.dumps({"players": [{"id": i, "name": word} for i, word in enumerate(WORDS)]})
    return lambda: json.loads(text)


def cycles() -> Callable[[], object]:
    def call() -> None:
        one, two = Node(), Node()
        one.other, two.other = two, one

    return call


def handled_exception() -> Callable[[], object]:
    def call() -> None:
        try:
            int("nine")
        except ValueError as error:
            error.add_note("handled")

    return call


def small_lru_cache() -> Callable[[], object]:
    return _lru(128)


def thousand_lru_cache() -> Callable[[], object]:
    return _lru(1000)


def _lru(size: int) -> Callable[[], object]:
    numbers = itertools.count()

    @functools.lru_cache(maxsize=size)
    def look_up(key: int) -> Node:
        return Node(key)

    return lambda: look_up(next(numbers) * 1000)


def ring_buffer() -> Callable[[], object]:
    ring: collections.deque[object] = collections.deque(maxlen=300)
    return lambda: ring.append(Node(bytearray(50)))


def weak_registry() -> Callable[[], object]:
    registry: weakref.WeakValueDictionary[int, Node] = weakref.WeakValueDictionary()
    numbers = itertools.count()

    def call() -> None:
        node = Node()
        registry[next(numbers)] = node

    return call


def patterns() -> Callable[[], object]:
    numbers = itertools.count()
    return lambda: re.match(f"(a+){{{next(numbers) % 400}}}b?", "aaa")


def purged_store() -> Callable[[], object]:
    store: dict[int, Node] = {}
    numbers = itertools.count()

    def call() -> None:
        number = next(numbers)
        store[number] = Node()
        if number % 70 == 0:
            store.clear()

    return call


def lazy_import() -> Callable[[], object]:
    def call() -> object:
        import colorsys

        return colorsys.rgb_to_hsv(0.1, 0.2, 0.3)

    return call


def short_thread() -> Callable[[], object]:
    def call() -> None:
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()

    return call


def file_read_and_closed() -> Callable[[], object]:
    def call() -> bytes:
        with Path(__file__).open("rb") as file:
            return file.read(5000)

    return call


def growing_to_a_pool() -> Callable[[], object]:
    pool: list[Node] = []
    rng = random.Random(1)

    def call() -> None:
        taken = [pool.pop() if pool else Node(bytearray(200)) for _ in range(rng.randint(1, 20))]
        pool.extend(taken)

    return call


def large_buffers() -> Callable[[], object]:
    def call() -> None:
        parts = [bytearray(size) for size in (100, 10_000, 300_000)]
        b"".join(parts).decode("latin-1").upper()

    return call


CLEAN: tuple[Maker, ...] = (
    nothing,
    parse_json,
    cycles,
    handled_exception,
    small_lru_cache,
    thousand_lru_cache,
    ring_buffer,
    weak_registry,
    patterns,
    purged_store,
    lazy_import,
    short_thread,
    file_read_and_closed,
    growing_to_a_pool,
    large_buffers,
)


# -- clean, but the way a test runner or the loop works makes them look otherwise ---------------------------------------


def talks() -> Callable[[], object]:
    """Prints and logs, which a test runner keeps for its report."""
    log = logging.getLogger("talks")
    numbers = itertools.count()

    def call() -> None:
        number = next(numbers)
        print("said", number)
        log.warning("logged %d", number)

    return call


def warns() -> Callable[[], object]:
    """Warns, always of the same; a test runner keeps every warning."""
    return lambda: warnings.warn("warned", UserWarning, stacklevel=1)


def async_gather() -> Callable[[], object]:
    async def call() -> None:
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))

    return call


def async_timeout() -> Callable[[], object]:
    async def call() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.sleep(1)

    return call


def async_late_end() -> Callable[[], object]:
    """Leaves a task behind that ends by itself a little later."""

    async def call() -> None:
        asyncio.get_running_loop().create_task(asyncio.sleep(0.2))

    return call


def late_thread() -> Callable[[], object]:
    """Leaves a thread behind that ends by itself; a pool of timers, a logger's flusher."""

    def call() -> None:
        threading.Timer(0.05, lambda: None).start()

    return call


def context_variable() -> Callable[[], object]:
    variable: contextvars.ContextVar[object] = contextvars.ContextVar("variable")

    def call() -> None:
        contextvars.copy_context().run(variable.set, Node())

    return call


CLEAN_BUT: tuple[Maker, ...] = (talks, async_gather, async_timeout, async_late_end, late_thread, context_variable)


# -- leaky ------------------------------------------------------------------------------------------------------------


def appended_row() -> Callable[[], object]:
    return lambda: HOLD.rows.append(Node())


def bytes_row() -> Callable[[], object]:
    return lambda: HOLD.buffers.append(bytearray(4000))


def keyed_entry() -> Callable[[], object]:
    numbers = itertools.count()

    def call() -> None:
        HOLD.table[f"player-{next(numbers)}"] = {"seen": 1, "kind": "telemetry"}

    return call


def listener() -> Callable[[], object]:
    def call() -> None:
        node = Node()
        HOLD.listeners.append(lambda: node)

    return call


def kept_exception() -> Callable[[], object]:
    def call() -> None:
        try:
            {}["missing"]
        except KeyError as error:
            HOLD.errors.append(error)

    return call


def endless_cache() -> Callable[[], object]:
    return _lru(typing.cast("int", None))


def one_in_ten() -> Callable[[], object]:
    return _one_in(10)


def one_in_fifty() -> Callable[[], object]:
    return _one_in(50)


def _one_in(period: int) -> Callable[[], object]:
    numbers = itertools.count(1)

    def call() -> None:
        if next(numbers) % period == 0:
            HOLD.rows.append(Node())

    return call


def one_in_twenty_by_chance() -> Callable[[], object]:
    return _by_chance(0.05)


def _by_chance(share: float) -> Callable[[], object]:
    rng = random.Random(
        7
    )  # by chance, but the same chance in every run: at 1 in 200 and n = 500 one run in 100 escapes

    def call() -> None:
        if rng.random() < share:
            HOLD.rows.append(Node())

    return call


def reference_chain() -> Callable[[], object]:
    """A linked list: no container grows, each node holds the next."""
    HOLD.rows.append(Node())

    def call() -> None:
        node = Node()
        node.other = HOLD.rows[0]
        HOLD.rows[0] = node

    return call


LEAKY: tuple[Maker, ...] = (
    appended_row,
    bytes_row,
    keyed_entry,
    listener,
    kept_exception,
    endless_cache,
    one_in_ten,
    one_in_fifty,
    one_in_twenty_by_chance,
    reference_chain,
)


# -- leaky beside Python's objects --------------------------------------------------------------------------------------

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
    stop = HOLD.stop

    def wait_for_ever() -> None:
        stop.wait()

    def call() -> None:
        threading.Thread(target=wait_for_ever, daemon=True).start()

    return call


def raw_descriptor() -> Callable[[], object]:
    return lambda: HOLD.pipes.append(os.dup(0))


def forgotten_descriptor() -> Callable[[], object]:
    """A descriptor whose number is in no container."""
    return lambda: HOLD.numbers.append(os.dup(0))


def socket_row() -> Callable[[], object]:
    return lambda: HOLD.rows.append(socket.socket())


def async_row() -> Callable[[], object]:
    async def call() -> None:
        await asyncio.sleep(0)
        HOLD.rows.append(Slotted())

    return call


def endless_task() -> Callable[[], object]:
    async def wait_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    async def call() -> None:
        HOLD.tasks.add(asyncio.get_running_loop().create_task(wait_for_ever()))

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


# -- harder, for n = 500 ------------------------------------------------------------------------------------------------


def five_thousand_lru_cache() -> Callable[[], object]:
    return _lru(5000)


def two_thousand_random_keys() -> Callable[[], object]:
    store: dict[int, Node] = {}
    rng = random.Random(7)

    def call() -> None:
        key = rng.randrange(2000)
        if key not in store:
            store[key] = Node()

    return call


def ring_of_three_thousand() -> Callable[[], object]:
    ring: collections.deque[object] = collections.deque(maxlen=3000)
    return lambda: ring.append(Node())


def zipf_keys_purged() -> Callable[[], object]:
    store: dict[int, Node] = {}
    rng = random.Random(7)
    numbers = itertools.count(1)

    def call() -> None:
        if next(numbers) % 500 == 0:
            store.clear()
        key = int(rng.paretovariate(1.0))
        if key not in store:
            store[key] = Node()

    return call


HARD_CLEAN: tuple[Maker, ...] = (
    five_thousand_lru_cache,
    two_thousand_random_keys,
    ring_of_three_thousand,
    zipf_keys_purged,
)


def one_in_two_hundred() -> Callable[[], object]:
    return _one_in(200)


def one_in_hundred_by_chance() -> Callable[[], object]:
    return _by_chance(0.01)


def one_in_two_hundred_by_chance() -> Callable[[], object]:
    return _by_chance(0.005)


def one_in_ten_behind_a_cache() -> Callable[[], object]:
    cache, leak = _lru(1000), _one_in(10)

    def call() -> None:
        cache()
        leak()

    return call


def after_a_thousand_calls() -> Callable[[], object]:
    numbers = itertools.count(1)

    def call() -> None:
        if next(numbers) > 1000:
            HOLD.rows.append(Node())

    return call


HARD_LEAKY: tuple[Maker, ...] = (
    one_in_two_hundred,
    one_in_hundred_by_chance,
    one_in_two_hundred_by_chance,
    one_in_ten_behind_a_cache,
    after_a_thousand_calls,
)
