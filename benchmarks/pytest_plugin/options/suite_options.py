"""A plugin for the suites that are measured: leaves out the tests whose node id contains one of some words."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--deselect-matching", action="append", default=[], metavar="WORD")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    words = config.getoption("--deselect-matching")
    left_out = [item for item in items if any(word in item.nodeid for word in words)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
