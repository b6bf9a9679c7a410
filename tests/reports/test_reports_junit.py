"""The JUnit report, as a program that reads test reports sees it."""

from __future__ import annotations

import junitparser
import pytest
import report_hostile
import report_stories as stories

from leakguard.reports import junit
from leakguard.reports.model import Report, build


def suite(report: Report) -> junitparser.TestSuite:
    text = junit.render(report)
    assert text.isascii()
    (only,) = junitparser.JUnitXml.fromstring(text.encode())
    return only


def outcomes(report: Report) -> dict[str, list[str]]:
    return {case.name: [type(result).__name__ for result in case.result] for case in suite(report)}


@pytest.mark.parametrize("case", stories.CASES)
def test_the_counts_are_those_of_the_cases(case):
    """Tests, failures, errors and skipped say what the cases say, so that no reader finds a contradiction."""
    made = suite(stories.made(case))
    counted = (made.tests, made.failures, made.errors, made.skipped)
    made.update_statistics()
    assert counted == (made.tests, made.failures, made.errors, made.skipped)
    assert made.failures == (0 if case == "steady" else 1)


def test_a_leaking_route_fails_and_the_others_pass():
    """Each route is a case: failed with the sentence, the chain and the advice where something of it leaks, else passed."""
    report = stories.made("retained-requests")
    assert outcomes(report) == {"measured": [], "POST /telemetry": ["Failure"], "GET /bans/{player}": []}
    case = next(case for case in suite(report) if case.name == "POST /telemetry")
    (failure,) = case.result
    assert failure.message.startswith("POST /telemetry: 1 request kept per failed request, held by game.pending")
    assert failure.type == "retained-requests.error"
    assert "╰→ dict […]" in failure.text
    assert "Next: Handle KeyError at game.py:91" in failure.text


def test_a_finding_without_a_route_has_a_case_of_its_own():
    """What belongs to no route fails the case of all routes; what is accepted passes and is mentioned."""
    assert outcomes(stories.made("descriptors"))["(all routes)"] == ["Failure"]
    steady = suite(stories.made("steady"))
    case = next(case for case in steady if case.name == "(all routes)")
    assert case.result == []
    assert "holder:vendor.*" in case.system_out


def test_too_little_is_an_error_and_no_route_passes():
    """When too little was seen, the case ``measured`` is an error and every route is skipped."""
    made = outcomes(build(stories.story(count=2), stories.NOW))
    assert made == {"measured": ["Error"], "POST /telemetry": ["Skipped"], "GET /bans/{player}": ["Skipped"]}


def test_hostile_names_are_well_formed():
    """Names with characters that XML cannot carry leave a document that parses."""
    assert any("<script>alert(1)</script>" in case.name for case in suite(report_hostile.report()))
