"""Beside memray: the same findings under its tracker, whole-process or pytest-memray's, and its own figures left alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from support.needs import ROOT, module

from tests.pytest_plugin.conftest import plugin_arguments

pytest_plugins = ["pytester"]
pytestmark = [pytest.mark.long, pytest.mark.timeout(400), pytest.mark.flaky(reruns=2)]

SUITE = """
import pytest

class Session:
    pass

PENDING = []

@pytest.fixture
def user():
    return Session()

def test_fixture(leakguard):
    leakguard.assert_no_leaks(lambda: PENDING.append(Session()), n=20)

def test_fixture_clean(leakguard):
    leakguard.assert_no_leaks(lambda: [Session() for _ in range(3)], n=20)

@pytest.mark.no_leaks(n=10, fixtures="fresh")
def test_marked(user):
    PENDING.append(user)

def test_suite(user):
    PENDING.append(user)

def test_clean(user):
    assert bytearray(50_000)
"""

FOUND = r"test_app\.py::{}: leak: 1\.00 test_app\.Session per call, held by test_app\.PENDING, allocated at test_app\.py:{} in"


def _run(pytester: pytest.Pytester, interpreter: list[str], *arguments: str) -> str:
    pytester.makepyfile(test_app=SUITE)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(pytester.path)])}
    options = ["-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:randomly", *plugin_arguments(), "--leakguard"]
    done = subprocess.run(
        [sys.executable, *interpreter, "-m", "pytest", *options, *arguments],
        cwd=pytester.path,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=380,
    )
    assert "2 failed, 3 passed, 1 leaked" in done.stdout, done.stdout + done.stderr
    for test, line in (("test_fixture", 13), ("test_marked", 10), ("test_suite", 10)):
        assert re.search(FOUND.format(test, line), done.stdout), done.stdout
    return done.stdout


def test_pytest_memray_tells_of_the_first_run(pytester: pytest.Pytester) -> None:
    """With pytest --memray the same leaks are found, holder and line named, and memray's table is that of the first runs."""
    module("pytest_memray")
    said = _run(pytester, [], "--memray", "--memray-bin-path=bins")
    assert "memray: tests were repeated without its tracker; what it tells is of each test's first run" in said
    assert "Allocation results for test_app.py::test_clean at the high watermark" in said
    # A result for each test that passed, and not one more for each of some thousand repetitions.
    assert len(list((pytester.path / "bins" / "metadata").iterdir())) == 4


def test_memray_run_changes_no_finding(pytester: pytest.Pytester) -> None:
    """In a process that memray tracks from its start to its end the same leaks are found, holder and line named."""
    module("memray")
    said = _run(pytester, ["-m", "memray", "run", "--quiet", "--output", "run.bin"])
    assert "memray: tests were repeated" not in said
    assert (pytester.path / "run.bin").stat().st_size > 0
