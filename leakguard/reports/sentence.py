"""One sentence per finding: who leaks what, who holds it, where it was allocated, how big it is and how it ended."""

from __future__ import annotations

from leakguard.records import Finding, Kind
from leakguard.reports.escape import safe
from leakguard.units import format_size

OUTSIDE = "outside Python"


def describe(finding: Finding, alike: bool = False) -> str:
    """Return a finding as one sentence, such as ``POST /telemetry: 1 request kept per failed request, held by …``.

    Args:
        finding: what to say.
        alike: all of the kept requests ended in the finding's error, not just most of them.
    """
    parts = [_what(finding)]
    parts += [part for part in (_holder(finding), _site(finding), _each(finding)) if part]
    text = ", ".join(parts) + _error(finding, alike) + "."
    if finding.route is not None:
        return f"{safe(finding.route)}: {text}"
    return text[0].upper() + text[1:]


def amount(value: float) -> str:
    """Return a rate as a person says it: ``1``, ``0.5``, ``2.5``, ``0.0042``, ``1 204``."""
    if abs(value - round(value)) <= 0.03 * abs(value) and round(value):
        return f"{round(value):,}".replace(",", " ")
    return f"{value:.2g}" if value < 10 else f"{value:.1f}"


def _what(finding: Finding) -> str:
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
            return f"{_counted(rate, _thing(finding))} kept per {per}"


def _thing(finding: Finding) -> str:
    return safe(finding.type) if finding.type else "object"


def _counted(rate: float | None, noun: str) -> str:
    if rate is None:
        return f"{noun}s"
    number = amount(rate)
    return f"{number} {noun}" if number == "1" or "." in noun else f"{number} {noun}s"


def _s(rate: float | None) -> str:
    return "s" if rate is not None and amount(rate) == "1" else ""


def _holder(finding: Finding) -> str | None:
    if finding.holder is None:
        return None
    if finding.holder == OUTSIDE:
        return "held outside Python (a C extension)"
    kind = _holder_type(finding)
    return f"held by {safe(finding.holder)}" + (f" ({safe(kind)})" if kind else "")


def _holder_type(finding: Finding) -> str | None:
    """Return the type of the holder, where the chain names it in front of it (``dict game.pending``)."""
    for edge in finding.chain:
        before, _, name = edge.rpartition(" ")
        if name == finding.holder and before and before != "module":
            return before
    return None


def _site(finding: Finding) -> str | None:
    if finding.site is None:
        return None
    verb = "waiting" if finding.kind is Kind.TASKS else "allocated"
    return f"{verb} at {safe(str(finding.site))}"


def _each(finding: Finding) -> str | None:
    if finding.kind in {Kind.NATIVE, Kind.ALLOCATOR, Kind.GC_DEBT} or not finding.bytes_per_request:
        return None
    if finding.per_request:
        return f"{format_size(finding.bytes_per_request / finding.per_request)} each"
    return f"{format_size(finding.bytes_per_request)} per request"


def _error(finding: Finding, alike: bool) -> str:
    if finding.error is None:
        return ""
    return f"; {'all' if alike else 'most'} ended in {safe(finding.error)}"
