"""Before and after, compared whole; new, still there, gone."""

from __future__ import annotations

import dataclasses

import report_hostile
import report_stories as stories
from markdown_it import MarkdownIt

from leakguard.config import Config
from leakguard.guard.fence import Fence
from leakguard.guard.vitals import Vitals
from leakguard.probes.failures import MAX_FAILURES, Cause
from leakguard.records import Failure, Site
from leakguard.reports import compared
from leakguard.reports.comparison import Comparison, compare, side
from leakguard.reports.model import build
from leakguard.reports.text import render


def comparison() -> Comparison:
    """Return the story's cure: before it requests were kept, afterwards another leak came to light."""
    before, after = stories.made("retained-requests"), stories.made("leak")
    return compare(side("before.sqlite3", before), side("after.sqlite3", after))


def test_the_whole_text_is_as_expected():
    """The comparison is this text and this Markdown, word for word (``report_stories.py`` writes them anew)."""
    for suffix, text in (("txt", compared.as_text(comparison())), ("md", compared.as_markdown(comparison()))):
        expected = stories.EXPECTED.joinpath(f"comparison.{suffix}.expected").read_text(encoding="utf-8")
        assert text + "\n" == expected


def test_each_finding_is_in_one_group():
    """By fingerprint: what only AFTER has is new, what both have is still there, what only BEFORE had is gone."""
    both = build(stories.story(stories.RETAINED, stories.LEAK), stories.NOW)
    made = compare(side("b", both), side("a", build(stories.story(stories.LEAK, stories.TASKS), stories.NOW)))
    assert (made.new, made.still_there, made.gone) == ((stories.TASKS,), (stories.LEAK,), (stories.RETAINED,))
    assert made.exit_code == 1
    accepted = dataclasses.replace(stories.LEAK, accepted=True)
    made = compare(side("b", both), side("a", build(stories.story(accepted), stories.NOW)))
    assert (made.new, made.still_there, made.gone) == ((), (), (stories.RETAINED,))
    assert made.exit_code == 0


def test_requests_per_second_leave_out_the_time_without_a_worker():
    """Two workers at once are observed for as long as one; a night between two windows does not count."""
    first = stories.story().workers[0]
    alone = side("alone", build(stories.story(), stories.NOW))
    twice = side("twice", build(stories.story(workers=(first, first)), stories.NOW))
    later = dataclasses.replace(first, windows=stories.windows(24, began=stories.BEGAN + 40_000))
    apart = side("apart", build(stories.story(workers=(first, later)), stories.NOW))
    assert (alone.seconds, twice.seconds, apart.seconds) == (240, 240, 480)
    assert (alone.per_second, twice.per_second, apart.per_second) == (20, 40, 20)


def test_hostile_names_are_inert():
    """Names from either side are escaped in text and in Markdown."""
    hostile = side(report_hostile.NASTY, report_hostile.report())
    made = compare(hostile, side("a", stories.made("steady")))
    assert all(c.isprintable() or c == "\n" for c in compared.as_text(made))
    html = MarkdownIt("gfm-like", {"linkify": False}).render(compared.as_markdown(made))
    assert "<script" not in html
    assert "<a " not in html
    assert compared.as_json(made).isascii()


def test_forgotten_failures_are_told():
    """A worker that met more kinds of errors than it can remember says so, in the report for people and for machines."""
    told = stories.story(failures=(Failure("f", "KeyError", Site("a.py", 1, "f"), "GET /"),))
    windows = told.workers[0].windows
    windows = (*windows[:-1], dataclasses.replace(windows[-1], forgotten=17))
    report = build(
        dataclasses.replace(told, workers=(dataclasses.replace(told.workers[0], windows=windows),)), stories.NOW
    )
    assert "17 rare kinds had to be forgotten" in render(report)
    assert report.forgotten == 17


def test_a_real_worker_counts_what_it_forgets():
    """More kinds of errors than are remembered show in the next window that the worker closes."""
    vitals = Vitals(Config.load(), Fence())
    for number in range(MAX_FAILURES + 44):
        vitals.failures.record(Cause(f"Error{number}", None, "request"), "GET /")
    assert vitals.close_window().forgotten == 44
