"""The report: everything a format prints, worked out once from a journal's story."""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import leakguard
from leakguard.detection.doctor import diagnose
from leakguard.detection.verdict import conclude, seconds_to
from leakguard.journal.story import Story, WorkerStory
from leakguard.journal.windows import totals
from leakguard.probes import latency
from leakguard.records import Cost, Failure, Finding, Hypothesis, Kind, RouteCount, Site, Sketch, Stuck, Verdict, Window

CLEAN, FINDINGS, USAGE, NOT_MEASURED = 0, 1, 2, 3
"""Exit codes of ``leakguard report``."""

STILL_THERE = 15.0  # seconds of silence, or three windows, after which a worker counts as ended
_ELSEWHERE = "not on a route that was asked for"
MAX_JUDGED = 200  # workers with the most windows: a year of recycles must not make a report slow


@dataclass(frozen=True, slots=True)
class RouteTimes:
    """Response times of one route, or of all when ``route`` is ``None``; milliseconds, ``None`` without a request."""

    route: str | None
    count: int
    errors: int
    p50: float | None
    p95: float | None
    p99: float | None
    longest: float | None


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker's memory in bytes and where it leads; ``to_ceiling`` in seconds at its present growth."""

    pid: int
    state: str  # running, recycled, ended
    requests: int
    first: int | None
    last: int | None
    peak: int | None
    mark: int | None
    to_ceiling: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is printed. The ``story`` has findings, failures, recycles, reliefs and notes."""

    story: Story
    version: str
    python: str | None
    target: str | None
    server: str | None
    strategy: str | None
    ceiling: int | None
    began: float | None
    ended: float | None
    verdict: Verdict
    requests: int
    overall: RouteTimes
    routes: tuple[RouteTimes, ...]  # by the number of requests
    workers: tuple[WorkerState, ...]  # by the time they started
    doctor: tuple[Hypothesis, ...]
    cost: Cost

    @property
    def fresh(self) -> tuple[Finding, ...]:
        """The findings that no rule of the user's accepts."""
        return tuple(finding for finding in self.story.findings if not finding.accepted)

    @property
    def accepted(self) -> tuple[Finding, ...]:
        """The findings that a rule of the user's accepts, each with that rule."""
        return tuple(finding for finding in self.story.findings if finding.accepted)

    def alike(self, finding: Finding) -> bool:
        """Return whether all requests that are kept on the finding's route ended in the finding's error."""
        errors = {failure.fingerprint for failure in self.story.failures if str(failure) == finding.error}
        kept = ended = 0
        for each in self.story.workers:
            for route in each.windows[-1].routes if each.windows else ():
                if route.route == finding.route:
                    kept += route.retained
                    ended += sum(route.retained_by_failure.get(fingerprint, 0) for fingerprint in errors)
        return 0 < kept <= ended

    def failure_of(self, finding: Finding) -> Failure | None:
        """Return the unhandled error that the finding's requests ended in, if it was recorded."""
        return next((failure for failure in self.story.failures if str(failure) == finding.error), None)

    @property
    def stuck(self) -> tuple[Stuck, ...]:
        """Requests without an answer and leftover tasks, as each worker's last window saw them; the oldest first."""
        groups: dict[tuple[str, str, Site | None], list[Stuck]] = {}
        for each in self.story.workers:
            for entry in each.windows[-1].stuck if each.windows else ():
                groups.setdefault((entry.kind, entry.route, entry.where), []).append(entry)
        joined = [
            Stuck(route, max(entry.age for entry in group), where, kind, sum(entry.count for entry in group))
            for (kind, route, where), group in groups.items()
        ]
        return tuple(sorted(joined, key=lambda entry: -entry.age))

    @property
    def forgotten(self) -> int:
        """Kinds of unhandled errors that workers forgot to make room for others; what they counted last may be missing."""
        return sum(each.windows[-1].forgotten for each in self.story.workers if each.windows)

    @property
    def exit_code(self) -> int:
        """0 clean, 1 findings, 3 when too little was measured to say either."""
        if self.fresh:
            return FINDINGS
        return NOT_MEASURED if self.verdict.kind is Kind.UNKNOWN else CLEAN


