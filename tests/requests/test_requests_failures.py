"""Unhandled exceptions: fingerprints, bounds, hooks that chain."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import tracemalloc
import typing
import weakref

import pytest

from leakguard.probes.failures import MAX_FAILURES, Cause, FailureTable, cause_of
from leakguard.probes.hooks import HookSet


def boom(value: object) -> typing.Never:
    raise KeyError(value)


def cause_of_boom(value: object = "x") -> Cause:
    try:
        boom(value)
    except KeyError as error:
        return cause_of(error)


def test_a_cause_names_type_and_own_line() -> None:
    """The innermost line of own code is named, without the message or any value."""
    cause = cause_of_boom("secret")
    assert cause.type == "KeyError"
    assert cause.site is not None
    assert cause.site.function == "boom"
    assert cause.site.file.endswith("test_requests_failures.py")
    assert "secret" not in repr(cause)


def test_library_frames_give_way_to_own_code() -> None:
    """An error raised inside the standard library points at our line that called it."""
    import json

    try:
        json.loads("{")
    except ValueError as error:
        cause = cause_of(error)
    assert cause.site is not None
    assert cause.site.function == "test_library_frames_give_way_to_own_code"
    assert cause.type == "json.decoder.JSONDecodeError"


def test_same_failure_has_one_fingerprint_and_counts() -> None:
    """Equal failures are one record with a count; another route makes another."""
    table = FailureTable()
    first = table.record(cause_of_boom(), "GET /a")
    assert table.record(cause_of_boom(), "GET /a") == first
    assert table.record(cause_of_boom(), "GET /b") != first
    assert table.known()[first].count == 2
    assert str(table.known()[first]).startswith("KeyError at ")


def test_taking_gives_only_what_is_new() -> None:
    """The journal gets increments: nothing is counted twice."""
    table = FailureTable()
    table.record(cause_of_boom(), "GET /a")
    assert [f.count for f in table.take()] == [1]
    assert table.take() == ()
    table.record(cause_of_boom(), "GET /a")
    assert [f.count for f in table.take()] == [1]


def test_a_hundred_thousand_distinct_exceptions_leave_memory_flat() -> None:
    """Whatever clients provoke, the table is bounded, and a failure that keeps coming stays in it."""
    table = FailureTable()
    kept = table.record(Cause("Recurring", None, "request"), "GET /")

    def storm(first: int, last: int) -> None:
        for number in range(first, last):
            table.record(Cause(f"Error{number}", None, "request"), "GET /")
            if number % 100 == 0:
                table.record(Cause("Recurring", None, "request"), "GET /")
                table.take()

    storm(0, 2000)
    tracemalloc.start()
    try:
        storm(2000, 3000)
        before = tracemalloc.get_traced_memory()[0]
        storm(3000, 100_000)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(table.known()) == MAX_FAILURES
    assert kept in table.known()
    assert grown < 64 * 1024


def test_no_exception_object_is_kept() -> None:
    """Recording keeps neither the exception nor its frames."""

    class Canary:
        pass

    table = FailureTable()

    def fail() -> weakref.ref[Canary]:
        canary = Canary()
        try:
            raise RuntimeError(canary)
        except RuntimeError as error:
            table.record(cause_of(error))
            error.__traceback__ = None
        return weakref.ref(canary)

    ref = fail()
    gc.collect()
    assert ref() is None


class Hooked(typing.NamedTuple):
    causes: list[Cause]
    before: list[str]  # which of the hooks that were there first have run


@pytest.fixture
def hooked() -> typing.Iterator[Hooked]:
    hooked = Hooked([], [])
    saved = threading.excepthook, sys.unraisablehook, sys.excepthook
    threading.excepthook = lambda args: hooked.before.append("thread")
    sys.unraisablehook = lambda args: hooked.before.append("unraisable")
    sys.excepthook = lambda kind, error, traceback: hooked.before.append("process")
    installed = threading.excepthook, sys.unraisablehook, sys.excepthook
    hooks = HookSet(hooked.causes.append)
    hooks.install()
    hooks.install()
    yield hooked
    hooks.remove()
    now = threading.excepthook, sys.unraisablehook, sys.excepthook
    threading.excepthook, sys.unraisablehook, sys.excepthook = saved
    assert now == installed


def test_a_thread_that_dies_is_recorded_and_the_old_hook_runs(hooked: Hooked) -> None:
    """An exception that ends a thread is recorded, then handled as before, once."""
    thread = threading.Thread(target=boom, args=(1,))
    thread.start()
    thread.join()
    assert [(c.type, c.source) for c in hooked.causes] == [("KeyError", "thread")]
    assert hooked.before == ["thread"]


def test_an_exception_in_a_finalizer_is_recorded(hooked: Hooked) -> None:
    """What Python cannot raise is recorded and passed on."""

    class Bad:
        def __del__(self) -> None:
            boom(1)

    Bad()
    gc.collect()
    assert [(c.type, c.source) for c in hooked.causes] == [("KeyError", "unraisable")]
    assert hooked.before == ["unraisable"]


def test_the_process_hook_is_chained(hooked: Hooked) -> None:
    """The last exception of a process is recorded; a keyboard interrupt is not a failure."""
    sys.excepthook(KeyError, KeyError("x"), None)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert [(c.type, c.source) for c in hooked.causes] == [("KeyError", "process")]
    assert hooked.before == ["process", "process"]


def test_a_task_nobody_awaited_is_recorded() -> None:
    """asyncio's "exception was never retrieved" is recorded, and the handler that was there still gets it."""
    causes: list[Cause] = []
    handled: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: handled.append(context["message"]))
        HookSet(causes.append).install_loop(loop)

        async def fail() -> None:
            boom(1)

        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert [(c.type, c.source) for c in causes] == [("KeyError", "task")]
    assert len(handled) == 1


def test_a_recorder_that_fails_never_reaches_the_host(hooked: Hooked) -> None:
    """Whatever our own recorder raises, the host's hook runs."""
    hooks = HookSet(lambda cause: boom(cause))
    hooks.install()
    threading.excepthook(threading.ExceptHookArgs((KeyError, KeyError("x"), None, None)))
    hooks.remove()
    assert "thread" in hooked.before


def test_muted_hooks_stay_in_the_chain(hooked: Hooked) -> None:
    """In a forked child the inherited hooks pass everything on and record nothing."""
    causes: list[Cause] = []
    hooks = HookSet(causes.append)
    hooks.install()
    hooks.mute()
    sys.excepthook(KeyError, KeyError("x"), None)
    hooks.remove()
    assert causes == []
    assert hooked.before == ["process"]
