"""What every test gets: an environment of its own, and a guard that is taken out again."""

from __future__ import annotations

import os
import typing
from pathlib import Path

import hypothesis
import pytest

# A deadline per example, or too slow a choice of examples, says something about the machine only.
hypothesis.settings.register_profile(
    "leakguard", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("leakguard")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No option of the person who runs the tests, and a journal of the test's own."""
    for name in list(os.environ):
        if name.startswith("LEAKGUARD_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("NO_COLOR", "1")


LIVE = ("server", "slow", "long")
"""Markers of tests that watch real processes for some seconds, on a machine that may be busy with something else."""

FORKING = ("observer", "guard", "pytest_plugin")
"""Folders whose tests look at this very process in a forked copy: what it was in the middle of may end a copy early."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give live tests two more tries: what is broken fails every time."""
    for item in items:
        live = item.path.parent.name in FORKING or any(item.get_closest_marker(name) for name in LIVE)
        if live and not item.get_closest_marker("flaky"):
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.fixture
def released() -> typing.Iterator[None]:
    """After the test the process has no guard, no hook and no thread of ours."""
    from leakguard.guard import release

    yield
    release()
