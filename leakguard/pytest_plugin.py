"""The pytest plugin: the fixture ``leakguard``.

Loaded by every pytest run through the ``pytest11`` entry point, so nothing but pytest is imported before it is used.
"""

from __future__ import annotations

import os
import typing

import pytest

if typing.TYPE_CHECKING:
    from leakguard.testing.checker import LeakChecker


@pytest.fixture
def leakguard() -> LeakChecker:
    """Leak tests: leakguard.assert_no_leaks(callable, *, n=100, ignore=()) fails when the callable leaks.

    With ``LEAKGUARD_LEVEL=off`` the test is skipped: what was not measured must not pass.
    """
    if os.environ.get("LEAKGUARD_LEVEL", "").strip().lower() == "off":
        pytest.skip("LEAKGUARD_LEVEL=off")
    from leakguard.testing.checker import LeakChecker

    return LeakChecker()
