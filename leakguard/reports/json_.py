"""The report for machines: schema 1, described in ``docs/report.md`` and ``docs/report.schema.json``.

What is not known is ``null``. Times of day are ISO 8601 in UTC.
"""

from __future__ import annotations

import datetime
import json

from leakguard.records import SCHEMA, Failure, Finding, Json, Recycle, Site, encode
from leakguard.reports.model import Report, RouteTimes


def render(report: Report) -> str:
    """Return the report as one JSON object in ASCII: hostile names cannot drive a terminal."""
    return json.dumps(as_dict(report), indent=2)


def as_dict(report: Report) -> dict[str, Json]:
    """Return the report as plain JSON types, in the order of the schema."""
    return {
        "schema": SCHEMA,
        "tool": {"name": "leakguard", "version": report.version},
        "python": report.python,
        "target": report.target,
        "verdict": report.verdict.kind.value,
        "reasons": list(report.verdict.reasons),
        "requests": report.requests,
        "windows": report.story.windows,
        "findings": [_finding(finding) for finding in report.story.findings],
        "failures": [_failure(failure) for failure in report.story.failures],
        "latency": [_times(times) for times in report.routes],
        "doctor": [encode(hypothesis) for hypothesis in report.doctor],
        "recycles": [_recycle(recycle) for recycle in report.story.recycles],
        "cost": encode(report.cost),
    }


def moment(seconds: float) -> str:
    """Return seconds since the epoch as ISO 8601 in UTC, with milliseconds."""
    when = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _site(site: Site | None) -> Json:
    return None if site is None else {"file": site.file, "line": site.line, "function": site.function}


def _finding(finding: Finding) -> Json:
    return {
        "kind": finding.kind.value,
        "status": finding.status.value,
        "fingerprint": finding.fingerprint,
        "new": finding.new,
        "route": finding.route,
        "type": finding.type,
        "also_types": list(finding.also_types),
        "site": _site(finding.site),
        "holder": finding.holder,
        "chain": list(finding.chain),
        "per_request": finding.per_request,
        "bytes_per_request": finding.bytes_per_request,
        "retained_bytes": finding.retained_bytes,
        "size_method": finding.size_method,
        "error": finding.error,
        "known": finding.known,
        "reasons": list(finding.reasons),
    }


def _failure(failure: Failure) -> Json:
    return {
        "fingerprint": failure.fingerprint,
        "type": failure.type,
        "site": _site(failure.site),
        "route": failure.route,
        "count": failure.count,
        "retained": failure.retained,
    }


def _times(times: RouteTimes) -> Json:
    return {
        "route": times.route,
        "count": times.count,
        "p50_ms": _round(times.p50),
        "p95_ms": _round(times.p95),
        "p99_ms": _round(times.p99),
        "max_ms": _round(times.longest),
    }


def _round(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 3)


def _recycle(recycle: Recycle) -> Json:
    return {
        "at": moment(recycle.at),
        "pid": recycle.pid,
        "reason": recycle.reason,
        "rss_before": recycle.rss_before,
        "in_flight": recycle.in_flight,
        "lost": recycle.lost,
        "gap_ms": _round(recycle.gap_ms),
    }
