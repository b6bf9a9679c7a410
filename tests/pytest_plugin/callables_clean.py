"""Callables that are clean: fifteen, after the published experiment behind the rate law."""

from __future__ import annotations

import collections
import itertools
import json
import random
import re
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

from callables_shared import lru
from hold import WORDS, Maker, Node


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
    return lru(128)


def thousand_lru_cache() -> Callable[[], object]:
    return lru(1000)


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
