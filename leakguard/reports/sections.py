"""The tables of the text report: memory, recycles, response times, unhandled errors, notes, cost."""

from __future__ import annotations

import datetime
import statistics

from leakguard.records import Recycle
from leakguard.reports.escape import safe
from leakguard.reports.model import Report, RouteTimes, WorkerState
from leakguard.reports.sentence import describe
from leakguard.reports.style import clip, table, wrap
from leakguard.units import format_duration, format_size

MAX_WORKERS = 8
MAX_ROUTES = 12
MAX_FAILURES = 10
MAX_RECYCLES = 8
MAX_NOTES = 10
MAX_STUCK = 8
UNKNOWN = "–"


def accepted(report: Report, width: int) -> list[str]:
    """Return the findings that the user's rules accept, each with its rule."""
    return [
        line
        for finding in report.accepted
        for line in wrap(f"{describe(finding, report.alike(finding))} {safe(finding.known or '')}", width, "  - ")
    ]


def memory(report: Report, width: int) -> list[str]:
    """Return memory per worker, the youngest last, and when the ceiling is reached at the present growth."""
    shown = [state for state in report.workers if state.last is not None][-MAX_WORKERS:]
    if not shown:
        return []
    marks = "ceiling" if report.ceiling is not None else "limit"
    rows = [["worker", "", "requests", "first", "last", "peak", marks]]
    rows += [
        [
            str(state.pid),
            state.state,
            _count(state.requests),
            *(_size(value) for value in (state.first, state.last, state.peak, state.mark)),
        ]
        for state in shown
    ]
    lines = table(rows, left=2)
    hidden = sum(state.last is not None for state in report.workers) - len(shown)
    if hidden:
        lines.append(
            f"  and {_count(hidden)} earlier workers, the largest {_size(_largest(report.workers[:-MAX_WORKERS]))}"
        )
    lines += [line for state in shown if (said := _headroom(state, marks)) for line in wrap(said, width, "  ")]
    for relief in report.story.reliefs[-1:]:
        gave = format_size(max(relief.rss_before - relief.rss_after, 0))
        times = len(report.story.reliefs)
        lines.append(
            f"  relief ran {'once' if times == 1 else f'{_count(times)} times, the last time'} and gave back {gave}"
        )
    return lines


def _largest(states: tuple[WorkerState, ...]) -> int | None:
    return max((state.peak for state in states if state.peak is not None), default=None)


def _headroom(state: WorkerState, marks: str) -> str | None:
    if state.state != "running" or state.mark is None or state.last is None:
        return None
    room = state.mark - state.last
    if room <= 0:
        return f"{state.pid}: above its {marks} by {format_size(-room)}"
    if state.to_ceiling is None:
        return f"{state.pid}: {format_size(room)} below its {marks}, and no steady growth towards it"
    return f"{state.pid}: {format_size(room)} below its {marks}, reached in {format_duration(state.to_ceiling)} at this growth"


def recycles(report: Report, width: int) -> list[str]:
    """Return what recycling did, requests lost first; or what it would do here."""
    story = report.story
    if not story.recycles:
        return wrap(safe(report.strategy), width, "  ") if report.strategy else []
    lost = sum(recycle.lost for recycle in story.recycles)
    gaps = [recycle.gap_ms for recycle in story.recycles if recycle.gap_ms is not None]
    gap = f"; nobody answered for {_ms(statistics.median(gaps))} (median), {_ms(max(gaps))} at most" if gaps else ""
    count = len(story.recycles)
    lines = [
        f"  {_count(count)} recycle{'' if count == 1 else 's'}, {_count(lost)} request{'' if lost == 1 else 's'} lost{gap}"
    ]
    for recycle in story.recycles[-MAX_RECYCLES:]:
        lines += wrap(_recycle(recycle), width, "  - ")
    if count > MAX_RECYCLES:
        lines.append(f"  and {_count(count - MAX_RECYCLES)} earlier ones")
    return lines


def _recycle(recycle: Recycle) -> str:
    when = datetime.datetime.fromtimestamp(recycle.at, tz=datetime.UTC).strftime("%H:%M:%S")
    gap = "" if recycle.gap_ms is None else f", gap {_ms(recycle.gap_ms)}"
    return (
        f"{when} worker {recycle.pid} at {format_size(recycle.rss_before)}: {safe(recycle.reason)}; "
        f"{recycle.in_flight} in flight, {recycle.lost} lost{gap}"
    )


