"""The HTML report: one file, opened from the disk, that asks nobody for anything."""

from __future__ import annotations

import dataclasses
import sys

import pytest
import web_journals
from test_web_browser import PIXELS, assert_inert, unfold

from leakguard.errors import MissingExtraError
from leakguard.journal.reading import read
from leakguard.records import Kind, Verdict
from leakguard.reports import html
from leakguard.reports.formats import FORMATS, Look
from leakguard.reports.model import build, of_findings


@pytest.fixture
def report(tmp_path):
    """Write the report of a journal; its address."""

    def write(journal):
        file = tmp_path / "report.html"
        file.write_text(FORMATS["html"].render(build(read(journal)), Look()), encoding="utf-8")
        return file.as_uri()

    return write


def test_the_file_asks_nobody_and_draws_its_charts(visit, report, story):
    """Opened from the disk it draws all charts under its own content policy and makes no request but for itself."""
    url = report(story)
    page = visit(url)
    assert all(share > 0.002 for share in page.evaluate(PIXELS))
    assert len(page.evaluate(PIXELS)) == 3
    assert page.asked == [url]
    assert page.faults == []
    policy = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_file_says_it_all_without_scripts(visit, report, story):
    """Who allows no scripts reads everything but the pictures: verdict, findings, tables, doctor."""
    page = visit(report(story), java_script_enabled=False)
    text = page.inner_text("main")
    for word in (
        "There is a leak",
        "POST /telemetry",
        "game.py:88",
        "game.pending",
        "must let go",
        "GET /bans/{player}",
        "retained requests from unhandled errors",
        "KeyError at game.py:91",
        "390 MiB",
    ):
        assert word in text, word


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_file_is_accessible_on_a_phone(visit, report, story, violations, scheme):
    """axe-core finds nothing serious or critical at 320 pixels, and the page does not scroll sideways."""
    page = visit(report(story), width=320, scheme=scheme)
    unfold(page)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("kind", list(Kind))
def test_every_verdict_has_its_document(visit, tmp_path, kind):
    """A report without a journal, as a test or a check makes it, is a document, too, with a headline for each verdict."""
    found = [dataclasses.replace(web_journals.GROWING, kind=kind)] if kind not in {Kind.STEADY, Kind.UNKNOWN} else []
    made = of_findings(found, Verdict(kind, ("for a reason",)), target="shop:app", requests=300)
    text = FORMATS["html"].render(made, Look())
    titles = {Kind.STEADY: "No leak", Kind.UNKNOWN: "Too early to say", Kind.TASKS: "tasks never end"}
    assert f"{titles.get(kind, 'leak')}" in text.split("</title>")[0].split("<title>")[1]
    assert ("for a reason" in text) == (not found)
    if kind is Kind.STEADY:  # one of them in a browser: no chart has anything to draw
        file = tmp_path / "report.html"
        file.write_text(text, encoding="utf-8")
        page = visit(file.as_uri())
        assert page.faults == []
        page.get_by_text("Too few windows to draw yet.").first.wait_for()


def test_a_missing_jinja_is_said(monkeypatch, story):
    """Without the extra the format says which one it needs."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    html._environment.cache_clear()
    with pytest.raises(MissingExtraError, match=r"leakguard-middleware\[html\]"):
        FORMATS["html"].render(build(read(story)), Look())


def test_hostile_names_are_inert_in_the_file(visit, report, hostile):
    """Script, quotes, right-to-left overrides and 10 kB of name are text, and only text."""
    assert_inert(visit(report(hostile), width=320))


def test_the_charts_follow_the_colour_scheme(visit, report, story):
    """A reader who turns the lights off gets charts in the colours of the dark."""
    page = visit(report(story))
    light = page.evaluate("document.querySelector('[data-chart] canvas').toDataURL()")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("light => document.querySelector('[data-chart] canvas').toDataURL() !== light", arg=light)
