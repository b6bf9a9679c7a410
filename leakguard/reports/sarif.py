"""The report as SARIF 2.1.0, for code scanning: one result per finding, one rule per kind.

The partial fingerprint is the finding's own, so that a leak stays one alert from upload to upload; accepted findings are
suppressed with their reason. A run that measured too little says so in its invocation, and does not pass for a clean one.
"""

from __future__ import annotations

import json
import urllib.parse

from leakguard.records import Failure, Finding, Json, Kind, Site
from leakguard.reports import advice, places, words
from leakguard.reports.escape import safe
from leakguard.reports.grade import TITLES, Grade, grade
from leakguard.reports.model import Report
from leakguard.reports.sentence import describe

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT = "leakguard/v1"
_RULES = tuple(TITLES)
_BASE = "SRCROOT"


def render(report: Report) -> str:
    """Return the report as one SARIF log in ASCII."""
    return json.dumps(as_dict(report), indent=2)


def as_dict(report: Report) -> dict[str, Json]:
    """Return the log as plain JSON types."""
    driver: dict[str, Json] = {
        "name": "leakguard",
        "version": report.version,
        "semanticVersion": report.version,
        "rules": [_rule(kind) for kind in _RULES],
    }
    run: dict[str, Json] = {
        "tool": {"driver": driver},
        "invocations": [_invocation(report)],
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, report) for finding in (*report.fresh, *report.accepted)],
        "properties": {"verdict": report.verdict.kind.value, "requests": report.requests},
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(kind: Kind) -> Json:
    return {
        "id": kind.value,
        "name": "".join(part.capitalize() for part in kind.value.split("-")),
        "shortDescription": {"text": TITLES[kind]},
        "fullDescription": {
            "text": f"{TITLES[kind]}: confirmed by two disjoint windows, or suspected after the first."
        },
        "help": {"text": advice.in_general(kind)},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["memory", "reliability"], "precision": "high"},
    }


def _invocation(report: Report) -> Json:
    measured = bool(report.fresh) or report.verdict.kind is not Kind.UNKNOWN
    said: dict[str, Json] = {"executionSuccessful": measured}
    if report.began is not None and report.ended is not None:
        said["startTimeUtc"], said["endTimeUtc"] = words.iso(report.began), words.iso(report.ended)
    if not measured:
        said["toolExecutionNotifications"] = [
            {"level": "error", "message": {"text": f"could not measure: {safe(reason)}"}}
            for reason in report.verdict.reasons
        ]
    return said


def _result(finding: Finding, report: Report) -> Json:
    level = grade(finding)
    steps = advice.advise(finding)
    text = describe(finding, report.alike(finding))
    made: dict[str, Json] = {
        "ruleId": finding.kind.value,
        "ruleIndex": _RULES.index(finding.kind),
        "level": level.value,
        "message": {"text": "\n".join([text, *steps])},
        "locations": [_location(finding)],
        "partialFingerprints": {FINGERPRINT: finding.fingerprint},
        "baselineState": "new" if finding.new else "unchanged",
        "suppressions": [_suppression(finding)] if level is Grade.NOTE else [],
        "properties": {
            "status": finding.status.value,
            "route": finding.route,
            "holder": finding.holder,
            "chain": list(finding.chain),
            "reasons": list(finding.reasons),
            "perRequest": finding.per_request,
            "retainedBytes": finding.retained_bytes,
        },
    }
    failure = report.failure_of(finding)
    if failure is not None and failure.site is not None:
        made["relatedLocations"] = [_related(failure, failure.site)]
    return made


def _suppression(finding: Finding) -> Json:
    return {"kind": "external", "status": "accepted", "justification": safe(finding.known or "")}


def _location(finding: Finding) -> dict[str, Json]:
    names: list[Json] = [
        {"fullyQualifiedName": safe(name), "kind": kind}
        for name, kind in ((finding.holder, "variable"), (finding.route, "resource"))
        if name
    ]
    made: dict[str, Json] = {"logicalLocations": names} if names else {}
    return {**made, "physicalLocation": _physical(finding.site)} if finding.site else made


def _related(failure: Failure, site: Site) -> Json:
    text = f"{safe(failure.type)}, raised {words.plural(failure.count, 'time')}"
    return {"id": 1, "message": {"text": text}, "physicalLocation": _physical(site)}


def _physical(site: Site) -> Json:
    made: dict[str, Json] = {
        "artifactLocation": {
            "uri": urllib.parse.quote(places.in_repository(site), errors="backslashreplace"),
            "uriBaseId": _BASE,
        }
    }
    return {**made, "region": {"startLine": site.line}} if site.line > 0 else made
