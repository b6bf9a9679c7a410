"""GC debt: what calls leave to the collector, and from where on it is worth a finding."""

from __future__ import annotations

from collections.abc import Callable

from leakguard.testing import debt
from leakguard.testing.caller import Caller, drive


def owed(function: Callable[[], object]) -> debt.Debt | None:
    async def look(caller: Caller) -> debt.Debt | None:
        return await debt.owe(caller)

    return drive(function, look)


def knotted() -> None:
    """Makes a dozen functions that know each other: a serialiser written as closures."""

    def one() -> object:
        return two, three, four, five

    def two() -> object:
        return one, three, six

    def three() -> object:
        return one, two, four, five, six

    def four() -> object:
        return one, five

    def five() -> object:
        return two, six

    def six() -> object:
        return one, seven

    def seven() -> object:
        return one, two


class Node:
    def __init__(self) -> None:
        self.me = self


def test_knot_of_closures_is_heavy() -> None:
    """Functions that keep each other alive are told with the cycle and the line that makes them."""
    found = owed(knotted)
    assert found is not None
    assert found.closures
    assert found.heavy(collected=True)
    assert found.site is not None
    assert found.site.function.startswith("knotted")
    assert found.cycle[0] == found.cycle[-1]


def test_plain_cycle_is_no_finding_while_the_collector_runs() -> None:
    """An object that knows itself is collected in passing."""
    found = owed(lambda: Node() and None)
    assert found is not None
    assert 1 <= found.per_call <= 3
    assert not found.heavy(collected=True)


def test_nothing_left_is_no_debt() -> None:
    """A callable without cycles owes nothing."""
    found = owed(lambda: [1, 2, 3] and None)
    assert found is None or found.per_call < 1
