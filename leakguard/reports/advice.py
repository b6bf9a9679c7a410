"""What to do next, per kind of finding and for the report as a whole."""

from __future__ import annotations

from leakguard.records import Finding, Kind, Status
from leakguard.reports.escape import safe
from leakguard.reports.model import Report
from leakguard.reports.sentence import OUTSIDE, Quote

_HELD = "Remove entries from the holder when they are done with, or bound it (maxlen, maxsize, weakref)."
_GENERAL = {
    Kind.NATIVE: "Look for a C extension that allocates per request and does not free; update it or its wrapper.",
    Kind.TASKS: "Give what the tasks wait for a timeout, or cancel them when their request ends.",
    Kind.RETAINED_REQUESTS: "Let go of the request where it ends: `finally`, or an error handler; bound what collects them.",
    Kind.GC_DEBT: "Break the reference cycle through the request (a closure, or an exception that is kept with its traceback).",
    Kind.ALLOCATOR: "Try MALLOC_ARENA_MAX=2 in the environment, or another malloc; recycling at a ceiling covers it meanwhile.",
    Kind.DESCRIPTORS: "Close files, sockets and sessions in `with` or `finally`, on the error path as well.",
    Kind.THREADS: "Use one pool for the whole worker; a thread that is started per request must be told to end.",
}


def advise(finding: Finding, quote: Quote = safe) -> list[str]:
    """Return what to do about one finding, the nearest thing first."""
    steps = []
    if finding.status is Status.SUSPECT:
        steps.append("Wait for a second window to agree, or look closer now: LEAKGUARD_LEVEL=trace.")
    if finding.error is not None:
        raised = finding.error.partition(" at ")
        where = f" at {quote(raised[2])}" if raised[2] else ""
        steps.append(
            f"Handle {quote(raised[0])}{where}, and let go of the request there: `finally`, or an error handler."
        )
    if finding.kind is Kind.TASKS:
        where = f" at {quote(str(finding.site))}" if finding.site else ""
        steps.append(f"Give what the tasks wait for{where} a timeout, or cancel them when their request ends.")
    elif finding.kind is Kind.NATIVE or finding.holder == OUTSIDE:
        steps.append(_GENERAL[Kind.NATIVE])
    elif finding.kind in _GENERAL and finding.kind is not Kind.RETAINED_REQUESTS:
        steps.append(_GENERAL[finding.kind])
    elif finding.holder is not None:
        steps.append(
            f"Remove entries from {quote(finding.holder)} when they are done with, or bound it (maxlen, maxsize, weakref)."
        )
    if finding.site is None and finding.kind in {Kind.LEAK, Kind.RETAINED_REQUESTS, Kind.NATIVE}:
        steps.append(
            "No allocation site yet: LEAKGUARD_LEVEL=trace finds it, at 7 to 15 times the cost while it looks."
        )
    return steps


def in_general(kind: Kind) -> str:
    """Return what helps against this kind of leak, whoever holds it."""
    return _GENERAL.get(kind, _HELD)


def next_steps(report: Report) -> list[str]:
    """Return what to do when no finding says it."""
    if report.fresh:
        return []
    if report.verdict.kind is Kind.UNKNOWN and report.story.path:  # a check has said by itself what to do
        return ["Let the app serve some minutes of its usual load after the warm-up, then report again."]
    return []
