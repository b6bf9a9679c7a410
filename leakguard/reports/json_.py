"""The report for machines: schema 1, described in ``docs/report.md`` and ``docs/report.schema.json``.

What is not known is ``null``. Times of day are ISO 8601 in UTC. Keys are added, never changed or removed; every object has
its original keys first.
"""

from __future__ import annotations

import json

from leakguard.records import SCHEMA, Failure, Finding, Json, Recycle, Site, Stuck, encode
from leakguard.reports import advice
from leakguard.reports.model import Report, RouteTimes, WorkerState
from leakguard.reports.sentence import describe
from leakguard.reports.words import iso as moment

__all__ = ["as_dict", "finding", "moment", "render", "times"]


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
        "findings": [finding(each, report) for each in report.story.findings],
        "failures": [_failure(failure) for failure in report.story.failures],
        "latency": [times(each) for each in report.routes],
        "doctor": [encode(hypothesis) for hypothesis in report.doctor],
        "recycles": [_recycle(recycle) for recycle in report.story.recycles],
        "cost": encode(report.cost),
        "journal": report.story.path or None,
        "began": _moment(report.began),
        "ended": _moment(report.ended),
        "server": report.server,
        "strategy": report.strategy,
        "ceiling": report.ceiling,
        "overall": times(report.overall),
        "workers": [_worker(state) for state in report.workers],
        "stuck": [_stuck(entry) for entry in report.stuck],
        "reliefs": [{**_record(relief), "at": moment(relief.at)} for relief in report.story.reliefs],
        "notes": [{**_record(note), "at": moment(note.at)} for note in report.story.notes],
        "forgotten_failures": report.forgotten,
        "skipped_rows": report.story.skipped,
        "left_out": len(report.story.left_out),
    }


def finding(each: Finding, report: Report) -> dict[str, Json]:
    """Return a finding as plain JSON types; the report adds when it was first seen, by how many, and its sentence."""
    first = report.story.first_seen.get(each.fingerprint)
    return {
        "kind": each.kind.value,
        "status": each.status.value,
        "fingerprint": each.fingerprint,
        "new": each.new,
        "route": each.route,
        "type": each.type,
        "also_types": list(each.also_types),
        "site": _site(each.site),
        "holder": each.holder,
        "chain": list(each.chain),
        "per_request": each.per_request,
        "bytes_per_request": each.bytes_per_request,
        "retained_bytes": each.retained_bytes,
        "size_method": each.size_method,
        "error": each.error,
        "known": each.known,
        "reasons": list(each.reasons),
        "accepted": each.accepted,
        "count": each.count,
        "per_failed_request": each.failed,
        "first_seen": _moment(first),
        "workers": report.story.found_by.get(each.fingerprint),
        "sentence": describe(each, report.alike(each)),
        "next": [*advice.advise(each)],
    }


def times(each: RouteTimes) -> dict[str, Json]:
    """Return response times as plain JSON types; those of all routes have no ``route``."""
    return {
        "route": each.route,
        "count": each.count,
        "p50_ms": _round(each.p50),
        "p95_ms": _round(each.p95),
        "p99_ms": _round(each.p99),
        "max_ms": _round(each.longest),
        "errors": each.errors,
    }


def _record(record: object) -> dict[str, Json]:
    made = encode(record)
    return made if isinstance(made, dict) else {}


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else moment(seconds)


def _site(site: Site | None) -> Json:
    return None if site is None else {"file": site.file, "line": site.line, "function": site.function}


def _failure(failure: Failure) -> Json:
    return {
        "fingerprint": failure.fingerprint,
        "type": failure.type,
        "site": _site(failure.site),
        "route": failure.route,
        "count": failure.count,
        "retained": failure.retained,
        "source": failure.source,
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
        "strategy": recycle.strategy or None,
        "waited_s": round(recycle.waited, 3),
    }


def _worker(state: WorkerState) -> Json:
    return {
        "pid": state.pid,
        "state": state.state,
        "requests": state.requests,
        "rss_first": state.first,
        "rss_last": state.last,
        "rss_peak": state.peak,
        "mark": state.mark,
        "to_mark_s": None if state.to_ceiling is None else round(state.to_ceiling, 1),
    }


def _stuck(entry: Stuck) -> Json:
    return {
        "kind": entry.kind,
        "route": entry.route,
        "age_s": round(entry.age, 3),
        "site": _site(entry.where),
        "count": entry.count,
    }
