"""The report as JUnit XML: one test case per route, failed where something of it leaks, so that a route has a history.

The first case, ``measured``, is an error when too little was seen to judge, and then no route counts as passed. Findings
that belong to no route are in the case ``(all routes)``; accepted ones are mentioned in the case's output.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from leakguard.records import Finding, Kind
from leakguard.reports import about, advice, tree, words
from leakguard.reports.escape import safe
from leakguard.reports.grade import grade
from leakguard.reports.model import Report
from leakguard.reports.sentence import describe

SUITE = "leakguard"
NO_ROUTE = "(all routes)"


def render(report: Report) -> str:
    """Return the report as one XML document in ASCII."""
    suites = ET.Element("testsuites", name=SUITE)
    suite = ET.SubElement(suites, "testsuite", name=SUITE)
    if report.began is not None and report.ended is not None:
        suite.set("timestamp", words.iso(report.began)[:19])
        suite.set("time", f"{report.ended - report.began:.3f}")
    _properties(suite, report)
    measured = _measured(suite, report)
    routes = [times.route for times in report.routes if times.route is not None]
    findings = [*report.fresh, *report.accepted]
    for route in dict.fromkeys([*routes, *(finding.route or NO_ROUTE for finding in findings)]):
        mine = [finding for finding in findings if (finding.route or NO_ROUTE) == route]
        _route(suite, route, mine, report, measured)
    for element in (suites, suite):
        element.set("tests", str(len(suite.findall("testcase"))))
        for name, outcome in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            element.set(name, str(len(suite.findall(f"testcase/{outcome}"))))
    del suites.attrib["skipped"]  # known for a suite only
    ET.indent(suites)
    document: bytes = ET.tostring(suites, encoding="us-ascii", xml_declaration=True)
    return document.decode("ascii")


def _properties(suite: ET.Element, report: Report) -> None:
    properties = ET.SubElement(suite, "properties")
    told = {
        "verdict": report.verdict.kind.value,
        "requests": str(report.requests),
        "target": report.target,
        "python": report.python,
        "leakguard": report.version,
    }
    for name, value in told.items():
        if value is not None:
            ET.SubElement(properties, "property", name=name, value=safe(value))


def _case(suite: ET.Element, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=SUITE, name=safe(name), time="0")


def _measured(suite: ET.Element, report: Report) -> bool:
    case = _case(suite, "measured")
    if report.fresh or report.verdict.kind is not Kind.UNKNOWN:
        return True
    reasons = "\n".join(map(safe, report.verdict.reasons))
    ET.SubElement(case, "error", type="unknown", message="too little was measured to judge").text = reasons
    return False


def _route(suite: ET.Element, route: str, findings: list[Finding], report: Report, measured: bool) -> None:
    case = _case(suite, route)
    fresh = [finding for finding in findings if not finding.accepted]
    if fresh:
        more = f" (and {len(fresh) - 1} more)" if len(fresh) > 1 else ""
        failure = ET.SubElement(
            case,
            "failure",
            type=f"{fresh[0].kind.value}.{grade(fresh[0]).value}",
            message=describe(fresh[0], report.alike(fresh[0])) + more,
        )
        failure.text = "\n\n".join(_story(finding, report) for finding in fresh)
    elif not measured:
        ET.SubElement(case, "skipped", message="too little was measured to judge")
    known = [finding for finding in findings if finding.accepted]
    if known:
        ET.SubElement(case, "system-out").text = "\n".join(
            f"accepted: {describe(finding)} {safe(finding.known or '')}" for finding in known
        )


def _story(finding: Finding, report: Report) -> str:
    parts = [describe(finding, report.alike(finding)), "; ".join(about.marks(finding, report))]
    parts += tree.draw(finding)
    parts += [f"- {safe(reason)}" for reason in about.reasons(finding)]
    parts += [f"Next: {step}" for step in advice.advise(finding)]
    return "\n".join(parts)
