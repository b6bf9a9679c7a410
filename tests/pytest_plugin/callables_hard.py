"""The harder callables, for n = 500, clean and leaky."""

from __future__ import annotations

import collections
import itertools
import random
from collections.abc import Callable

import hold
from callables_shared import by_chance, lru, one_in
from hold import Maker, Node


def five_thousand_lru_cache() -> Callable[[], object]:
    return lru(5000)


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
    return one_in(200)


def one_in_hundred_by_chance() -> Callable[[], object]:
    return by_chance(0.01)


def one_in_two_hundred_by_chance() -> Callable[[], object]:
    return by_chance(0.005)


def one_in_ten_behind_a_cache() -> Callable[[], object]:
    cache, leak = lru(1000), one_in(10)

    def call() -> None:
        cache()
        leak()

    return call


def after_a_thousand_calls() -> Callable[[], object]:
    numbers = itertools.count(1)

    def call() -> None:
        if next(numbers) > 1000:
            hold.HOLD.rows.append(Node())

    return call


HARD_LEAKY: tuple[Maker, ...] = (
    one_in_two_hundred,
    one_in_hundred_by_chance,
    one_in_two_hundred_by_chance,
    one_in_ten_behind_a_cache,
    after_a_thousand_calls,
)
