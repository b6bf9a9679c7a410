"""Callables that leak Python objects: ten, after the published experiment behind the rate law."""

from __future__ import annotations

import itertools
import typing
from collections.abc import Callable

import hold
from callables_shared import by_chance, lru, one_in
from hold import Maker, Node


def appended_row() -> Callable[[], object]:
    return lambda: hold.HOLD.rows.append(Node())


def bytes_row() -> Callable[[], object]:
    return lambda: hold.HOLD.buffers.append(bytearray(4000))


def keyed_entry() -> Callable[[], object]:
    numbers = itertools.count()

    def call() -> None:
        hold.HOLD.table[f"player-{next(numbers)}"] = {"seen": 1, "kind": "telemetry"}

    return call


def listener() -> Callable[[], object]:
    def call() -> None:
        node = Node()
        hold.HOLD.listeners.append(lambda: node)

    return call


def kept_exception() -> Callable[[], object]:
    def call() -> None:
        try:
            {}["missing"]
        except KeyError as error:
            hold.HOLD.errors.append(error)

    return call


def endless_cache() -> Callable[[], object]:
    return lru(typing.cast("int", None))


def one_in_ten() -> Callable[[], object]:
    return one_in(10)


def one_in_fifty() -> Callable[[], object]:
    return one_in(50)


def one_in_twenty_by_chance() -> Callable[[], object]:
    return by_chance(0.05)


def reference_chain() -> Callable[[], object]:
    """A linked list: no container grows, each node holds the next."""
    hold.HOLD.rows.append(Node())

    def call() -> None:
        node = Node()
        node.other = hold.HOLD.rows[0]
        hold.HOLD.rows[0] = node

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
