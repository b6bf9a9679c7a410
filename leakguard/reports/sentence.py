"""One sentence per finding: who leaks what, who holds it, where it was allocated, how big it is and how it ended."""

from __future__ import annotations

from collections.abc import Callable

from leakguard.records import Finding, Kind
from leakguard.reports.escape import safe
from leakguard.units import format_size

OUTSIDE = "outside Python"

Quote = Callable[[str], str]
"""How a format makes a name harmless that comes from a client or from the host's code."""


def describe(finding: Finding, alike: bool = False, quote: Quote = safe) -> str:
    """Return a finding as one sentence, such as ``POST /telemetry: 1 request kept per failed request, held by …``.

    Args:
        finding: what to say.
        alike: all of the kept requests ended in the finding's error, not just most of them.
        quote: makes each name harmless where the sentence is shown; for a terminal by default.
    """
    parts = [_what(finding, quote)]
    parts += [part for part in (_holder(finding, quote), _site(finding, quote), _each(finding)) if part]
    text = ", ".join(parts) + _error(finding, alike, quote) + "."
    if finding.route is not None:
        return f"{quote(finding.route)}: {text}"
    return text[0].upper() + text[1:]


def amount(value: float) -> str:
    """Return a rate as a person says it: ``1``, ``0.5``, ``2.5``, ``0.0042``, ``1 204``."""
    if abs(value - round(value)) <= 0.03 * abs(value) and round(value):
        return f"{round(value):,}".replace(",", " ")
    return f"{value:.2g}" if value < 10 else f"{value:.1f}"


def _what(finding: Finding, quote: Quote) -> str:
    rate = finding.per_request
    per = "failed request" if finding.failed else "request"
    size = f"{format_size(finding.bytes_per_request)} per request" if finding.bytes_per_request else None
    match finding.kind:
        case Kind.RETAINED_REQUESTS:
            return f"{_counted(rate, 'request')} kept per {per}"
        case Kind.TASKS:
            return f"{_counted(rate, 'task')} per {per} that never end{_s(rate)}"
        case Kind.THREADS:
            return f"{_counted(rate, 'thread')} per {per} that never end{_s(rate)}"
        case Kind.DESCRIPTORS:
            return f"{_counted(rate, 'descriptor')} per {per} left open"
        case Kind.GC_DEBT:
            share = "some" if rate is None else f"{min(rate, 1.0) * 100:.0f} %"
            return f"{share} of the requests outlive their answer until the cyclic collector frees them"
        case Kind.NATIVE:
            return f"C memory grows by {size or 'an unknown amount per request'} while Python's own objects do not"
        case Kind.ALLOCATOR:
            return f"freed memory is not returned to the system{', ' + size if size else ''}"
        case _:
            if finding.type is not None and "." in finding.type:
                return f"{'' if rate is None else f'{amount(rate)} '}{quote(finding.type)} kept per {per}"
            return f"{_counted(rate, quote(finding.type) if finding.type else 'object')} kept per {per}"


def _counted(rate: float | None, noun: str) -> str:
    if rate is None:
        return f"{noun}s"
    number = amount(rate)
    return f"{number} {noun}" if number == "1" else f"{number} {noun}s"


def _s(rate: float | None) -> str:
    return "s" if rate is not None and amount(rate) == "1" else ""


def _holder(finding: Finding, quote: Quote) -> str | None:
    if finding.holder is None:
        return None
    if finding.holder == OUTSIDE:
        return "held outside Python (a C extension)"
    kind = holder_type(finding)
    return f"held by {quote(finding.holder)}" + (f" ({quote(kind)})" if kind else "")


def holder_type(finding: Finding) -> str | None:
    """Return the type of the holder, where the chain names it in front of it (``dict game.pending``)."""
    for edge in finding.chain:
        before, _, name = edge.rpartition(" ")
        if name == finding.holder and before and before != "module":
            return before
    return None


def _site(finding: Finding, quote: Quote) -> str | None:
    if finding.site is None:
        return None
    verb = "waiting" if finding.kind is Kind.TASKS else "allocated"
    return f"{verb} at {quote(str(finding.site))}"


def _each(finding: Finding) -> str | None:
    if finding.kind in {Kind.NATIVE, Kind.ALLOCATOR, Kind.GC_DEBT} or not finding.bytes_per_request:
        return None
    if finding.per_request:
        return f"{format_size(finding.bytes_per_request / finding.per_request)} each"
    return f"{format_size(finding.bytes_per_request)} per request"


def _error(finding: Finding, alike: bool, quote: Quote) -> str:
    if finding.error is None:
        return ""
    return f"; {'all' if alike else 'most'} ended in {quote(finding.error)}"
