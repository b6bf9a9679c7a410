"""What is said of a report and of a finding besides its sentence, the same in every format for people."""

from __future__ import annotations

from leakguard.records import Finding
from leakguard.reports import words
from leakguard.reports.escape import safe
from leakguard.reports.model import Report
from leakguard.reports.sentence import Quote
from leakguard.units import format_duration, format_size

MAX_REASONS = 8
MAX_TYPES = 5


def title(report: Report, quote: Quote = safe) -> str:
    """Return what was observed: ``leakguard 0.1.0: game:app on gunicorn, Python 3.11.7``."""
    server = f" on {quote(report.server)}" if report.server and report.server != "unknown" else ""
    python = f", Python {quote(report.python)}" if report.python else ""
    return f"leakguard {report.version}: {quote(report.target or 'app')}{server}{python}"


def extent(report: Report) -> str | None:
    """Return when it was observed and how much of it; ``None`` when no window was closed."""
    if report.began is None or report.ended is None:
        return None
    seen = [
        words.plural(report.requests, "request"),
        words.plural(len(report.story.workers), "worker"),
        words.plural(len(report.story.recycles), "recycle"),
        words.plural(report.story.windows, "window"),
    ]
    began, ended = words.clock(report.began), words.clock(report.ended)
    if ended.partition(" ")[0] == began.partition(" ")[0]:
        ended = ended.partition(" ")[2]
    return f"{began} to {ended} UTC ({format_duration(report.ended - report.began)}): {', '.join(seen)}"


def verdict(report: Report) -> str:
    """Return the verdict with the number of findings: ``leak (2 findings, 1 new)``."""
    kind = report.verdict.kind.value
    if not report.fresh:
        return kind
    new = sum(finding.new for finding in report.fresh)
    return f"{kind} ({words.plural(len(report.fresh), 'finding')}, {new} new)"


def marks(finding: Finding, report: Report, quote: Quote = safe) -> list[str]:
    """Return how sure it is, since when it is known, in how many workers, and its fingerprint."""
    key = finding.fingerprint
    said = [finding.status.value, "new" if finding.new else "seen before"]
    seen = report.story.first_seen.get(key)
    if seen is not None:
        said.append(f"first seen {words.clock(seen)} UTC")
    workers = report.story.found_by.get(key)
    if workers is not None:
        said.append(f"in {words.plural(workers, 'worker')}")
    return [*said, f"fingerprint {quote(key)}"]


def held(finding: Finding, quote: Quote = safe) -> str:
    """Return how much is kept, with the way it was estimated; empty when that is not known."""
    said = []
    if finding.count is not None:
        said.append(f"{words.count(finding.count)} alive in one worker")
    if finding.retained_bytes is not None:
        method = f" (estimate: {quote(finding.size_method)})" if finding.size_method else " (estimate)"
        said.append(f"{format_size(finding.retained_bytes)} held{method}")
    if finding.also_types:
        said.append(f"with {', '.join(quote(name) for name in finding.also_types[:MAX_TYPES])}")
    return "; ".join(said)


def reasons(finding: Finding) -> list[str]:
    """Return why it is said, the first reasons of many."""
    more = len(finding.reasons) - MAX_REASONS
    return [*finding.reasons[:MAX_REASONS], *([f"and {more} more reasons (--format json)"] if more > 0 else [])]