def build(story: Story, now: float | None = None) -> Report:
    """Return the report of a story. Pure but for the clock; about as long as reading the story took.

    Args:
        story: from ``journal.reading.read``.
        now: seconds since the epoch, to tell which workers still run; the present by default.
    """
    newest = story.workers[-1].worker if story.workers else None
    windows = [window for each in story.workers for window in each.windows]
    overall, routes = _times(totals(windows) if story.routes is None else story.routes)
    judged: dict[object, tuple[Window, ...]] = {each.worker.boot: each.windows for each in _longest(story.workers)}
    ceilings = [each.worker.ceiling for each in story.workers if each.worker.ceiling is not None]
    ceiling = ceilings[-1] if ceilings else None
    limits = [each.worker.limit for each in story.workers if each.worker.limit is not None]
    return Report(
        story=story,
        version=leakguard.__version__,
        python=newest.python if newest else None,
        target=newest.target if newest else None,
        server=newest.server if newest else None,
        strategy=newest.strategy or None if newest else None,
        ceiling=ceiling,
        began=min((window.opened for window in windows), default=None),
        ended=max((window.closed for window in windows), default=None),
        verdict=_verdict(judged, story),
        requests=overall.count,
        overall=overall,
        routes=routes,
        workers=_states(story, time.time() if now is None else now),
        doctor=diagnose(
            judged, story.findings, story.failures, story.recycles, limits[-1] if limits else None, ceiling
        ),
        cost=_cost(story.workers),
    )


def _verdict(judged: dict[object, tuple[Window, ...]], story: Story) -> Verdict:
    """Return the verdict on what was asked for: findings on other routes explain growth, but do not count."""
    elsewhere = [dataclasses.replace(finding, accepted=True, known=_ELSEWHERE) for finding in story.left_out]
    told = conclude(judged, (*story.findings, *elsewhere))
    if not elsewhere:
        return told
    count = len(elsewhere)
    said = f"{count} finding{' on other routes is' if count == 1 else 's on other routes are'} left out"
    return Verdict(told.kind, (*(reason for reason in told.reasons if not reason.endswith(_ELSEWHERE)), said))


def of_findings(
    findings: Iterable[Finding],
    verdict: Verdict | None = None,
    *,
    target: str | None = None,
    requests: int = 0,
    failures: Iterable[Failure] = (),
) -> Report:
    """Return the report of findings that come from no journal: those of a test or of a check.

    Args:
        findings: joined ones, the gravest first.
        verdict: by default ``conclude``'s for the findings; pass one to say ``steady`` where enough was measured.
        target: what was measured, in the user's words.
        requests: how many requests or calls were made.
        failures: unhandled errors met on the way, for the findings that name one.
    """
    story = Story(path="", since=None, findings=tuple(findings), failures=tuple(failures))
    told = verdict or conclude({}, story.findings)
    python = platform.python_version()
    return dataclasses.replace(build(story), verdict=told, target=target, python=python, requests=requests, doctor=())


def _longest(workers: Sequence[WorkerStory]) -> list[WorkerStory]:
    kept = sorted(workers, key=lambda each: len(each.windows), reverse=True)[:MAX_JUDGED]
    return sorted((each for each in kept if each.windows), key=lambda each: each.worker.started)


def _times(counts: Iterable[RouteCount]) -> tuple[RouteTimes, tuple[RouteTimes, ...]]:
    counted = [each for each in counts if each.count]
    routes = [_route_times(each.route, each.count, each.errors, each.sketch) for each in counted]
    routes.sort(key=lambda each: (-each.count, each.route or ""))
    together = latency.merge(each.sketch for each in counted)
    total, errors = sum(each.count for each in counted), sum(each.errors for each in counted)
    return _route_times(None, total, errors, together), tuple(routes)


def _route_times(route: str | None, count: int, errors: int, sketch: Sketch) -> RouteTimes:
    p50, p95, p99, longest = (latency.quantile(sketch, q) for q in (0.5, 0.95, 0.99, 1.0))
    return RouteTimes(route, count, errors, p50, p95, p99, longest)


def _states(story: Story, now: float) -> tuple[WorkerState, ...]:
    return tuple(_state(each, story, now) for each in story.workers)


def _state(each: WorkerStory, story: Story, now: float) -> WorkerState:
    worker, windows = each.worker, each.windows
    recycled = any(r.pid == worker.pid and worker.started <= r.at <= each.seen + STILL_THERE for r in story.recycles)
    length = windows[-1].closed - windows[-1].opened if windows else 0.0
    running = not recycled and now - each.seen <= max(STILL_THERE, 3 * length)
    rss = [window.reading.rss for window in windows]
    mark = worker.ceiling if worker.ceiling is not None else worker.limit
    return WorkerState(
        pid=worker.pid,
        state="recycled" if recycled else "running" if running else "ended",
        requests=sum(route.count for window in windows for route in window.routes),
        first=rss[0] if rss else None,
        last=rss[-1] if rss else None,
        peak=max(rss, default=None),
        mark=mark,
        to_ceiling=seconds_to(mark, windows) if running else None,
    )


def _cost(workers: Sequence[WorkerStory]) -> Cost:
    costs = [each.cost for each in workers if each.cost is not None]

    def worst(name: str) -> float | None:
        values = [value for cost in costs if (value := getattr(cost, name)) is not None]
        return max(values, default=None)

    return Cost(worst("hot_path_us"), worst("stall_ms_max"), worst("share_of_cpu"))
