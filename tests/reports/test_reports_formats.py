"""What every format keeps to, whatever the story."""

from __future__ import annotations

import unicodedata

import pytest
import report_hostile
import report_stories as stories

from leakguard.records import Kind, Verdict
from leakguard.reports.formats import FORMATS, Look
from leakguard.reports.model import CLEAN, FINDINGS, build, of_findings

PLAIN = ["text", "json", "markdown", "github", "sarif", "junit"]


@pytest.mark.parametrize("name", PLAIN)
def test_control_characters_never_get_through(name):
    """No escape sequence, bidirectional override, NUL or lone surrogate of a client's reaches the place it is read in."""
    text = FORMATS[name].render(report_hostile.report(), Look())
    text.encode("utf-8")
    assert {c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Cn"}} <= {"\n"}


@pytest.mark.parametrize("name", PLAIN)
def test_a_report_without_a_journal_can_be_printed(name):
    """The findings of a test or a check, which never were in a journal, go through the same formats."""
    made = of_findings([stories.LEAK], target="tests/test_shop.py::test_basket", requests=1200)
    assert made.exit_code == FINDINGS
    text = FORMATS[name].render(made, Look())
    assert "shop/views.py" in text
    steady = of_findings([], Verdict(Kind.STEADY, ("nothing grew in 1 200 calls",)))
    assert steady.exit_code == CLEAN
    assert "steady" in FORMATS[name].render(steady, Look())


@pytest.mark.parametrize("name", PLAIN)
def test_too_little_never_looks_clean(name):
    """A report of almost nothing says so in every format."""
    text = FORMATS[name].render(build(stories.story(count=2), stories.NOW), Look())
    assert "unknown" in text or "too little" in text
