"""What to do next, per kind of finding and for the report as a whole."""

from __future__ import annotations

from leakguard.records import Finding, Kind, Status
from leakguard.reports.escape import safe
from leakguard.reports.holders import habit
from leakguard.reports.model import Report
from leakguard.reports.sentence import OUTSIDE, Quote, holder_type

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

_MORE = {
    Kind.ALLOCATOR: (
        "Each thread may use its own arena of the C heap, and what it frees stays there: MALLOC_ARENA_MAX=2 costs little.",
        "MALLOC_TRIM_THRESHOLD_=131072 gives free memory back sooner; LD_PRELOAD of jemalloc or mimalloc replaces malloc.",
        "Large short-lived objects between small long-lived ones keep pages in use: build big answers in pieces (streaming).",
    ),
    Kind.NATIVE: (
        "Which extension it is: leave one out, or run the route under memray with --native, which shows stacks of C code.",
    ),
    Kind.GC_DEBT: ("Until then it waits, it is not lost: a lower first number in gc.set_threshold frees it sooner.",),
    Kind.TASKS: (
        "asyncio.timeout() around what they wait for; a TaskGroup ends with its block and takes its tasks along.",
    ),
    Kind.THREADS: (
        "A ThreadPoolExecutor as a context manager joins its threads; threading.enumerate() names those that live.",
    ),
    Kind.DESCRIPTORS: (
        "ls -l /proc/PID/fd shows what they are: sockets point to clients made per request, files to a missing close.",
    ),
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
    elif (known := habit(finding, holder_type(finding))) is not None and known.particular:
        steps.append(known.advice)
    elif finding.holder is not None:
        steps.append(_bound(finding, quote))
    if finding.site is None and finding.kind in {Kind.LEAK, Kind.RETAINED_REQUESTS, Kind.NATIVE}:
        steps.append(
            "No allocation site yet: LEAKGUARD_LEVEL=trace finds it, at 7 to 15 times the cost while it looks."
        )
    return steps


def _bound(finding: Finding, quote: Quote) -> str:
    return f"Remove entries from {quote(finding.holder or '')} when they are done with, or bound it (maxlen, maxsize, weakref)."


def in_general(kind: Kind) -> str:
    """Return what helps against this kind of leak, whoever holds it."""
    return _GENERAL.get(kind, _HELD)


def in_detail(finding: Finding, quote: Quote = safe) -> list[str]:
    """Return all that is known to help against one finding."""
    steps = advise(finding, quote)
    known = habit(finding, holder_type(finding))
    general = _bound(finding, quote)
    if known is not None and general in steps:
        steps[steps.index(general)] = (
            f"{quote(finding.holder or 'holder')}: {known.advice[0].lower()}{known.advice[1:]}"
        )
    steps += [step for step in _MORE.get(finding.kind, ()) if step not in steps]
    return steps


def next_steps(report: Report, quote: Quote = safe) -> list[str]:
    """Return what to do about the report as a whole."""
    if report.fresh and report.story.path:
        first = report.fresh[0].fingerprint
        return [f"{quote(f'leakguard explain {first}')} shows its source lines, its rate over time and a test for it."]
    if report.fresh or report.verdict.kind is not Kind.UNKNOWN:
        return []
    if report.story.path:
        return ["Let the app serve some minutes of its usual load after the warm-up, then report again."]
    named = "Name requests that the app answers (--requests FILE, --path PATH), say --errors-expected where errors are meant"
    return [f"{named}, or give it more time (--deadline)."]
