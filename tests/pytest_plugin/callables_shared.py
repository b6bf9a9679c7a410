"""What several callables under test are made of."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable

import hold
from hold import Node


def lru(size: int) -> Callable[[], object]:
    numbers = itertools.count()

    @functools.lru_cache(maxsize=size)
    def look_up(key: int) -> Node:
        return Node(key)

    return lambda: look_up(next(numbers) * 1000)


def one_in(period: int) -> Callable[[], object]:
    numbers = itertools.count(1)

    def call() -> None:
        if next(numbers) % period == 0:
            hold.HOLD.rows.append(Node())

    return call


def by_chance(share: float) -> Callable[[], object]:
    rng = random.Random(
        7
    )  # by chance, but the same chance in every run: at 1 in 200 and n = 500 one run in 100 escapes

    def call() -> None:
        if rng.random() < share:
            hold.HOLD.rows.append(Node())

    return call
