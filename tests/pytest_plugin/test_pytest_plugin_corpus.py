"""The rate law on real callables: every leak found, no clean one accused. n is 100, or 500 for the harder set."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import callables
import pytest
from callables import Maker

from leakguard.testing import quiet
from leakguard.testing.caller import Caller, drive
from leakguard.testing.measuring import Measurement, measure


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """Each test plants its own leak and digs it up again."""
    callables.HOLD.reset()
    yield
    callables.HOLD.stop.set()
    callables.HOLD.close()
    callables.HOLD.reset()


def measured(maker: Maker, n: int = 100) -> Measurement:
    async def quietly(caller: Caller) -> Measurement:
        with quiet.silence(), quiet.roomy():
            return await measure(caller, n)

    return drive(maker(), quietly)


@pytest.mark.parametrize("maker", callables.CLEAN, ids=lambda maker: maker.__name__)
def test_clean_callable_passes(maker: Maker) -> None:
    """None of the fifteen clean callables is accused at the default n."""
    assert measured(maker).leaks == ()


@pytest.mark.parametrize("maker", callables.CLEAN_BUT, ids=lambda maker: maker.__name__)
def test_callable_that_only_looks_leaky_passes(maker: Maker) -> None:
    """What the test runner keeps of it, or what ends a little later, is not the callable's leak."""
    assert measured(maker).leaks == ()


@pytest.mark.parametrize("maker", callables.LEAKY, ids=lambda maker: maker.__name__)
def test_leaky_callable_is_found(maker: Maker) -> None:
    """Each of the ten leaky callables is found at the default n, by its blocks."""
    assert "blocks" in measured(maker).leaks


@pytest.mark.parametrize(
    ("maker", "quantity"),
    [
        (callables.c_heap, "heap"),
        (callables.small_c_heap, "heap"),
        (callables.bytes_row, "heap"),
        (callables.lost_reference, "blocks"),
        (callables.thread_per_call, "threads"),
        (callables.raw_descriptor, "fds"),
        (callables.forgotten_descriptor, "fds"),
        (callables.socket_row, "fds"),
        (callables.async_row, "blocks"),
        (callables.endless_task, "tasks"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_leak_beside_python_objects_is_found(maker: Maker, quantity: str) -> None:
    """C heap, lost references, threads, descriptors and tasks are found by the quantity that they are."""
    measurement = measured(maker)
    assert quantity in measurement.leaks
    if quantity in {"threads", "fds", "tasks"}:
        assert measurement.attempts[quantity].per_call == 1.0


@pytest.mark.parametrize("maker", callables.HARD_CLEAN, ids=lambda maker: maker.__name__)
def test_hard_clean_callable_passes_at_500(maker: Maker) -> None:
    """Caches and rings of up to 5 000 entries, random and Zipf keys, purges: none is accused at n = 500."""
    assert measured(maker, 500).leaks == ()


@pytest.mark.parametrize("maker", callables.HARD_LEAKY, ids=lambda maker: maker.__name__)
def test_hard_leaky_callable_is_found_at_500(maker: Maker) -> None:
    """One in 200, 0.5 % by chance, behind a filling cache, only after 1 000 calls: each is found at n = 500."""
    assert "blocks" in measured(maker, 500).leaks


def test_leak_is_found_while_an_earlier_test_fades_away() -> None:
    """Threads that an earlier test left behind end first: what they give back does not hide a leak."""
    for number in range(200):
        threading.Timer(number / 500, lambda: None).start()
    assert "blocks" in measured(callables.appended_row).leaks
    assert threading.active_count() < 100


def test_leak_is_found_in_a_large_heap_too() -> None:
    """A session with a million objects of its own changes neither verdict."""
    ballast = [[i] for i in range(1_000_000)]
    assert measured(callables.parse_json).leaks == ()
    assert "blocks" in measured(callables.one_in_fifty).leaks
    assert len(ballast) == 1_000_000


def test_calls_are_counted_and_bounded() -> None:
    """A callable where nothing grows costs 6 n calls, a plain leak 12 n."""
    assert measured(callables.nothing).calls == 600
    calls = measured(callables.keyed_entry).calls
    assert calls == 1200
    assert len(callables.HOLD.table) == calls + 1
