"""Beside pytest-memray: repetitions go without its tracker, which would measure itself.

It opens a tracker and writes files for each run of a test, so a repetition takes many times as long, grows by what memray
keeps, and what memray tells of the test would be what the last repetition took.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

_MANAGER = "memray_manager"
SET_ASIDE = "memray: tests were repeated without its tracker; what it tells is of each test's first run"


def measures(config: pytest.Config) -> bool:
    """Return whether pytest-memray measures tests in this run: by its option, or it did so by a marker on a test."""
    plugin = config.pluginmanager.get_plugin(_MANAGER)
    if plugin is None:
        return False
    return bool(config.getoption("--memray") or config.getini("memray") or getattr(plugin, "results", None))


@contextlib.contextmanager
def aside(config: pytest.Config) -> Iterator[None]:
    """Run the block without pytest-memray. Not to be used while a test's body runs under its tracker."""
    manager = config.pluginmanager
    plugin = manager.get_plugin(_MANAGER)
    if plugin is None:
        yield
        return
    manager.unregister(plugin, _MANAGER)
    try:
        yield
    finally:
        manager.register(plugin, _MANAGER)
