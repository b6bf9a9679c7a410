"""The text report, compared whole: for each kind of verdict the text that an engineer reads."""

from __future__ import annotations

import dataclasses
import re
import unicodedata

import pytest
import report_stories as stories
from hypothesis import given
from hypothesis import strategies as st

from leakguard.records import Finding, Kind, Site, Status, Stuck
from leakguard.reports.escape import LONGEST, safe
from leakguard.reports.model import build
from leakguard.reports.sentence import amount, describe
from leakguard.reports.style import encodable
from leakguard.reports.text import render
from leakguard.reports.tree import draw


@pytest.mark.parametrize("case", stories.CASES)
def test_the_whole_text_is_as_expected(case):
    """The report of each kind of verdict is this text, word for word (``report_stories.py`` writes it anew)."""
    expected = stories.EXPECTED.joinpath(f"{case}.txt").read_text(encoding="utf-8")
    assert render(stories.made(case)) + "\n" == expected


def test_every_kind_has_an_expected_text():
    """No kind of verdict is forgotten, and no expected text is left over."""
    assert set(stories.CASES) == {kind.value for kind in Kind}
    assert {each.stem for each in stories.EXPECTED.glob("*.txt")} == set(stories.CASES)


def test_the_sentence_of_the_story():
    """The finding of the story is said in one sentence: route, count, holder, line, size and error."""
    assert describe(stories.RETAINED, alike=True) == (
        "POST /telemetry: 1 request kept per failed request, held by game.pending (dict), allocated at game.py:88, "
        "12.0 KiB each; all ended in KeyError at game.py:91."
    )


def test_all_is_only_said_of_all():
    """When some of the kept requests of the route ended otherwise, the sentence says most, not all."""
    report = stories.made("retained-requests")
    assert report.alike(stories.RETAINED)
    window = stories.windows(kept=15)[-1]
    first, second = window.routes
    mixed = dataclasses.replace(window, routes=(dataclasses.replace(first, retained=first.retained + 1), second))
    workers = (stories.WorkerStory(stories.worker(), (mixed,), None, stories.NOW),)
    other = dataclasses.replace(report, story=dataclasses.replace(report.story, workers=workers))
    assert not other.alike(stories.RETAINED)
    assert "; most ended in KeyError" in render(other).replace("\n   ", " ")


def test_a_bare_finding_is_still_a_sentence():
    """A finding of which only kind and status are known invents nothing."""
    for kind in Kind:
        sentence = describe(Finding(kind, Status.SUSPECT, "ff"))
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert "None" not in sentence


@pytest.mark.parametrize(
    ("rate", "said"),
    [(1.0, "1"), (0.99, "1"), (1.06, "1.1"), (0.5, "0.5"), (2.5, "2.5"), (0.0042, "0.0042"), (1204.4, "1 204")],
)
def test_rates_are_said_as_people_do(rate, said):
    """A rate that is one within three percent is one; others keep two digits."""
    assert amount(rate) == said


def test_the_suspect_reference_is_underlined_where_it_is():
    """The line of waves stands exactly below the holder's name, also when another edge has the name as a part."""
    finding = dataclasses.replace(stories.LEAK, holder="a.b", chain=("module a", "dict a.b", "list a.b.c", "tuple […]"))
    assert draw(finding) == ["┬ module a", "├─ dict a.b", "│       ~~~", "├─ list a.b.c", "╰→ tuple […]"]
    assert draw(dataclasses.replace(finding, chain=("frame a.b",))) == ["╰→ frame a.b", "         ~~~"]
    assert draw(dataclasses.replace(finding, chain=())) == []


HOSTILE = "GET /\x1b[2J\x1b]0;owned\x07\u202egpj.exe\u200b\x9b31m\ud800\nVerdict: steady"


def test_hostile_names_cannot_drive_the_terminal():
    """Escape sequences, bidirectional overrides, line breaks and lone surrogates from clients arrive as visible escapes."""
    finding = dataclasses.replace(
        stories.RETAINED,
        route=HOSTILE,
        type=HOSTILE,
        also_types=(HOSTILE,),
        holder=HOSTILE,
        chain=(f"dict {HOSTILE}",),
        error=HOSTILE,
        known=None,
        reasons=(HOSTILE,),
        size_method=HOSTILE,
        fingerprint=HOSTILE,
    )
    failure = dataclasses.replace(stories.FAILURE, type=HOSTILE, route=HOSTILE, source=HOSTILE)
    recycle = dataclasses.replace(stories.RECYCLES[0], reason=HOSTILE)
    told = stories.worker(target=HOSTILE, server=HOSTILE, python=HOSTILE, strategy=HOSTILE)
    workers = (stories.WorkerStory(told, stories.windows(route=HOSTILE), None, stories.NOW),)
    story = stories.story(
        finding,
        dataclasses.replace(finding, known=HOSTILE, accepted=True),
        workers=workers,
        failures=(failure,),
        recycles=(recycle,),
        notes=(dataclasses.replace(stories.NOTE, text=HOSTILE),),
        path=HOSTILE,
    )
    text = render(build(story, stories.NOW))
    bad = {c for c in text if c != "\n" and unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert not bad
    assert not any(line.startswith("Verdict: steady") for line in text.splitlines())
    text.encode("utf-8")


@given(st.text())
def test_safe_text_has_nothing_to_hide(text):
    """Whatever the text, what is printed is printable, bounded, and harmless text stays as it was."""
    shown = safe(text)
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for c in shown)
    assert len(shown) <= 10 * LONGEST
    if text.isascii() and text.isprintable():
        assert shown == text


def test_colour_adds_codes_and_nothing_else():
    """With colour the report is the same text between escape codes; without there is no code at all."""
    report = stories.made("retained-requests")
    plain, coloured = render(report), render(report, colour=True)
    assert "\x1b" not in plain
    assert coloured != plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_prose_keeps_within_the_width(width):
    """Sentences are wrapped; only names that cannot be broken may be longer."""
    text = render(stories.made("retained-requests"), width=width)
    assert all(len(line) <= width for line in text.splitlines() if " - " in line)


def test_a_poor_terminal_gets_ascii():
    """Where the encoding has no box characters the tree is drawn in ASCII and nothing raises."""
    text = encodable(render(stories.made("retained-requests")), "ascii")
    assert text.isascii()
    assert "+ module game" in text
    assert "`-> dict [...]" in text or "`> dict [...]" in text
    assert encodable("├─", "utf-8") == "├─"
    assert encodable("├─", "no-such-encoding").isascii()


def test_stuck_requests_and_tasks_are_told_with_their_place():
    """Orphans are named by route, age and the line where they hang, the oldest first; a worker's last window counts."""
    made = stories.made("steady")
    worker = made.story.workers[-1]
    place = Site("game.py", 91, "wait")
    hanging = (
        Stuck("POST /telemetry", 75.0, place, "request"),
        Stuck("POST /telemetry", 130.0, place, "request"),
        Stuck("GET /feed", 3600.0, None, "task", 4),
    )
    last = dataclasses.replace(worker.windows[-1], stuck=hanging)
    worker = dataclasses.replace(worker, windows=(*worker.windows[:-1], last))
    story = dataclasses.replace(made.story, workers=(*made.story.workers[:-1], worker))
    text = " ".join(render(dataclasses.replace(made, story=story)).split())
    assert "2 requests of POST /telemetry without an answer, waiting at game.py:91 in wait, for 2 min" in text
    assert "4 tasks of GET /feed left over from requests that have ended, waiting at a place that is not known" in text
    assert text.index("4 tasks") < text.index("2 requests")
    assert "Stuck" not in render(made)
