"""The pytest plugin: the fixture ``leakguard``, the marker ``no_leaks``, and ``pytest --leakguard``.

Loaded by every pytest run through the ``pytest11`` entry point, so nothing but pytest is imported before it is used.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Generator

import pytest

from leakguard.pytest_plugin import marker, options, outcome
from leakguard.pytest_plugin.options import pytest_addoption
from leakguard.pytest_plugin.outcome import pytest_report_teststatus

if typing.TYPE_CHECKING:
    from leakguard.testing.checker import Judged
    from leakguard.testing.fixture import LeakChecker

__all__ = ["leakguard", "pytest_addoption", "pytest_report_teststatus"]


@pytest.fixture
def leakguard(request: pytest.FixtureRequest) -> LeakChecker:
    """Leak tests: leakguard.assert_no_leaks(callable, *, n=100, ignore=()) fails when the callable leaks.

    Inside an async def test: await leakguard.assert_no_leaks_async(callable). One scenario: with leakguard.watching().
    Test clients: leakguard.assert_client_does_not_leak(client, "POST", "/path").
    With ``LEAKGUARD_LEVEL=off`` the test is skipped: what was not measured must not pass.
    """
    _skip_when_off()
    from leakguard.testing.fixture import LeakChecker

    item = request.node

    def record(judged: Judged) -> None:
        outcome.record(item, judged, "fixture")

    spared = (item.cls,) if getattr(item, "cls", None) is not None else ()
    return LeakChecker(record, options.usual(request.config), spared)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, check the options, and join in where something is to be told or judged."""
    config.addinivalue_line("markers", marker.help_line())
    options.check(config)
    from leakguard.pytest_plugin.summary import Summary

    config.pluginmanager.register(Summary(config), "leakguard-summary")
    if options.judges_all(config):
        from leakguard.pytest_plugin.idle import Idle

        config.pluginmanager.register(Idle(config), "leakguard-idle")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse wrong arguments of the marker before any test runs.

    A worker of pytest-xdist cannot refuse a whole run; there each test that has them fails instead.
    """
    if hasattr(config, "workerinput"):
        return
    wrong = [f"{item.nodeid}: {said}" for item in items if (said := marker.wrong(item)) is not None]
    if wrong:
        raise pytest.UsageError("\n".join(wrong))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot be judged because everything is switched off, and fail what was marked wrongly."""
    if item.get_closest_marker(marker.NAME) is None:
        return
    _skip_when_off()
    said = marker.wrong(item) or marker.refused(item)
    if said is not None:
        pytest.fail(said, pytrace=False)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Repeat the body of a test that has the marker."""
    if item.get_closest_marker(marker.NAME) is None or not isinstance(item, pytest.Function):
        return (yield)
    from leakguard.pytest_plugin import marked

    failed: Exception | None = None
    result: object = None
    try:
        with marked.repeated(item) as judge:
            result = yield
            judge()
    except marked.ERRORS as error:
        failed = error
    if failed is not None:  # out here, or pytest would show the same text twice
        outcome.fail(item, failed)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the outcomes of leak tests travel with the test's report, which pytest-xdist carries to its controller."""
    report = yield
    outcome.attach(item, call, report)
    return report


def _skip_when_off() -> None:
    if os.environ.get("LEAKGUARD_LEVEL", "").strip().lower() == "off":
        pytest.skip("LEAKGUARD_LEVEL=off")
