"""The plugin end to end: a user's test file, run by pytest in a process of its own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable

import pytest
from support.needs import ROOT

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(400)

RunResult = pytest.RunResult


def test_clean_callable_passes(run: Callable[..., RunResult]) -> None:
    """A clean function, a clean coroutine function and a cache that fills pass, with warnings as errors."""
    result = run(
        """
        import asyncio, functools, itertools, json

        numbers = itertools.count()

        @functools.lru_cache(maxsize=300)
        def look_up(key):
            return [key]

        async def handler():
            await asyncio.sleep(0)

        def test_plain(leakguard):
            leakguard.assert_no_leaks(lambda: json.loads('{"a": [1, 2, 3]}'))

        def test_async(leakguard):
            leakguard.assert_no_leaks(handler)

        def test_cache(leakguard):
            leakguard.assert_no_leaks(lambda: look_up(next(numbers)))
        """,
        "-W",
        "error",
    )
    result.assert_outcomes(passed=3)


@pytest.mark.slow
def test_planted_leak_is_told_in_full_and_its_cure_passes(run: Callable[..., RunResult]) -> None:
    """The failure names type, rate, holder, line and fingerprint, prints rounds and contract; forgiven or cured, it passes."""
    result = run(
        """
        class Session:
            __slots__ = ("number",)

            def __init__(self, number):
                self.number = number

        PENDING = []

        def ingest(cured=False):
            PENDING.append(Session(len(PENDING)))
            if cured:
                PENDING.pop()

        def test_leak(leakguard):
            leakguard.assert_no_leaks(ingest)

        def test_cured(leakguard):
            leakguard.assert_no_leaks(lambda: ingest(cured=True))

        def test_forgiven_by_holder(leakguard):
            leakguard.assert_no_leaks(ingest, ignore=["holder:test_app.PENDING"])
        """
    )
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*leak: 1.00 *Session per call, held by test_app.PENDING, allocated at test_app.py:* in ingest, *each",
            "E*module test_app*",
            "E*PENDING*",
            "E*fingerprint ????????????",
            "E*measured growth:",
            "E*Python blocks: +* in 5 rounds of 100 calls, +* in 200, +* in 400: +* per call",
            "E*n = 100 separates caches up to about 1 000 entries (10 n) from leaks down to about 1 in 100 calls*",
            'E*forgive it by name: assert_no_leaks(..., ignore=[[]"holder:test_app.PENDING"])',
        ]
    )
    assert "checker.py" not in result.stdout.str()  # the traceback ends in the user's own line


def test_leaking_coroutine_function_is_found(run: Callable[..., RunResult]) -> None:
    """Coroutine functions are awaited on one loop, and their leak is named as any other."""
    result = run(
        """
        import asyncio

        SEEN = {}

        async def handler():
            await asyncio.sleep(0)
            SEEN[object()] = "kept"

        def test_leak(leakguard):
            leakguard.assert_no_leaks(handler)
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*leak: 1.00 * per call, held by test_app.SEEN*"])


def test_plugin_imports_nothing_heavy(pytester: pytest.Pytester) -> None:
    """A run that uses nothing of it loads neither leakguard's inside nor anything that it needs."""
    code = (
        "import sys, pytest; before = set(sys.modules); import leakguard.pytest_plugin, leakguard.pytest_plugin.summary; "
        "print(*sorted(set(sys.modules) - before))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    loaded = done.stdout.split()
    assert all(name == "leakguard" or name.startswith("leakguard.pytest_plugin") for name in loaded), loaded


def test_entry_point_registers_the_plugin(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pyproject.toml says under pytest11 is enough to have the fixture: no option, no conftest."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]["pytest11"]
    information = pytester.mkdir("leakguard_middleware-0.dist-info")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: leakguard-middleware\nVersion: 0\n")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (information / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines, ""]))
    pytester.makepyfile("def test_it(leakguard): leakguard.assert_no_leaks(lambda: None, n=5)")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(pytester.path)]))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:asyncio", timeout=120)
    result.assert_outcomes(passed=1)


def test_passing_check_does_not_import_the_observer(run: Callable[..., RunResult]) -> None:
    """Forked looks and their libraries come in only with a failure."""
    result = run(
        """
        import sys

        def test_clean(leakguard):
            leakguard.assert_no_leaks(lambda: None)
            heavy = {"objgraph", "pympler", "sqlite3", "starlette", "leakguard.observer", "leakguard.guard"}
            assert not heavy & set(sys.modules)
        """
    )
    result.assert_outcomes(passed=1)


def test_fixture_is_documented_and_listed_once(run: Callable[..., RunResult]) -> None:
    """`pytest --fixtures` shows the fixture with what it is for."""
    result = run("", "--fixtures")
    assert result.stdout.str().count("leakguard -- ") == 1
    result.stdout.fnmatch_lines(["leakguard -- *", "*assert_no_leaks(callable, [*], n=100, ignore=())*"])


def test_level_off_skips(run: Callable[..., RunResult], monkeypatch: pytest.MonkeyPatch) -> None:
    """One switch turns everything off, and says so: nothing measured is not passed."""
    monkeypatch.setenv("LEAKGUARD_LEVEL", "OFF")
    result = run("def test_it(leakguard): leakguard.assert_no_leaks(lambda: None)", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*LEAKGUARD_LEVEL=off*"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("n=0", "'n' must be a whole number of at least 1 (got 0); n=100"),
        ("n=True", "'n' must be a whole number of at least 1 (got True); n=100"),
        ("n='many'", "'n' must be a whole number of at least 1 (got 'many'); n=100"),
        ("ignore=['app.CACHE']", "'ignore' must be rules such as *got ['app.CACHE']*"),
        ("ignore='holder:'", "'ignore' must be rules such as *got 'holder:'*"),
    ],
)
def test_wrong_option_is_refused(run: Callable[..., RunResult], arguments: str, message: str) -> None:
    """A wrong value gets one line: option, rule, value, way out."""
    result = run(f"def test_it(leakguard): leakguard.assert_no_leaks(lambda: None, {arguments})")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*ConfigError: {message.replace('[', '[[]')}"])


@pytest.mark.skipif(importlib.util.find_spec("xdist") is None, reason="needs pytest-xdist")
def test_it_works_under_xdist(run: Callable[..., RunResult]) -> None:
    """In a worker with threads of its own the same leak is found and the same callable passes."""
    result = run(
        """
        PENDING = []

        def test_leak(leakguard):
            leakguard.assert_no_leaks(lambda: PENDING.append(object()))

        def test_clean(leakguard):
            leakguard.assert_no_leaks(lambda: [object()])
        """,
        "-n",
        "2",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*held by test_app.PENDING*"])
