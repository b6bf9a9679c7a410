"""A failed check explains itself: kind, type, holder, line and fingerprint, by a real look at a real leak."""

from __future__ import annotations

import itertools
import sys
import tracemalloc
from collections.abc import Iterator

import callables
import pytest
from callables import HOLD, Maker

from leakguard.detection.finding import OUTSIDE, fingerprint
from leakguard.records import Finding, Kind
from leakguard.testing.checker import check

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """Each test plants its own leak and digs it up again."""
    HOLD.reset()
    yield
    HOLD.stop.set()
    HOLD.close()
    HOLD.reset()


def site_file(maker: Maker) -> str:
    return f"{maker.__module__}.py"


def only(maker: Maker) -> Finding:
    judged = check(maker())
    assert judged.why is None
    (finding,) = judged.unforgiven
    return finding


@pytest.mark.parametrize(
    ("maker", "type_name", "holder", "function"),
    [
        (callables.keyed_entry, "dict", "hold.HOLD.table", "keyed_entry.<locals>.call"),
        (callables.bytes_row, "bytearray", "hold.HOLD.buffers", "bytes_row.<locals>.<lambda>"),
        (callables.async_row, "hold.Slotted", "hold.HOLD.rows", "async_row.<locals>.call"),
        (
            callables.endless_cache,
            "hold.Node",
            "assert_no_leaks.callable.<closure>.look_up.lru_cache",
            None,
        ),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_holder_type_and_line_are_named(maker: Maker, type_name: str, holder: str, function: str | None) -> None:
    """Python objects: one finding, at its rate, with the container that holds them and the line that made them."""
    finding = only(maker)
    assert (finding.kind, finding.type, finding.holder, finding.per_request) == (Kind.LEAK, type_name, holder, 1.0)
    assert finding.chain[0] == f"module {holder.partition('.')[0]}"
    assert finding.fingerprint == fingerprint(Kind.LEAK, holder=holder)
    if function is not None:
        assert finding.site is not None
        assert (finding.site.file, finding.site.function) == (site_file(maker), function)


def test_c_heap_is_native() -> None:
    """Memory that C code lost: bytes per call, the line after which they stay, and nothing in Python accused."""
    finding = only(callables.c_heap)
    assert (finding.kind, finding.type, finding.holder) == (Kind.NATIVE, None, OUTSIDE)
    assert finding.site is not None
    assert finding.site.function == "c_heap.<locals>.call"
    assert 200 <= (finding.bytes_per_request or 0) <= 220
    assert "assert_no_leaks" not in sys.modules  # nothing of the look is left behind
    assert not tracemalloc.is_tracing()


def test_lost_reference_is_outside_python() -> None:
    """An object that only a forgotten reference in C keeps is named by its type, held outside Python."""
    finding = only(callables.lost_reference)
    assert (finding.kind, finding.type, finding.holder) == (Kind.LEAK, "hold.Node", OUTSIDE)


def test_threads_are_told_where_they_hang() -> None:
    """Threads that never end: one finding, with the line at which they wait."""
    finding = only(callables.thread_per_call)
    assert (finding.kind, finding.per_request) == (Kind.THREADS, 1.0)
    assert finding.site is not None
    assert finding.site.function == "wait_for_ever"


def test_tasks_are_told_where_they_hang_and_who_holds_them() -> None:
    """Tasks that never end: one finding, with the line at which they wait and the set that holds them."""
    finding = only(callables.endless_task)
    assert (finding.kind, finding.per_request, finding.holder) == (Kind.TASKS, 1.0, "hold.HOLD.tasks")
    assert finding.site is not None
    assert finding.site.function == "wait_for_ever"


def test_descriptors_are_told_with_their_holder() -> None:
    """Sockets in a list: one finding, held by that list."""
    finding = only(callables.socket_row)
    assert (finding.kind, finding.per_request, finding.holder) == (Kind.DESCRIPTORS, 1.0, "hold.HOLD.rows")


def test_container_that_states_its_bound_passes_at_100() -> None:
    """A ring too large for n is filled before it is accused, for its bound is known."""
    judged = check(callables.ring_of_three_thousand())
    assert judged.findings == ()
    assert judged.measurement.calls > 3000


def test_rule_forgives_what_it_names_and_nothing_else() -> None:
    """Of two leaks in one callable, the other one still fails the test."""
    numbers = itertools.count()

    def call() -> None:
        HOLD.rows.append(callables.Slotted())
        HOLD.table[next(numbers)] = [1]

    judged = check(call, ignore=["type:*Slotted", "holder:callables.HOLD.other"])
    assert {finding.holder for finding in judged.findings} == {"hold.HOLD.rows", "hold.HOLD.table"}
    assert [finding.holder for finding in judged.unforgiven] == ["hold.HOLD.table"]
