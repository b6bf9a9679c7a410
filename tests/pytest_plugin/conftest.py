"""What the end-to-end tests share: a user's test file, run by pytest in a process of its own."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable

import pytest
from support.needs import ROOT

Run = Callable[..., pytest.RunResult]


def plugin_arguments() -> list[str]:
    """Load the plugin by name only where no entry point does: pytest refuses the same module under two names."""
    registered = importlib.metadata.entry_points(group="pytest11", name="leakguard")
    return (
        []
        if any(point.value == "leakguard.pytest_plugin" for point in registered)
        else ["-p", "leakguard.pytest_plugin"]
    )


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a test file of this text in a fresh process."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(pytester.path)]))
    monkeypatch.delenv("LEAKGUARD_LEVEL", raising=False)

    def run_file(text: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(test_app=text)
        # pytest-asyncio, where installed, warns of an option of its own: no business of these tests.
        options = ["-p", "no:cacheprovider", "-p", "no:asyncio", *plugin_arguments(), *arguments]
        return pytester.runpytest_subprocess(*options, timeout=300)

    return run_file
