"""The marker end to end: what it repeats, what it finds, what it refuses, and how it says so."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable

import pytest

from leakguard.pytest_plugin import marker
from leakguard.testing.demand import USUAL

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(400)

CLEAN = """
    import logging, warnings
    import pytest

    KEPT, FRESH = [], []

    @pytest.fixture(scope="module")
    def server():
        return object()

    @pytest.fixture
    def kept(server):
        KEPT.append("set up")
        yield
        KEPT.append("torn down")

    @pytest.fixture
    def fresh(server):
        FRESH.append("set up")
        yield
        FRESH.append("torn down")

    def body(tmp_path, monkeypatch, capsys, caplog):
        (tmp_path / "upload").mkdir()
        monkeypatch.setenv("MODE", "test")
        print("said")
        assert capsys.readouterr().out == "said\\n"
        logging.getLogger("app").warning("logged")
        assert len(caplog.records) == 1

    @pytest.mark.no_leaks(n=5)
    def test_kept(kept, tmp_path, monkeypatch, capsys, caplog, recwarn):
        body(tmp_path, monkeypatch, capsys, caplog)
        warnings.warn("warned")
        assert len(recwarn) == 1

    @pytest.mark.no_leaks(n=5, fixtures="fresh")
    def test_fresh(fresh, tmp_path, monkeypatch, capsys, caplog):
        body(tmp_path, monkeypatch, capsys, caplog)

    @pytest.mark.no_leaks(n=5)
    @pytest.mark.parametrize("number", [1, 2])
    class TestClass:
        @pytest.mark.no_leaks(n=3)
        def test_method(self, number):
            self.seen = [number]

    @pytest.mark.anyio
    @pytest.mark.no_leaks(n=5)
    async def test_async(anyio_backend):
        import anyio
        await anyio.sleep(0)

    @pytest.mark.anyio
    @pytest.mark.no_leaks(n=5, fixtures="fresh")
    async def test_async_fresh(anyio_backend, tmp_path):
        (tmp_path / "upload").mkdir()

    def test_what_was_repeated():
        assert KEPT == ["set up", "torn down"]
        assert len(FRESH) >= 60 and FRESH[::2] == ["set up"] * (len(FRESH) // 2)
"""


def interned_for_good() -> bool:
    """Say whether this interpreter keeps every interned string for ever, as CPython 3.12 does."""
    before = sys.getallocatedblocks()
    for number in range(1000):
        sys.intern(f"interned by a test {number}")
    return sys.getallocatedblocks() - before > 500


def test_clean_bodies_pass_with_fixtures_kept_and_fresh(run: Callable[..., pytest.RunResult]) -> None:
    """Bodies that use pytest's recording fixtures pass however they are repeated; each way sets fixtures up as documented."""
    result = run(CLEAN, "-o", "filterwarnings=error", "-k", "not trio")
    # pathlib interns the parts of a path, so there a fresh tmp_path for each call is a leak, and told.
    leaking = 2 if interned_for_good() else 0
    result.assert_outcomes(passed=7 - leaking, failed=leaking)


def test_leaking_body_fails_with_its_story(run: Callable[..., pytest.RunResult]) -> None:
    """The letter is L; the message names type, holder and line and says how to forgive it in the marker; no frame of ours."""
    result = run(
        """
        import pytest

        class Session:
            pass

        PENDING = []

        @pytest.fixture
        def app():
            return PENDING

        @pytest.mark.no_leaks(n=10)
        def test_leak(app):
            app.append(Session())
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "test_app.py L *",
            "leak: 1.00 test_app.Session per call, held by test_app.PENDING, allocated at test_app.py:* in test_leak, *each",
            "measured growth:",
            "n = 10 separates caches up to about 100 entries*",
            'if it is meant to stay, *: @pytest.mark.no_leaks(ignore=[[]"holder:test_app.PENDING"])',
            "*= leakguard =*",
            "test_app.py::test_leak: leak: 1.00 test_app.Session per call, *",
            "1 leak; 1 repeated in * s",
            "LEAKED test_app.py::test_leak*",
        ]
    )
    assert "checker.py" not in result.stdout.str()


def test_body_that_cannot_be_repeated_says_so(run: Callable[..., pytest.RunResult]) -> None:
    """A body that passes once and fails again fails by its own line, with a note that names the way out."""
    result = run(
        """
        import pytest

        @pytest.fixture
        def rows():
            return []

        @pytest.mark.no_leaks(n=5)
        def test_kept(rows):
            rows.append(1)
            assert len(rows) == 1

        @pytest.mark.no_leaks(n=5, fixtures="fresh")
        def test_fresh(rows):
            rows.append(1)
            assert len(rows) == 1
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*assert len(rows) == 1", '*passed once and failed in call 2, *fixtures="fresh")'])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("rounds=3", "got an unexpected keyword argument 'rounds'"),
        ("5", "takes 0 positional arguments but 1 was given"),
        ("n=0", "'n' must be a whole number of at least 1 (got 0); n=100"),
        ("kinds=['thread']", "'kinds' must be among memory, threads, *got ['thread']*"),
        ("ignore_type=3", "'ignore_type' must be a text or a list of texts (got 3); *"),
        ("known_leaks='no.toml'", "'known_leaks' must be 'shipped' or a TOML file *got 'no.toml'*"),
        ("fixtures='new'", "'fixtures' must be 'kept' or 'fresh' (got 'new'); *"),
    ],
)
def test_wrong_argument_is_a_usage_error(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, arguments: str, message: str
) -> None:
    """Before anything runs: which test, what is wrong, and the marker as it may be written."""
    pytester.makepyfile(
        f"import pytest\n@pytest.mark.no_leaks({arguments})\ndef test_it(): pass\n\ndef test_other(): pass\n"
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:asyncio")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = message.replace("[", "[[]")
    result.stderr.fnmatch_lines([f"*::test_it: @pytest.mark.no_leaks: {text}", "*no_leaks(n=100, ignore=(), *"])


def test_what_cannot_be_judged_is_refused_in_words(run: Callable[..., pytest.RunResult]) -> None:
    """Hypothesis tests and methods of a TestCase fail at once, each with the reason and a way out."""
    result = run(
        """
        import unittest
        import pytest
        from hypothesis import given, strategies

        @pytest.mark.no_leaks
        @given(strategies.integers())
        def test_given(number):
            pass

        class TestCase(unittest.TestCase):
            @pytest.mark.no_leaks
            def test_method(self):
                pass
        """
    )
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        ["*cannot repeat a hypothesis test: *", "*cannot repeat the body of a unittest.TestCase*"]
    )


def test_everything_off_skips(run: Callable[..., pytest.RunResult], monkeypatch: pytest.MonkeyPatch) -> None:
    """With LEAKGUARD_LEVEL=off a marked test is skipped: what was not measured must not pass."""
    monkeypatch.setenv("LEAKGUARD_LEVEL", "off")
    run("import pytest\n@pytest.mark.no_leaks\ndef test_it(): pass").assert_outcomes(skipped=1)


def test_help_is_the_signature() -> None:
    """`pytest --markers` shows the marker with its arguments and defaults; the kinds are those that leak tests judge."""
    assert marker.help_line().startswith(f"{marker.signature()}: Repeat the body of the test and fail when it leaks.")
    assert inspect.signature(marker.no_leaks).parameters["kinds"].default == USUAL
