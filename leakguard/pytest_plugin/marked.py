"""Tests that have the marker: their body is repeated in place of being called once."""

from __future__ import annotations

import contextlib
import functools
import inspect
import typing
from collections.abc import Callable, Iterator

import pytest

from leakguard.errors import ConfigError, LeaksFoundError, NotMeasuredError
from leakguard.pytest_plugin import marker, memray, outcome
from leakguard.pytest_plugin.between import Between
from leakguard.pytest_plugin.whole import Whole
from leakguard.testing.checker import Judged, check, check_here, raise_for
from leakguard.testing.demand import Demand

ERRORS = (LeaksFoundError, NotMeasuredError, ConfigError)
"""What repeating a test raises, beside what the test itself raises."""

_FORGIVE = "@pytest.mark.no_leaks(ignore=[{}])"


@contextlib.contextmanager
def repeated(item: pytest.Function) -> Iterator[Callable[[], None]]:
    """Arrange that the test runs as its marker demands; what is yielded is to be called when it has run.

    With kept fixtures the function of the test is replaced while the block runs: its stand-in calls the body once as it is,
    then repeats it, on the same event loop where it is asynchronous. With fresh fixtures the test runs once as it is, and
    whole repetitions follow.
    """
    __tracebackhide__ = True
    wanted, fixtures = marker.demanded(item)
    if fixtures == marker.FRESH:
        yield functools.partial(_judge_fresh, item, wanted)
        return
    original = item.obj
    item.obj = _stand_in(item, original, wanted)
    try:
        yield lambda: None
    finally:
        item.obj = original


def _stand_in(item: pytest.Function, body: Callable[..., typing.Any], wanted: Demand) -> Callable[..., typing.Any]:
    if inspect.iscoroutinefunction(body):

        @functools.wraps(body)
        async def awaited(**values: typing.Any) -> None:
            __tracebackhide__ = True
            _end(item, await check_here(_Call(item, body, values).awaited, wanted))

        return awaited

    @functools.wraps(body)
    def called(**values: typing.Any) -> None:
        __tracebackhide__ = True
        _end(item, check(_Call(item, body, values).plain, wanted))

    return called


class _Call:
    """Calls the body with the same values; from the second time on it cleans up behind it."""

    def __init__(self, item: pytest.Function, body: Callable[..., typing.Any], values: dict[str, typing.Any]) -> None:
        self._body = body
        self._values = values
        self._between = Between(item)
        self._calls = 0

    def plain(self) -> None:
        __tracebackhide__ = True
        self._calls += 1
        try:
            with self._between:
                result = self._body(**self._values)
        except Exception as error:
            self._explain(error)
            raise
        if inspect.isawaitable(result):
            raise NotMeasuredError(
                "the test returned an awaitable; make it an async def test under pytest-asyncio or anyio"
            )

    async def awaited(self) -> None:
        __tracebackhide__ = True
        self._calls += 1
        try:
            with self._between:
                await self._body(**self._values)
        except Exception as error:
            self._explain(error)
            raise

    def _explain(self, error: Exception) -> None:
        if self._calls > 1:
            error.add_note(
                f"leakguard: the body passed once and failed in call {self._calls}, with the same fixtures; make it "
                'repeatable, or take function-scope fixtures anew for each call: @pytest.mark.no_leaks(fixtures="fresh")'
            )


def _judge_fresh(item: pytest.Function, wanted: Demand) -> None:
    __tracebackhide__ = True
    with memray.aside(item.config), Whole.within_call(item) as whole:
        judged = check(whole.run, wanted)
    _end(item, judged)


def _end(item: pytest.Function, judged: Judged) -> None:
    __tracebackhide__ = True
    outcome.record(item, judged, "marker")
    raise_for(judged, _FORGIVE)
