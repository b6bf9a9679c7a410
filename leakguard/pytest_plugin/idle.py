"""``pytest --leakguard``: every test is judged cheaply, and only a suspected one is repeated and judged by the rate law.

Between two tests the heap is frozen, so that what a test leaves behind can be told from what was there; that costs tens of
microseconds per test. A suspicion is what is more after the test's function-scope fixtures were torn down. It must recur when
the test is repeated whole: what is only set up once (a cache, a lazy import, a pool) does not. Whatever only a suspicion needs
is imported with the first that recurs, for most suites have none.
"""

from __future__ import annotations

import gc
import inspect
import sys
import threading
import time
import typing
from collections.abc import Generator
from dataclasses import dataclass

import pytest

from leakguard.errors import LeakGuardError
from leakguard.pytest_plugin import memray, options, outcome
from leakguard.pytest_plugin.marker import NAME, USUAL_KINDS
from leakguard.pytest_plugin.replaced import Replaced
from leakguard.testing import quiet, resources
from leakguard.testing.freezing import FREEZER
from leakguard.testing.survivors import survivors
from leakguard.testing.tempfiles import FILES

SCREENS = 3
"""Whole repetitions in each of which something must grow before the rate law is asked."""

USUAL_N = 50
"""Calls per round, unless the run names another number or the budget allows no more."""

LEAST_N = 10
"""Calls per round at least; a test too slow for that is told as suspected and not judged."""

UNCLEAR = 3
"""Times the budget that judging may take: the rate law doubles its calls where growth is neither flat nor steady."""

_CALLS = 12  # what the rate law takes for a plain leak, in multiples of n
_LARGE = 2000  # blocks: what a test leaves of plain objects is suspicious above this, in a repetition above a quarter
_LET_GO = 100_000  # objects frozen since the last full collection, after which garbage among them is let go
_LET_GO_TESTS = 1000  # tests since then
_PAUSES = (0.001, 0.004, 0.015, 0.04)

_ENDINGS = (pytest.skip.Exception, pytest.fail.Exception, pytest.xfail.Exception)  # no Exceptions

if typing.TYPE_CHECKING:
    from leakguard.pytest_plugin.tasks import Leftover
    from leakguard.pytest_plugin.whole import Whole
    from leakguard.testing.checker import Judged

try:
    from _pytest.logging import caplog_records_key
