"""Whole repetitions of a test: its function-scope fixtures set up, its body run through pytest's hooks, everything torn down.

Fixtures of a wider scope stay as they are. This is what pytest itself does for the next test of the same module, through the
same functions; they are not public, as those that pytest-rerunfailures uses for the same end are not.
"""

from __future__ import annotations

import contextlib
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from leakguard.pytest_plugin.between import connect, remove

if typing.TYPE_CHECKING:
    from leakguard.pytest_plugin.tasks import Leftover

try:
    from _pytest.tmpdir import tmppath_result_key
except ImportError:  # another pytest keeps it elsewhere
    tmppath_result_key = None  # type: ignore[assignment]


class Whole:
    """Repeats one test whole. To be used while the test is not set up; afterwards it is not set up either."""

    def __init__(self, item: pytest.Function) -> None:
        self._item = item
        self._state: typing.Any = item.session._setupstate
        self.runs = 0

    @staticmethod
    @contextlib.contextmanager
    def within_call(item: pytest.Function) -> Iterator[Whole]:
        """Repeat a test during its own call: it is torn down before, and set up again after for pytest to tear down."""
        whole = Whole(item)
        whole._tear_down()
        try:
            yield whole
        finally:
            whole._set_up()

    def run(self, leftover: Leftover | None = None) -> None:
        """Set up, run and tear down once.

        Args:
            leftover: notes the tasks that an asynchronous body leaves.

        Raises:
            Exception: what the test raises when it does not pass this time, with a note that says so.
        """
        __tracebackhide__ = True
        self.runs += 1
        item: typing.Any = self._item
        try:
            self._set_up()
            if leftover is not None:
                item.obj = leftover.around(item.obj)
            item.runtest()
            failed = getattr(item, "_excinfo", None)  # where a unittest.TestCase keeps what went wrong
            if failed:
                error = failed[0].value
                item._excinfo = None
                raise error
        except (Exception, pytest.skip.Exception, pytest.fail.Exception, pytest.xfail.Exception) as error:
            error.add_note(
                f"leakguard: the test passed once and ended so in repetition {self.runs}, with fresh fixtures"
            )
            raise
        finally:
            if leftover is not None:
                item._obj = None
            self._tear_down()

    def _set_up(self) -> None:
        item: typing.Any = self._item
        if getattr(item, "_instance", None) is not None:
            del item._instance  # each call of a method gets an instance of its own
            item._obj = None
        item._initrequest()
        if tmppath_result_key is not None:
            item.stash[tmppath_result_key] = {"setup": True, "call": True}
        self._state.setup(item)
        connect([value for value in item.funcargs.values() if isinstance(value, pytest.LogCaptureFixture)])

    def _tear_down(self) -> None:
        item: typing.Any = self._item
        path = item.funcargs.get("tmp_path") if item.funcargs else None
        used = list(item._request._fixture_defs.values()) if item._request else []
        try:
            self._state.teardown_exact(item.parent)
        finally:
            for fixture in used:
                if fixture.scope != "function":
                    fixture._finalizers[:] = [each for each in fixture._finalizers if not _of_function_scope(each)]
        if path is not None:
            remove(Path(path))
        item.funcargs = {}


def _of_function_scope(finalizer: object) -> bool:
    """Say whether a finalizer ends a function-scope fixture, which has ended by now.

    A fixture of wider scope remembers each fixture that used it until its own end. That growth is pytest's, not the test's.
    """
    fixture = getattr(getattr(finalizer, "func", None), "__self__", None)
    return getattr(fixture, "scope", None) == "function"
