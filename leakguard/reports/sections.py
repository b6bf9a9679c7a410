"""The sections of a report for people: memory, recycles, response times, errors, what is stuck, notes, cost.

Each is made once, as rows and sentences; the formats only lay them out.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from leakguard.records import Recycle
from leakguard.reports.escape import safe
from leakguard.reports.model import Report, RouteTimes, WorkerState
from leakguard.reports.sentence import Quote, describe
from leakguard.reports.words import count, day_time, milliseconds, plural, size
from leakguard.units import format_duration, format_size

MAX_WORKERS = 8
MAX_ROUTES = 12
MAX_FAILURES = 10
MAX_RECYCLES = 8
MAX_NOTES = 10
MAX_STUCK = 8


@dataclass(frozen=True, slots=True)
class Section:
    """One section: a table whose first row is its head, then sentences, then items, then what was left out."""

    title: str
    rows: tuple[tuple[str, ...], ...] = ()
    left: int = 1  # columns that are words; the others are figures
    said: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    more: str = ""

    def __bool__(self) -> bool:
        """Whether there is anything to print."""
        return bool(self.rows or self.said or self.items or self.more)


def before_doctor(report: Report, quote: Quote = safe, say: Quote = safe) -> list[Section]:
    """Return what was measured, in the order of the report, empty sections left out.

    Args:
        report: what to tell.
        quote: makes a name harmless where the section is shown.
        say: the same for a sentence that may have names in it.
    """
    made = [
        accepted(report, quote, say),
        memory(report),
        recycles(report, say),
        response_times(report, quote),
        failures(report, quote),
        stuck(report, quote),
    ]
    return [section for section in made if section]


def after_doctor(report: Report, say: Quote = safe) -> list[Section]:
    """Return what comes last: the workers' notes and what leakguard cost."""
    return [section for section in (notes(report, say), cost(report)) if section]


def accepted(report: Report, quote: Quote = safe, say: Quote = safe) -> Section:
    """Return the findings that the user's rules accept, each with its rule."""
    return Section(
        "Accepted",
        items=tuple(f"{describe(f, report.alike(f), quote)} {say(f.known or '')}" for f in report.accepted),
    )


def memory(report: Report) -> Section:
    """Return memory per worker, the youngest last, and when the ceiling is reached at the present growth."""
    measured = [state for state in report.workers if state.last is not None]
    shown = measured[-MAX_WORKERS:]
    if not shown:
        return Section("Memory")
    marks = "ceiling" if report.ceiling is not None else "limit"
    rows = [("worker", "", "requests", "first", "last", "peak", marks)]
    rows += [
        (str(s.pid), s.state, count(s.requests), size(s.first), size(s.last), size(s.peak), size(s.mark)) for s in shown
    ]
    said = []
    earlier = measured[:-MAX_WORKERS]
    if earlier:
        largest = max(state.peak or 0 for state in earlier)
        said.append(f"and {plural(len(earlier), 'earlier worker')}, the largest {size(largest)}")
    said += [room for state in shown if (room := headroom(state, marks))]
    for relief in report.story.reliefs[-1:]:
        gave = format_size(max(relief.rss_before - relief.rss_after, 0))
        times = len(report.story.reliefs)
        said.append(
            f"relief ran {'once' if times == 1 else f'{count(times)} times, the last time'} and gave back {gave}"
        )
    return Section("Memory", tuple(rows), left=2, said=tuple(said))


def headroom(state: WorkerState, marks: str) -> str | None:
    """Return how far a running worker is from its mark (``ceiling`` or ``limit``), and when it will be there."""
    if state.state != "running" or state.mark is None or state.last is None:
        return None
    room = state.mark - state.last
    if room <= 0:
        return f"{state.pid}: above its {marks} by {format_size(-room)}"
    if state.to_ceiling is None:
        return f"{state.pid}: {format_size(room)} below its {marks}, and no steady growth towards it"
    return f"{state.pid}: {format_size(room)} below its {marks}, reached in {format_duration(state.to_ceiling)} at this growth"


def recycles(report: Report, say: Quote = safe) -> Section:
    """Return what recycling did, requests lost first; or what it would do here."""
    done = report.story.recycles
    if not done:
        return Section("Recycles", said=(say(report.strategy),) if report.strategy else ())
    lost = sum(recycle.lost for recycle in done)
    gaps = [recycle.gap_ms for recycle in done if recycle.gap_ms is not None]
    gap = ""
    if gaps:
        gap = (
            f"; nobody answered for {milliseconds(statistics.median(gaps))} (median), {milliseconds(max(gaps))} at most"
        )
    return Section(
        "Recycles",
        said=(f"{plural(len(done), 'recycle')}, {plural(lost, 'request')} lost{gap}",),
        items=tuple(_recycle(recycle, say) for recycle in done[-MAX_RECYCLES:]),
        more=f"and {count(len(done) - MAX_RECYCLES)} earlier ones" if len(done) > MAX_RECYCLES else "",
    )