except ImportError:  # another pytest keeps it elsewhere
    caplog_records_key = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are at one moment, beside objects."""

    threads: int
    descriptors: int
    processes: int
    files: int
    blocks: int

    @staticmethod
    def now() -> Counts:
        """Return the present; some 15 microseconds."""
        return Counts(
            threading.active_count(),
            resources.open_descriptors(),
            len(resources.children()),
            FILES.left(),
            sys.getallocatedblocks(),
        )

    def more_than(self, other: Counts) -> set[str]:
        """Return the names of what is more."""
        return {name for name in _RESOURCES if getattr(self, name) > getattr(other, name)}


_RESOURCES = ("threads", "descriptors", "processes", "files")


class Idle:
    """Watches every test of one process."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._kinds = frozenset(options.usual(config).get("kinds", USUAL_KINDS))
        self._before: Counts | None = None
        self._after: Counts | None = None
        self._handed_on: Counts | None = None  # to the next test, where nothing comes between
        self._passed = False
        self._leftover: Leftover | None = None
        self._seconds = 0.0
        self._frozen_since = self._frozen_tests = 0
        self._born: dict[str, int] = {}
        self._replaced = Replaced()
        FILES.__enter__()

    def pytest_sessionstart(self) -> None:
        """Freeze what the start of the session made, unless the application freezes itself."""
        FREEZER.begin(collect=False)

    def pytest_sessionfinish(self) -> None:
        """Give everything back."""
        FREEZER.end()
        FILES.__exit__()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Generator[None, object, object]:
        """Note what there is before the test."""
        began = time.perf_counter()
        self._passed, self._leftover = False, None
        self._freeze()
        self._replaced.begin()
        self._before = self._handed_on or Counts.now()
        self._handed_on = None
        self._seconds = time.perf_counter() - began
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Let an asynchronous body tell which tasks it leaves on its loop, which ends with the test."""
        if not isinstance(item, pytest.Function) or not inspect.iscoroutinefunction(item.obj) or _examples(item):
            return (yield)
        from leakguard.pytest_plugin.tasks import Leftover

        original = item.obj
        self._leftover = Leftover()
        item.obj = self._leftover.around(original)
        try:
            return (yield)
        finally:
            item.obj = original

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note whether the test passed, and send along what watching it cost."""
        report = yield
        if report.when == "call":
            self._passed = report.passed and not hasattr(report, "wasxfail")
        if report.when == "teardown":
            told = getattr(report, "leakguard", None) or {"outcomes": [], "leaked": False}
            report.leakguard = {**told, "idle": self._seconds}  # type: ignore[attr-defined]
        return report

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Tear the test's own fixtures down, judge what is left, then let pytest tear down the rest."""
        failure: BaseException | None = None
        message: str | None = None
        state: typing.Any = item.session._setupstate
        try:
            state.teardown_exact(item.parent)
        except (Exception, *_ENDINGS) as error:
            failure = error
        if failure is None and self._passed and not _judged_already(item):
            message = self._judge(item)
            if nextitem is None or nextitem.parent is not item.parent:
                self._handed_on = None  # a fixture of wider scope may end now: what it gives back would hide a leak
        result = yield
        if failure is not None:
            raise failure
        if message is not None:
            pytest.fail(message, pytrace=False)
        return result

    def _freeze(self) -> None:
        """Put everything out of the collector's sight; now and then let go of garbage that was frozen with it."""
        if not FREEZER.active:
            return
        self._frozen_tests += 1
        if self._frozen_since > _LET_GO or self._frozen_tests > _LET_GO_TESTS:
            self._frozen_since = self._frozen_tests = 0
            FREEZER.let_go()
            self._handed_on = None
        else:
            gc.freeze()

    def _judge(self, item: pytest.Item) -> str | None:
        began = time.perf_counter()
        _forget(item)
        suspected = self._suspicions(item, self._before, _LARGE)
        if self._born:
            self._replaced.remember()
        self._seconds += time.perf_counter() - began
        if not suspected:
            self._handed_on = self._after
            return None
        try:
            with memray.aside(self._config):
                judged = self._repeat(item)
        except LeakGuardError as error:
            self._unjudged(item, suspected, str(error))
            return None
        except (Exception, *_ENDINGS) as error:
            self._unjudged(item, suspected, f"it passed once and ended in {type(error).__name__} when repeated")
            return None
        if judged is None or not judged.findings:
            return None
        message = (
            judged.message("a line of leakguard_ignore in the ini file for each of {}") if judged.unforgiven else None
        )
        outcome.record(item, judged, "suite", message)
        return message

    def _suspicions(self, item: pytest.Item, before: Counts | None, large: int) -> set[str]:
        """Return what is more than before, and of which classes objects were born that replace no older ones."""
        self._born, self._after = {}, None
        if before is None:
            return set()
        gc.collect()
        after = Counts.now()
        more = after.more_than(before)
        for pause in _PAUSES if more else ():
            time.sleep(pause)
            after = Counts.now()
            more = after.more_than(before)
            if not more:
                break
        self._after = after
        suspected = {name for name in more if name in self._kinds}
        if self._leftover is not None and self._leftover.sites and "tasks" in self._kinds:
            suspected.add("tasks")
        if "memory" in self._kinds:
            if after.blocks - before.blocks > large:
                suspected.add("blocks")
            if FREEZER.active:
                suspected |= self._births(item)
                if suspected and gc.collect():  # a finalizer may have let go of the next cycle
                    return self._suspicions(item, before, large)
        return suspected

    def _births(self, item: pytest.Item) -> set[str]:
        cls = getattr(item, "cls", None)
        born = survivors((cls,) if cls is not None else ())
        self._born = {f"request {name}": count for name, count in born.requests.items()}
        self._born |= {f"object {name}": count for name, count in born.objects.items()}
        self._frozen_since += sum(self._born.values())
        return {label for label, count in self._born.items() if count > self._replaced.gone(label.partition(" ")[2])}

    def _repeat(self, item: pytest.Item) -> Judged | None:
        """Repeat the test whole: a few times to see whether the suspicion recurs, then as the rate law wants it."""
        if not isinstance(item, pytest.Function) or _examples(item):
            raise LeakGuardError("only a test function, and no hypothesis test, can be repeated as it was")
        from leakguard.pytest_plugin.whole import Whole

        whole = Whole(item)
        took = self._screen(item, whole)
        if took is None:
            return None
        from leakguard.testing.checker import check
        from leakguard.testing.fixture import joined

        usual = options.usual(self._config)
        wanted = joined({"n": USUAL_N, **usual}, {})
        tasks = self._leftover.judged(wanted, took) if self._leftover is not None else None
        if tasks is not None:  # every repetition left them: no more calls are needed
            return tasks
        calls = int(options.budget(self._config) / (took * _CALLS)) if took else wanted.n
        if calls < LEAST_N:
            raise LeakGuardError(f"one run takes {took:.2f} s, too long to be repeated; raise leakguard_budget")
        wanted = joined({**usual, "n": min(wanted.n, calls)}, {})
        until = time.monotonic() + UNCLEAR * options.budget(self._config)

        def once() -> None:
            if time.monotonic() > until:
                raise LeakGuardError("whether it grows was not clear in time; raise leakguard_budget")
            whole.run(None)

        return check(once, wanted)

    def _screen(self, item: pytest.Function, whole: Whole) -> float | None:
        """Repeat the test a few times; return how long one run took, ``None`` when nothing grew in every one.

        What is only replaced (the last request of a client, a limiter for each event loop) is born anew in each run and does
        not grow, so objects are counted from the test's own run on, and mostly one repetition tells.
        """
        recurring: set[str] = set()
        alive = self._born
        took = float("inf")
        with quiet.silence():
            for screen in range(SCREENS):
                before, self._leftover = Counts.now(), self._leftover and type(self._leftover)()
                began = time.perf_counter()
                whole.run(self._leftover)
                took = min(took, time.perf_counter() - began)  # the first imports, and others want the processor too
                now = self._suspicions(item, before, _LARGE // 4)
                born = self._born
                more = {name for name in now if name not in born or born[name] > alive.get(name, 0)}
                recurring, alive = (more if screen == 0 else recurring & more), dict(born)
                if not recurring:
                    self._replaced.remember()
                    return None
        return took

    def _unjudged(self, item: pytest.Item, suspected: set[str], why: str) -> None:
        told = {
            "by": "suite",
            "n": 0,
            "calls": 0,
            "seconds": 0.0,
            "findings": [],
            "rules": [],
            "used": [],
            "message": None,
        }
        said = ", ".join(sorted(suspected)[:3]) + (", …" if len(suspected) > 3 else "")
        outcome.add(item, {**told, "unjudged": f"{said}: {why}"})


def _examples(item: pytest.Function) -> bool:
    return bool(getattr(item.obj, "is_hypothesis_test", False))


def _judged_already(item: pytest.Item) -> bool:
    """Say whether the test is a leak test itself, by the marker or the fixture."""
    return item.get_closest_marker(NAME) is not None or "leakguard" in getattr(item, "fixturenames", ())


def _forget(item: pytest.Item) -> None:
    """Let go of what pytest keeps of a test until its teardown ends: fixtures' values and log records."""
    if isinstance(item, pytest.Function):
        item.funcargs = {}
    if caplog_records_key is not None:
        for records in item.stash.get(caplog_records_key, {}).values():
            records.clear()
