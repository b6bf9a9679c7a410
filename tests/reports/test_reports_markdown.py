"""The Markdown report, compared whole and read back by a Markdown parser."""

from __future__ import annotations

import re

import pytest
import report_hostile
import report_stories as stories
from markdown_it import MarkdownIt

from leakguard.reports import markdown

HTML = MarkdownIt("gfm-like", {"linkify": False}).render
SAFE_TAGS = {"h1", "h2", "h3", "p", "ul", "li", "code", "pre", "strong", "table", "thead", "tbody", "tr", "th", "td"}


@pytest.mark.parametrize("case", ["retained-requests", "steady", "unknown"])
def test_the_whole_text_is_as_expected(case):
    """The report is this Markdown, word for word (``report_stories.py`` writes it anew)."""
    expected = stories.EXPECTED.joinpath(f"{case}.md").read_text(encoding="utf-8")
    assert markdown.render(stories.made(case)) + "\n" == expected


@pytest.mark.parametrize("case", stories.CASES)
def test_it_renders_as_meant(case):
    """Headings, tables, lists and the chain's tree come out of a Markdown parser as such."""
    html = HTML(markdown.render(stories.made(case)))
    assert html.count("<h1>") == 1
    assert "<h2>Response times</h2>" in html
    assert html.count("<table>") == 3  # memory, response times, doctor
    assert "|" not in re.sub(r"<(pre|code)[^>]*>.*?</\1>", "", html, flags=re.DOTALL)
    assert ("language-text" in html) == bool(stories.CASES[case][0].findings[0].chain)


def test_hostile_names_are_text():
    """Whatever a route or a type is called, it becomes no link, image, mention, heading or tag, and breaks no table."""
    document = markdown.render(report_hostile.report())
    html = HTML(document)
    assert set(re.findall(r"<(\w+)", html)) <= SAFE_TAGS
    outside = re.sub(r"<(pre|code)[^>]*>.*?</\1>", "", html, flags=re.DOTALL)
    for active in ("@", "#", "://", "www.", ":smile:", "$", "~", "*"):
        assert active not in outside, active
    assert all(
        row.count("<td") == 7 for row in re.findall(r"<tr>.*?</tr>", html.split("Response times")[1], re.DOTALL)[1:3]
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("held by game.pending", "held by game.pending"),
        ("rose by +1.00 per request (2 %)", "rose by +1.00 per request (2 %)"),
        ("_build of app_name, __init__.", "`_build` of app_name, `__init__`."),
        ("1. not a list", "`1`. not a list"),
        ("GET /bans/{player}: 3", "GET `/bans/{player}`: 3"),
        ("a|b `x` @me", "`a¦b` `` `x` `` `@me`"),
    ],
)
def test_only_what_is_active_is_quoted(text, shown):
    """A sentence stays readable as it is written; only words that Markdown could take for more become code."""
    assert markdown.inert(text) == shown
