"""What each worker is doing now: the figures of its last minute, for whoever watches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leakguard.journal.story import WorkerStory
from leakguard.probes import latency
from leakguard.records import Window
from leakguard.reports import about, words
from leakguard.reports.escape import safe
from leakguard.reports.model import Report, WorkerState
from leakguard.reports.sentence import describe
from leakguard.reports.style import clip, table, wrap
from leakguard.units import format_duration

RECENT = 60.0  # seconds before a worker's last window that count as now; at least that window
BAR = 10
PLAIN_WORKERS = 20
PLAIN_FINDINGS = 5


@dataclass(frozen=True, slots=True)
class WorkerNow:
    """One worker now; bytes, milliseconds, requests per second. ``memory`` is its RSS window by window."""

    state: WorkerState
    in_flight: int
    per_second: float
    errors: int
    p99: float | None
    recycles: int  # of workers of this process id: a successor may get the same
    memory: tuple[int, ...]

    @property
    def share(self) -> float | None:
        """Memory as a share of the ceiling, ``None`` without one."""
        mark, last = self.state.mark, self.state.last
        return None if not mark or last is None else last / mark


def workers_now(report: Report) -> list[WorkerNow]:
    """Return what the report's workers do now, those that run first, then the latest. Pure."""
    told = [
        _now(each, state, report)
        for each, state in zip(report.story.workers, report.workers, strict=True)
        if each.windows
    ]
    told.reverse()
    return sorted(told, key=lambda each: each.state.state != "running")


def _now(each: WorkerStory, state: WorkerState, report: Report) -> WorkerNow:
    recent = _recent(each.windows)
    routes = [route for window in recent for route in window.routes]
    seconds = sum(window.closed - window.opened for window in recent)
    running = state.state == "running"
    return WorkerNow(
        state=state,
        in_flight=recent[-1].in_flight if running else 0,
        per_second=sum(route.count for route in routes) / seconds if running and seconds > 0 else 0.0,
        errors=sum(route.errors for route in routes),
        p99=latency.quantile(latency.merge(route.sketch for route in routes), 0.99),
        recycles=sum(recycle.pid == state.pid for recycle in report.story.recycles),
        memory=tuple(window.reading.rss for window in each.windows),
    )


def _recent(windows: Sequence[Window]) -> list[Window]:
    last = windows[-1].closed
    return [window for window in windows if window.closed > last - RECENT]


def headline(report: Report) -> str:
    """Return the verdict and, where there is one, the gravest finding in a sentence."""
    if report.fresh:
        return f"{about.verdict(report)}: {describe(report.fresh[0], report.alike(report.fresh[0]))}"
    return f"{about.verdict(report)}: {safe('; '.join(report.verdict.reasons[:2]))}"


HEAD = ("worker", "state", "memory", "ceiling", "", "reached in", "in flight", "req/s", "p99", "requests")


def cells(each: WorkerNow) -> tuple[str, ...]:
    """Return one row under ``HEAD``."""
    state = each.state
    left = words.UNKNOWN if state.to_ceiling is None else format_duration(state.to_ceiling)
    return (
        str(state.pid),
        state.state,
        words.size(state.last),
        words.size(state.mark),
        bar(each.share),
        left,
        str(each.in_flight),
        f"{each.per_second:.1f}",
        words.milliseconds(each.p99),
        words.count(state.requests),
    )


def bar(share: float | None) -> str:
    """Return a share as a bar with its percentage; empty when there is none."""
    if share is None:
        return ""
    full = min(round(share * BAR), BAR)
    return f"{'█' * full}{'░' * (BAR - full)} {share * 100:3.0f} %"


def plain(report: Report, width: int) -> list[str]:
    """Return the view for a terminal without keys, for a file or a pipe."""
    lines = [
        clip(f"{about.title(report)} · {words.clock(report.ended or 0)} UTC", width),
        *wrap(headline(report), width),
    ]
    now = workers_now(report)
    if now:
        lines += ["", *table([HEAD, *(cells(each) for each in now[:PLAIN_WORKERS])], indent="", left=2)]
    if len(now) > PLAIN_WORKERS:
        lines.append(f"and {words.plural(len(now) - PLAIN_WORKERS, 'worker')} more")
    for finding in report.fresh[1:PLAIN_FINDINGS]:
        lines += wrap(f"{finding.status.value}: {describe(finding, report.alike(finding))}", width)
    lost = sum(recycle.lost for recycle in report.story.recycles)
    lines.append(f"{words.plural(len(report.story.recycles), 'recycle')}, {words.plural(lost, 'request')} lost")
    return lines
