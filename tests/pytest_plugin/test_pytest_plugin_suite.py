"""``pytest --leakguard`` end to end: every test judged, suspected ones repeated, leaks told once, reports written."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest
from support.needs import module

pytest_plugins = ["pytester"]

# Looks and repetitions run at low priority and within a budget of seconds: on a busy machine one of them may come too late.
pytestmark = [pytest.mark.timeout(400), pytest.mark.flaky(reruns=2)]

SUITE = """
    import asyncio, os, unittest
    import pytest

    class Session:
        pass

    PENDING, PIPES, ONCE, CACHE = [], [], [], {}
    LAST = [None]

    @pytest.fixture(scope="module")
    def pool():
        return Session()

    @pytest.fixture
    def user(pool):
        return Session()

    def test_clean(user, caplog):
        import logging
        logging.getLogger("app").warning("%s", Session())

    def test_cache_filled_once():
        CACHE["settings"] = Session()

    def test_only_replaced():
        LAST[0] = Session()

    def test_leak(user, tmp_path):
        (tmp_path / "upload").mkdir()
        PENDING.append(user)

    def test_passes_only_once():
        assert not ONCE
        ONCE.append(Session())

    class TestCase(unittest.TestCase):
        def setUp(self):
            self.session = Session()

        def test_clean(self):
            assert self.session

    @pytest.mark.anyio
    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    async def test_task(anyio_backend):
        async def hang():
            await asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().create_task(hang())

    def test_descriptor():
        PIPES.append(os.dup(0))

    def test_fails():
        PENDING.append(Session())
        assert 0
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_suite_is_judged_and_told_once(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    """A leak, a task and a descriptor are found, nothing else; with workers too, all is told and written by the controller."""
    result = run(
        SUITE,
        "--leakguard",
        "--leakguard-n=10",
        "--leakguard-report=json=out/leaks.json",
        "--leakguard-report=junit",
        "--junitxml=junit.xml",
        "-o",
        "leakguard_ignore_holder=*.PIPES",
        "-o",
        "leakguard_ignore=type:app.Gone",
        "-o",
        "leakguard_budget=100",
        *workers,
    )
    outcomes = result.parseoutcomes()
    assert (outcomes["passed"], outcomes["failed"], outcomes["leaked"]) == (8, 1, 2)
    assert result.ret == 1
    text = result.stdout.str()
    result.stdout.fnmatch_lines_random(
        [
            "test_app.py::test_leak passed, and leaks:",
            "leak: 1.00 test_app.Session per call, held by test_app.PENDING*",
            "test_app.py::test_task*asyncio* passed, and leaks:",
            "*tasks: 1.00 asyncio tasks that never end per call, waiting at test_app.py:* in *hang*",
            "forgiven in test_app.py::test_descriptor: *ignored by the rule holder:[*].PIPES",
            "no longer matches anything: type:app.Gone of the run's options",
            "suspected, not judged: test_app.py::test_passes_only_once: *AssertionError when repeated",
            "2 leaks; 9 tests judged in * s (* ms each); * repeated in * s",
        ]
    )
    assert text.count("wrote out/leaks.json") == 1
    report = json.loads((pytester.path / "out/leaks.json").read_text())
    told = {(finding["route"], finding["known"]) for finding in report["findings"]}
    assert ("test_app.py::test_leak", None) in told
    assert len(told) == 3
    properties = [each.get("value", "") for each in ET.parse(pytester.path / "junit.xml").iter("property")]
    assert sum("held by test_app.PENDING" in value for value in properties) == 1


def test_what_stays_unclear_is_not_judged_for_ever(run: Callable[..., pytest.RunResult]) -> None:
    """Growth that slows down makes the rate law double its calls; the budget ends that, and the summary says so."""
    result = run(
        """
        import time

        class Entry:
            pass

        FOUND, asked = [], [0]

        def test_slower_and_slower():
            asked[0] += 1
            time.sleep(0.002)
            while len(FOUND) < 10 * asked[0] ** 0.5:
                FOUND.append(Entry())
        """,
        "--leakguard",
        "-o",
        "leakguard_budget=0.4",
    )
    result.stdout.fnmatch_lines(
        ["suspected, not judged: *test_slower_and_slower: *not clear in time*leakguard_budget*"]
    )
    assert result.parseoutcomes() == {"passed": 1}


def test_clean_suite_says_what_it_cost(run: Callable[..., pytest.RunResult]) -> None:
    """Nothing found: one section with the cost, exit code 0, and the collector as it was."""
    result = run(
        """
        import gc, pytest

        @pytest.mark.parametrize("number", range(50))
        def test_clean(number):
            assert gc.isenabled()
        """,
        "--leakguard",
    )
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*= leakguard =*", "0 leaks; 50 tests judged in * s (* ms each); 0 repeated in 0.0 s"])


def test_every_format_is_written(run: Callable[..., pytest.RunResult], pytester: pytest.Pytester) -> None:
    """One leak in every format of the report: files for those that need one, the terminal for annotations."""
    formats = ["html", "sarif", "junit", "json", "markdown", "text"]
    result = run(
        """
        class Session: pass
        PENDING = []
        def test_leak(leakguard):
            leakguard.assert_no_leaks(lambda: PENDING.append(Session()), n=5)
        """,
        *(f"--leakguard-report={name}=leaks.{name}" for name in formats),
        "--leakguard-report=github",
    )
    for name in formats:
        assert "test_app.Session" in (pytester.path / f"leaks.{name}").read_text(), name
    result.stdout.fnmatch_lines(["::error *test_app.Session*"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--leakguard-report=json"], "*'--leakguard-report json' needs a file; *"),
        (["--leakguard-report=pdf=x"], "*'--leakguard-report' must be one of *html*(got 'pdf=x')*"),
        (["--leakguard-report=junit"], "*needs --junitxml=FILE*"),
        (["--leakguard-n=0"], "*'n' must be a whole number of at least 1 (got 0)*"),
        (["-o", "leakguard_budget=soon"], "*'leakguard_budget' must be a number greater than zero (got 'soon')*"),
        (["-o", "leakguard_kinds=thread"], "*'kinds' must be among *"),
    ],
)
def test_wrong_option_is_a_usage_error(pytester: pytest.Pytester, arguments: list[str], message: str) -> None:
    """A wrong option of the run stops it before anything runs, with the rule and a way out."""
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:asyncio", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_rerun_starts_anew(run: Callable[..., pytest.RunResult]) -> None:
    """With pytest-rerunfailures a leak that is told in each attempt is told once."""
    module("pytest_rerunfailures")
    result = run(
        """
        PENDING = []
        def test_leak(leakguard):
            leakguard.assert_no_leaks(lambda: PENDING.append(object()), n=2)
        """,
        "--reruns=1",
    )
    assert result.parseoutcomes()["rerun"] == 1
    result.stdout.fnmatch_lines(["1 leak; 1 repeated in * s"])


def test_what_is_only_replaced_is_not_repeated(run: Callable[..., pytest.RunResult]) -> None:
    """A test that leaves one and lets the last one go runs once; one that also leaks, or only the first, is repeated."""
    result = run(
        """
        from tempfile import mkdtemp

        class Session: pass
        LAST, PENDING, RUNS, MADE = [None], [], [], []

        def test_first():
            LAST[0] = Session()

        def test_replaces():
            RUNS.append(1)
            LAST[0] = Session()

        def test_ran_once():
            assert len(RUNS) == 1

        def test_leaks_too():
            LAST[0] = Session()
            PENDING.append(Session())

        def test_directory():
            mkdtemp()
        """,
        "--leakguard",
        "--leakguard-n=10",
    )
    said = result.stdout.str()
    assert result.parseoutcomes() == {"passed": 5, "leaked": 2}, said
    assert "test_leaks_too: leak: 1.00 test_app.Session per call, held by test_app.PENDING" in said
    assert "test_directory: leak: 1.00 temporary file per call, made at test_app.py:" in said
