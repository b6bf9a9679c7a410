"""The report for machines keeps to its schema."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import report_stories as stories

from leakguard.journal.story import Story
from leakguard.records import SCHEMA, Kind
from leakguard.reports import json_
from leakguard.reports.model import build

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "report.schema.json"

# DESIGN: the report schema, version 1. Written out, so that neither the code nor the schema file can drift alone.
KEYS = {
    "": "schema tool python target verdict reasons requests windows findings failures latency doctor recycles cost",
    "findings": "kind status fingerprint new route type also_types site holder chain per_request bytes_per_request "
    "retained_bytes size_method error known reasons",
    "failures": "fingerprint type site route count retained",
    "latency": "route count p50_ms p95_ms p99_ms max_ms",
    "doctor": "hypothesis holds evidence",
    "recycles": "at pid reason rss_before in_flight lost gap_ms",
}
# What was added since: never between the original keys, never instead of one.
ADDED = {
    "": "journal began ended server strategy ceiling overall workers stuck reliefs notes forgotten_failures skipped_rows "
    "left_out",
    "findings": "accepted count per_failed_request first_seen workers sentence next",
    "failures": "source",
    "latency": "errors",
    "doctor": "",
    "recycles": "strategy waited_s",
}


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize("case", stories.CASES)
def test_every_report_is_valid(case, validator):
    """The report of each kind of verdict validates against the published schema."""
    made = json.loads(json_.render(stories.made(case)))
    validator.validate(made)
    assert made["schema"] == SCHEMA
    assert made["verdict"] == case


def test_the_keys_are_those_of_schema_one():
    """Exactly the promised keys, in the promised order, then those that were added; all of them are in the schema."""
    made = json_.as_dict(stories.made("retained-requests"))
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    described = {"": schema["properties"]}
    described |= {
        name: schema["$defs"][name.removesuffix("s")]["properties"]
        for name in KEYS
        if name in {"failures", "findings", "recycles"}
    }
    described |= {
        "latency": schema["$defs"]["latency"]["properties"],
        "doctor": schema["$defs"]["hypothesis"]["properties"],
    }
    for part, keys in KEYS.items():
        for each in made[part] if part else [made]:
            assert list(each) == [*keys.split(), *ADDED[part].split()]
            assert set(each) <= set(described[part])
    assert list(made["cost"]) == ["hot_path_us", "stall_ms_max", "share_of_cpu"]
    assert made["findings"][0]["site"] == {"file": "game.py", "line": 88, "function": "ingest"}


def test_the_figures_are_those_of_the_story():
    """Requests, latencies, recycles and retained requests come out as they went in."""
    made = json_.as_dict(stories.made("retained-requests"))
    assert made["requests"] == 4800
    assert made["windows"] == 24
    telemetry = made["latency"][0]
    assert (telemetry["route"], telemetry["count"], telemetry["max_ms"]) == ("POST /telemetry", 3600, 300.0)
    assert telemetry["p50_ms"] == pytest.approx(20, rel=0.03)
    assert telemetry["p99_ms"] == pytest.approx(90, rel=0.03)
    assert [(each["lost"], each["gap_ms"]) for each in made["recycles"]] == [(0, 0.0), (1, 250.0)]
    assert made["recycles"][0]["at"] == "2026-11-18T11:08:30.000Z"
    assert made["failures"][0]["retained"] == 345


def test_what_is_not_known_is_null(validator):
    """A story of nothing gives a valid report of nulls and empty lists, and the verdict unknown."""
    made = json_.as_dict(build(Story("/none", None), stories.NOW))
    validator.validate(made)
    assert (made["python"], made["target"], made["verdict"]) == (None, None, Kind.UNKNOWN)
    assert set(made["cost"].values()) == {None}


@pytest.mark.parametrize(
    ("case", "code"), [("leak", 1), ("retained-requests", 1), ("gc-debt", 1), ("steady", 0), ("unknown", 1)]
)
def test_the_exit_code_says_what_was_found(case, code):
    """Findings give 1, suspected ones too; a steady app whose only finding is known gives 0."""
    assert stories.made(case).exit_code == code


def test_an_unknown_verdict_is_never_clean():
    """Nothing found because too little was measured is 3, not 0."""
    report = build(stories.story(count=2), stories.NOW)
    assert report.verdict.kind is Kind.UNKNOWN
    assert report.exit_code == 3


def test_hostile_names_are_inert():
    """The JSON text is pure ASCII, so that it can be shown on a terminal as it is."""
    workers = (
        stories.WorkerStory(stories.worker(), stories.windows(route="GET /\x1b[2J\u202e\ud800"), None, stories.NOW),
    )
    text = json_.render(build(stories.story(workers=workers), stories.NOW))
    assert text.isascii()
    assert "\x1b" not in text
    assert json.loads(text)["latency"][0]["route"] == "GET /\x1b[2J\u202e\ud800"