def _recycle(recycle: Recycle, say: Quote) -> str:
    gap = "" if recycle.gap_ms is None else f", gap {milliseconds(recycle.gap_ms)}"
    return (
        f"{day_time(recycle.at)} worker {recycle.pid} at {format_size(recycle.rss_before)}: {say(recycle.reason)}; "
        f"{recycle.in_flight} in flight, {recycle.lost} lost{gap}"
    )


def response_times(report: Report, quote: Quote = safe) -> Section:
    """Return the story's table, max 99 95 50, overall and per route."""
    if not report.routes:
        return Section("Response times")
    rows = [("", "requests", "errors", "max", "99 %", "95 %", "50 %"), _times(report.overall, quote)]
    rows += [_times(times, quote) for times in report.routes[:MAX_ROUTES]]
    more = len(report.routes) - MAX_ROUTES
    return Section(
        "Response times", tuple(rows), more=f"and {plural(more, 'more route')} (--format json)" if more > 0 else ""
    )


def _times(times: RouteTimes, quote: Quote) -> tuple[str, ...]:
    name = "all" if times.route is None else quote(times.route)
    figures = map(milliseconds, (times.longest, times.p99, times.p95, times.p50))
    return (name, count(times.count), count(times.errors), *figures)


def failures(report: Report, quote: Quote = safe) -> Section:
    """Return the unhandled errors, the most frequent first, with the requests that stayed in memory because of them."""
    items = []
    for failure in report.story.failures[:MAX_FAILURES]:
        kept = f", {count(failure.retained)} of these requests kept in memory" if failure.retained else ""
        outside = "" if failure.source == "request" else f" ({quote(failure.source)})"
        items.append(f"{count(failure.count)} {quote(str(failure))} on {quote(failure.route)}{outside}{kept}")
    said = []
    hidden = len(report.story.failures) - MAX_FAILURES
    if hidden > 0:
        said.append(f"and {plural(hidden, 'more kind')} (--format json)")
    if report.forgotten:
        said.append(
            f"{plural(report.forgotten, 'rare kind')} had to be forgotten to make room: counts of rare ones may be low"
        )
    return Section("Unhandled errors", items=tuple(items), more="; ".join(said))


def stuck(report: Report, quote: Quote = safe) -> Section:
    """Return the requests without an answer and the tasks that outlived theirs, as each worker's last window saw them."""
    items = []
    for entry in report.stuck[:MAX_STUCK]:
        what = "without an answer" if entry.kind == "request" else "left over from requests that have ended"
        where = "at a place that is not known"
        if entry.where is not None:
            where = f"at {quote(str(entry.where))} in {quote(entry.where.function)}"
        items.append(
            f"{plural(entry.count, quote(entry.kind))} of {quote(entry.route)} {what}, waiting {where}, "
            f"for {format_duration(entry.age)}"
        )
    more = len(report.stuck) - MAX_STUCK
    return Section(
        "Stuck", items=tuple(items), more=f"and {plural(more, 'more place')} (--format json)" if more > 0 else ""
    )


def notes(report: Report, say: Quote = safe) -> Section:
    """Return what the workers left for the reader, the latest last, each sentence once."""
    told: dict[str, int] = {}
    for note in report.story.notes:
        told.pop(note.text, None)
        told[note.text] = note.pid
    items = [f"{pid}: {say(text)}" for text, pid in list(told.items())[-MAX_NOTES:]]
    skipped = report.story.skipped
    if skipped:
        items.append(
            f"{plural(skipped, 'row')} of the journal could not be understood and {'was' if skipped == 1 else 'were'} left out"
        )
    return Section("Notes", items=tuple(items))


def cost(report: Report) -> Section:
    """Return what leakguard itself cost, as far as it was measured."""
    spent = report.cost
    said = [
        f"{spent.hot_path_us:.1f} us per request" if spent.hot_path_us is not None else "",
        f"longest stall {milliseconds(spent.stall_ms_max)}" if spent.stall_ms_max is not None else "",
        f"{spent.share_of_cpu * 100:.2g} % of one core" if spent.share_of_cpu is not None else "",
    ]
    told = ", ".join(part for part in said if part)
    return Section("Cost of leakguard", said=(told,) if told else ())
