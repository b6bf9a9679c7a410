"""What the document says first: one sentence, a few figures, and what each chart shows in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leakguard.records import Finding, Kind, Recycle
from leakguard.reports import about, advice, sections, tree, words
from leakguard.reports.html.series import colours
from leakguard.reports.html.words import marked, name
from leakguard.reports.model import Report, WorkerState
from leakguard.reports.sentence import describe
from leakguard.units import format_duration, format_size

MAX_WORKERS = 40
MAX_ROUTES = 60
MAX_FAILURES = 30
MAX_RECYCLES = 30

_HEADLINES = {
    Kind.LEAK: "There is a leak",
    Kind.RETAINED_REQUESTS: "There is a leak: requests stay in memory",
    Kind.NATIVE: "There is a leak in C memory",
    Kind.GC_DEBT: "No lasting leak: requests wait for the collector",
    Kind.ALLOCATOR: "No leak: freed memory is not given back",
    Kind.TASKS: "There is a leak: tasks never end",
    Kind.THREADS: "There is a leak: threads never end",
    Kind.DESCRIPTORS: "There is a leak: descriptors stay open",
    Kind.STEADY: "No leak",
    Kind.UNKNOWN: "Too early to say",
}
_MOODS = {Kind.STEADY: "good", Kind.UNKNOWN: "open"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that a glance should catch, with what it means below it."""

    label: str
    value: str
    more: str = ""
    share: float | None = None  # of the ceiling, for the bar
    mood: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge of a holder chain; the suspect one is where somebody must let go."""

    text: str
    suspect: bool


@dataclass(frozen=True, slots=True)
class Told:
    """One finding as the document tells it."""

    finding: Finding
    sentence: str
    marks: tuple[str, ...]
    chain: tuple[Edge, ...]
    held: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker and the colour of its line, ``None`` for those that have ended."""

    state: WorkerState
    colour: int | None


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the templates print beside the report itself."""

    title: str
    headline: str
    mood: str  # bad, good or open
    answer: tuple[str, ...]
    figures: tuple[Figure, ...]
    findings: tuple[Told, ...]
    accepted: tuple[Told, ...]
    workers: tuple[WorkerRow, ...]
    hidden_workers: int
    recycles: tuple[Recycle, ...]
    memory_said: str
    times_said: str
    stuck: tuple[str, ...]
    notes: tuple[str, ...]
    cost: str
    next_steps: tuple[str, ...]


def view(report: Report) -> View:
    """Return what the templates print. Pure."""
    colour = colours(report)
    rows = [WorkerRow(state, colour.get(place)) for place, state in enumerate(report.workers) if state.last is not None]
    kind = report.verdict.kind
    suspected = kind is Kind.UNKNOWN and report.fresh
    return View(
        title=report.target or "app",
        headline="Something is suspected" if suspected else _HEADLINES[kind],
        mood=_MOODS.get(kind, "bad"),
        answer=tuple(_answer(report)),
        figures=tuple(_figures(report)),
        findings=tuple(_told(finding, report) for finding in report.fresh),
        accepted=tuple(_told(finding, report) for finding in report.accepted),
        workers=tuple(sorted(rows[-MAX_WORKERS:], key=lambda row: row.state.state != "running")),
        hidden_workers=max(len(rows) - MAX_WORKERS, 0),
        recycles=tuple(reversed(report.story.recycles[-MAX_RECYCLES:])),
        memory_said=_memory_said(report),
        times_said=_times_said(report),
        stuck=sections.stuck(report, marked).items,
        notes=sections.notes(report).items,
        cost=" ".join(sections.cost(report).said),
        next_steps=tuple(advice.next_steps(report)),
    )


def _answer(report: Report) -> list[str]:
    if report.fresh:
        return [describe(report.fresh[0], report.alike(report.fresh[0]), marked)]
    return list(report.verdict.reasons) or ["Nothing grows with the requests."]


def _figures(report: Report) -> list[Figure]:
    running = [state for state in report.workers if state.state == "running" and state.last is not None]
    figures = [_largest(running), _ceiling_reached(running)] if running else []
    errors = sum(route.errors for route in report.routes)
    story = report.story
    lost = sum(recycle.lost for recycle in story.recycles)
    overall = report.overall
    figures += [
        Figure("Requests", words.count(report.requests), f"{words.count(errors)} errors"),
        Figure(
            "99 % answered within", words.milliseconds(overall.p99), f"half within {words.milliseconds(overall.p50)}"
        ),
        Figure(
            "Recycles",
            words.count(len(story.recycles)),
            f"{words.count(lost)} requests lost",
            mood="bad" if lost else "",
        ),
    ]
    return figures


def _largest(running: Sequence[WorkerState]) -> Figure:
    state = max(running, key=lambda each: (each.last or 0) / (each.mark or 1 << 50))
    of = f"of {words.size(state.mark)}" if state.mark is not None else "no ceiling is set"
    share = None if state.mark is None or state.last is None else state.last / state.mark
    who = f", worker {state.pid}" if len(running) > 1 else ""
    return Figure("Memory now", words.size(state.last), f"{of}{who}", share, "bad" if share and share >= 1 else "")


def _ceiling_reached(running: Sequence[WorkerState]) -> Figure:
    left = [state.to_ceiling for state in running if state.to_ceiling is not None]
    when = format_duration(min(left)) if left else "not in sight"
    return Figure("Ceiling reached in", when, f"{words.plural(len(running), 'worker')} running")


def _told(finding: Finding, report: Report) -> Told:
    return Told(
        finding=finding,
        sentence=describe(finding, report.alike(finding), marked),
        marks=(
            finding.kind.value,
            *about.marks(finding, report, name)[1:-1],
        ),  # the first and the last have a place of their own
        chain=_chain(finding),
        held=about.held(finding, name),
        steps=tuple(advice.advise(finding)),
    )


def _chain(finding: Finding) -> tuple[Edge, ...]:
    suspect = tree.suspect_edge(finding)
    return tuple(Edge(edge, number == suspect) for number, edge in enumerate(finding.chain))


def _memory_said(report: Report) -> str:
    seen = [state for state in report.workers if state.last is not None]
    if not seen:
        return "No memory reading yet."
    peak = max(state.peak or 0 for state in seen)
    mark = f" The ceiling is {format_size(report.ceiling)}." if report.ceiling is not None else " No ceiling is set."
    recycled = sum(recycle.at >= (report.began or 0) for recycle in report.story.recycles)
    marked = f" {words.plural(recycled, 'recycle')} marked." if recycled else ""
    return f"Memory of {words.plural(len(seen), 'worker')}, at most {format_size(peak)}.{mark}{marked}"


def _times_said(report: Report) -> str:
    overall = report.overall
    if not report.routes:
        return "No request yet."
    return (
        f"Half of {words.count(overall.count)} requests were answered within {words.milliseconds(overall.p50)}, 95 % within "
        f"{words.milliseconds(overall.p95)}, 99 % within {words.milliseconds(overall.p99)}, the slowest took "
        f"{words.milliseconds(overall.longest)}."
    )
