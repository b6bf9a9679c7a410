"""Before and after a deploy: the story's table of both, and which findings are new, still there or gone."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from leakguard.records import Finding, Kind, Window
from leakguard.reports.model import FINDINGS, Report, RouteTimes


@dataclass(frozen=True, slots=True)
class Side:
    """One side: its name, its report and the figures that only a comparison needs.

    ``seconds`` are those in which at least one worker was observed. ``fresh``, ``typical`` and ``largest`` are bytes of one
    worker's memory: the median of their first windows, of all windows, and the most of any.
    """

    name: str
    report: Report
    seconds: float
    fresh: int | None
    typical: int | None
    largest: int | None

    @property
    def per_second(self) -> float | None:
        """Requests per second while a worker was observed."""
        return self.report.requests / self.seconds if self.seconds > 0 else None

    @property
    def lost(self) -> int:
        """Requests that recycling cut off."""
        return sum(recycle.lost for recycle in self.report.story.recycles)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sides and what became of the findings, by fingerprint. What the user's rules accept is not among them."""

    before: Side
    after: Side
    new: tuple[Finding, ...]
    still_there: tuple[Finding, ...]
    gone: tuple[Finding, ...]  # as they were before

    @property
    def sure(self) -> bool:
        """Whether enough was measured afterwards to call a finding gone."""
        return bool(self.after.report.fresh) or self.after.report.verdict.kind is not Kind.UNKNOWN

    @property
    def routes(self) -> tuple[tuple[RouteTimes | None, RouteTimes | None], ...]:
        """Each route's response times before and after, the busiest first; ``None`` on the side that had no request."""
        before = {times.route: times for times in self.before.report.routes}
        after = {times.route: times for times in self.after.report.routes}
        pairs = [(before.get(route), after.get(route)) for route in dict.fromkeys([*before, *after])]
        return tuple(sorted(pairs, key=lambda pair: -sum(times.count for times in pair if times is not None)))

    @property
    def exit_code(self) -> int:
        """That of the report on what came after."""
        return FINDINGS if self.new or self.still_there else self.after.report.exit_code

    def unused(self, finding: Finding) -> bool:
        """Return whether the finding's route had no request afterwards: then nobody knows whether it is gone."""
        served = {times.route for times in self.after.report.routes}
        return finding.route is not None and finding.route not in served


def side(name: str, report: Report) -> Side:
    """Return one side of a comparison."""
    workers = [each.windows for each in report.story.workers if each.windows]
    windows = [window for each in workers for window in each]
    return Side(
        name=name,
        report=report,
        seconds=_covered(windows),
        fresh=_median(each[0].reading.rss for each in workers),
        typical=_median(window.reading.rss for window in windows),
        largest=max((window.reading.rss for window in windows), default=None),
    )


def compare(before: Side, after: Side) -> Comparison:
    """Return what changed from one side to the other."""
    known = {finding.fingerprint for finding in before.report.story.findings}
    left = {finding.fingerprint for finding in after.report.story.findings}
    return Comparison(
        before,
        after,
        new=tuple(finding for finding in after.report.fresh if finding.fingerprint not in known),
        still_there=tuple(finding for finding in after.report.fresh if finding.fingerprint in known),
        gone=tuple(finding for finding in before.report.fresh if finding.fingerprint not in left),
    )


def _covered(windows: Iterable[Window]) -> float:
    """Return the seconds that at least one window covers: a night without a server must not count as a slow one."""
    covered, end = 0.0, float("-inf")
    for opened, closed in sorted((window.opened, window.closed) for window in windows):
        covered += max(closed - max(opened, end), 0.0)
        end = max(end, closed)
    return covered


def _median(values: Iterable[int]) -> int | None:
    present = list(values)
    return round(statistics.median(present)) if present else None
