"""What is switched for measuring is switched back, and what the runner keeps is no leak."""

from __future__ import annotations

import asyncio
import gc
import linecache
import logging
import sys
import warnings

import callables
import pytest

from leakguard.errors import NotMeasuredError
from leakguard.testing import quiet
from leakguard.testing.caller import drive
from leakguard.testing.checker import check
from leakguard.testing.measuring import measure


@pytest.mark.parametrize("automatic", [True, False])
def test_collection_is_restored(automatic: bool) -> None:
    """Automatic collection is off inside, on or off again after, and nothing stays frozen, even after an error."""
    before = gc.isenabled()
    (gc.enable if automatic else gc.disable)()
    try:
        with pytest.raises(ZeroDivisionError), quiet.frozen():
            assert not gc.isenabled()
            assert gc.get_freeze_count() > 5000
            raise ZeroDivisionError
        assert gc.isenabled() is automatic
        assert gc.get_freeze_count() < 1000
    finally:
        (gc.enable if before else gc.disable)()


def test_what_the_application_froze_stays_frozen() -> None:
    """An application that called gc.freeze finds it so afterwards, and leaks are found all the same."""
    gc.freeze()
    try:
        callables.HOLD.reset()
        assert drive(callables.nothing(), lambda caller: measure(caller, 100)).leaks == ()
        assert "blocks" in drive(callables.keyed_entry(), lambda caller: measure(caller, 100)).leaks
        assert gc.get_freeze_count() > 5000
    finally:
        gc.unfreeze()
        callables.HOLD.reset()


def test_handlers_streams_and_filters_are_restored() -> None:
    """The root logger's handlers, the streams and the warnings' way out are the same objects after a check."""
    handlers = logging.getLogger().handlers[:]
    streams = sys.stdout, sys.stderr
    way_out, filters = warnings.showwarning, warnings.filters[:]
    with pytest.raises(ZeroDivisionError), quiet.silence():
        assert sys.stdout is not streams[0]
        raise ZeroDivisionError
    assert logging.getLogger().handlers == handlers
    assert (sys.stdout, sys.stderr) == streams
    assert warnings.showwarning is way_out
    assert warnings.filters[:] == filters


def test_records_kept_by_caplog_are_no_leak(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """A callable that prints and logs passes under caplog and capsys, which see its first call only."""
    assert check(callables.talks()).findings == ()
    assert [record.getMessage() for record in caplog.records] == ["logged 0"]
    assert capsys.readouterr().out == "said 0\n"


def test_warnings_kept_by_the_runner_are_no_leak() -> None:
    """A callable that warns passes under a recorder, which sees its first call only."""
    with warnings.catch_warnings(record=True) as kept:
        warnings.simplefilter("always")
        assert check(callables.warns()).findings == ()
    assert len(kept) == 1


def test_warnings_that_are_errors_stay_errors() -> None:
    """The user's filters hold while measuring."""
    calls = iter([None])

    def call() -> None:
        if next(calls, 1):
            warnings.warn("second", UserWarning, stacklevel=1)

    with pytest.raises(UserWarning, match="second"):
        check(call)


def test_generated_sources_survive() -> None:
    """linecache keeps the source of generated code, which nothing could read again."""
    linecache.cache["<generated>"] = (10, None, ["pass\n"], "<generated>")
    try:
        check(callables.nothing(), n=5)
        assert "<generated>" in linecache.cache
    finally:
        del linecache.cache["<generated>"]


def test_error_of_the_callable_passes_through() -> None:
    """What the callable raises is the test's own failure, in the first call and in a later one."""
    with pytest.raises(ValueError, match="first"):
        check(lambda: int("first"))
    numbers = list(range(250))
    with pytest.raises(IndexError):
        check(numbers.pop)
    assert gc.get_freeze_count() < 1000


def test_generator_is_refused() -> None:
    """Calling a generator function runs nothing of it, so it must not pass as clean."""

    def rows():
        yield callables.HOLD.rows.append(1)

    async def more():
        yield 1

    for function in (rows, more):
        with pytest.raises(NotMeasuredError, match="exhausts it"):
            check(function)


def test_awaitable_under_a_running_loop_is_refused() -> None:
    """One loop per thread: the way out is said, and no coroutine is left behind never awaited."""

    async def call() -> None:
        await asyncio.sleep(0)

    async def test() -> None:
        check(call, n=5)

    with pytest.raises(NotMeasuredError, match="assert_no_leaks_async"):
        asyncio.run(test())


def test_plain_callable_is_measured_under_a_running_loop() -> None:
    """An async test may check a plain callable."""

    async def test() -> None:
        assert check(callables.parse_json(), n=20).findings == ()

    asyncio.run(test())


def test_every_awaited_call_runs_on_one_loop() -> None:
    """Coroutine functions, and lambdas around them, are driven by one loop from the first call to the last."""
    loops: set[asyncio.AbstractEventLoop] = set()

    async def call() -> None:
        await asyncio.sleep(0)
        loops.add(asyncio.get_running_loop())

    assert check(call, n=20).findings == ()
    assert len(loops) == 1
    assert check(lambda: call(), n=20).findings == ()
    assert len(loops) == 2


def test_drive_gives_back_what_the_check_returns() -> None:
    """A plain callable is driven without any loop."""

    async def nothing(caller: object) -> str:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return "done"

    assert drive(lambda: None, nothing) == "done"


def test_loggers_that_do_not_propagate_are_quiet_too(caplog: pytest.LogCaptureFixture) -> None:
    """pytest 9 listens to them by themselves: what it keeps of them is no leak, and each gets its handlers back."""
    logger = logging.getLogger("server.access")
    logger.propagate = False
    logger.addHandler(caplog.handler)
    try:
        with quiet.silence():
            assert caplog.handler not in logger.handlers
            logger.warning("answered")
        assert logger.handlers == [caplog.handler]
        assert caplog.records == []
    finally:
        logger.removeHandler(caplog.handler)
        logger.propagate = True