def response_times(report: Report, width: int) -> list[str]:
    """Return the story's table, max 99 95 50, overall and per route."""
    if not report.routes:
        return []
    rows = [["", "requests", "errors", "max", "99 %", "95 %", "50 %"], _times(report.overall, width)]
    rows += [_times(times, width) for times in report.routes[:MAX_ROUTES]]
    lines = table(rows)
    if len(report.routes) > MAX_ROUTES:
        lines.append(f"  and {_count(len(report.routes) - MAX_ROUTES)} more routes (--format json)")
    return lines


def _times(times: RouteTimes, width: int) -> list[str]:
    name = "all" if times.route is None else clip(safe(times.route), max(width - 60, 20))
    return [
        name,
        _count(times.count),
        _count(times.errors),
        *map(_ms, (times.longest, times.p99, times.p95, times.p50)),
    ]


def failures(report: Report, width: int) -> list[str]:
    """Return the unhandled errors, the most frequent first, with the requests that stayed in memory because of them."""
    lines: list[str] = []
    for failure in report.story.failures[:MAX_FAILURES]:
        kept = f", {_count(failure.retained)} of these requests kept in memory" if failure.retained else ""
        outside = "" if failure.source == "request" else f" ({safe(failure.source)})"
        lines += wrap(
            f"{_count(failure.count)} {safe(str(failure))} on {safe(failure.route)}{outside}{kept}", width, "  - "
        )
    hidden = len(report.story.failures) - MAX_FAILURES
    if hidden > 0:
        lines.append(f"  and {_count(hidden)} more kinds (--format json)")
    return lines


def stuck(report: Report, width: int) -> list[str]:
    """Return the requests without an answer and the tasks that outlived theirs, as each worker's last window saw them."""
    groups: dict[tuple[str, str, str], tuple[int, float]] = {}
    for each in report.story.workers:
        for entry in each.windows[-1].stuck if each.windows else ():
            where = f"at {entry.where} in {entry.where.function}" if entry.where else "at a place that is not known"
            key = (entry.kind, entry.route, where)
            count, age = groups.get(key, (0, 0.0))
            groups[key] = (count + entry.count, max(age, entry.age))
    lines: list[str] = []
    for (kind, route, where), (count, age) in sorted(groups.items(), key=lambda group: -group[1][1])[:MAX_STUCK]:
        what = "without an answer" if kind == "request" else "left over from requests that have ended"
        noun = kind if count == 1 else f"{kind}s"
        said = f"{_count(count)} {noun} of {route} {what}, waiting {where}, for {format_duration(age)}"
        lines += wrap(safe(said), width, "  - ")
    return lines


def notes(report: Report, width: int) -> list[str]:
    """Return what the workers left for the reader, the latest last, each sentence once."""
    said: dict[str, int] = {}
    for note in report.story.notes:
        said.pop(note.text, None)
        said[note.text] = note.pid
    lines = [
        line for text, pid in list(said.items())[-MAX_NOTES:] for line in wrap(f"{pid}: {safe(text)}", width, "  - ")
    ]
    if report.story.skipped:
        lines.append(
            f"  - {_count(report.story.skipped)} rows of the journal could not be understood and were left out"
        )
    return lines


def cost(report: Report) -> list[str]:
    """Return what leakguard itself cost, as far as it was measured."""
    spent = report.cost
    said = [
        f"{spent.hot_path_us:.1f} us per request" if spent.hot_path_us is not None else "",
        f"longest stall {_ms(spent.stall_ms_max)}" if spent.stall_ms_max is not None else "",
        f"{spent.share_of_cpu * 100:.2g} % of one core" if spent.share_of_cpu is not None else "",
    ]
    told = ", ".join(part for part in said if part)
    return [f"  {told}"] if told else []


def _count(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _size(size: int | None) -> str:
    return UNKNOWN if size is None else format_size(size)


def _ms(milliseconds: float | None) -> str:
    if milliseconds is None:
        return UNKNOWN
    if milliseconds < 10:
        return f"{milliseconds:.2g} ms"
    return f"{milliseconds:.0f} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:.1f} s"
