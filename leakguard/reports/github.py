"""The report as GitHub workflow commands: annotations in the diff of a pull request, one per finding.

The form is ``::error file=app.py,line=7,title=…::message``. In a message ``%``, CR and LF are escaped; in a property ``:``
and ``,`` too. GitHub shows at most ten of each level per step; the gravest come first.
"""

from __future__ import annotations

from leakguard.records import Finding, Kind
from leakguard.reports import about, advice, places
from leakguard.reports.escape import safe
from leakguard.reports.grade import TITLES, Grade, grade
from leakguard.reports.model import Report
from leakguard.reports.sentence import describe

_COMMANDS = {Grade.ERROR: "error", Grade.WARNING: "warning", Grade.NOTE: "notice"}


def render(report: Report) -> str:
    """Return one line per finding, or one for the verdict when there is none; ASCII or not, always one line each."""
    lines = [_finding(finding, report) for finding in (*report.fresh, *report.accepted)]
    if not report.fresh:
        known = report.verdict.kind is not Kind.UNKNOWN
        lines.append(
            command(
                "notice" if known else "warning",
                "; ".join(map(safe, report.verdict.reasons)),
                title=f"leakguard: {report.verdict.kind.value}",
            )
        )
    return "\n".join(lines)


def command(name: str, message: str, **properties: object) -> str:
    """Return one workflow command; properties that are ``None`` are left out."""
    given = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items() if value is not None)
    return f"::{name} {given}::{_data(message)}"


def _finding(finding: Finding, report: Report) -> str:
    parts = [describe(finding, report.alike(finding)), "; ".join(about.marks(finding, report))]
    parts += [f"accepted: {safe(finding.known or '')}"] if finding.accepted else advice.advise(finding)
    site = finding.site
    return command(
        _COMMANDS[grade(finding)],
        "\n".join(parts),
        file=safe(places.in_repository(site)) if site else None,
        line=site.line if site and site.line > 0 else None,
        title=f"leakguard: {TITLES.get(finding.kind, finding.kind.value)}",
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
