"""The annotations keep to GitHub's form: ``::level key=value,…::message``, one line each."""

from __future__ import annotations

import re

import report_hostile
import report_stories as stories

from leakguard.reports import github
from leakguard.reports.model import build

# How the runner reads a command (actions/runner: ActionCommand): the escapes are undone in this order, the percent sign last.
FORM = re.compile(r"^::(error|warning|notice) ([^:]*)::(.*)$")


def parse(line: str) -> tuple[str, dict[str, str], str]:
    match = FORM.match(line)
    assert match is not None, line
    level, given, data = match.groups()
    properties = dict(pair.split("=", 1) for pair in given.split(","))
    for key, value in properties.items():
        for escape, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
            value = value.replace(escape, character)
        properties[key] = value
    for escape, character in (("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        data = data.replace(escape, character)
    return level, properties, data


def test_a_finding_is_an_error_at_its_line(tmp_path, monkeypatch):
    """A confirmed finding annotates the line that allocates, in the file as the repository names it."""
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / "game.py").write_text("\n" * 86 + "def ingest():\n    pass\n")
    monkeypatch.chdir(tmp_path)
    level, properties, message = parse(github.render(stories.made("retained-requests")))
    assert level == "error"
    assert properties == {
        "file": "backend/game.py",
        "line": "88",
        "title": "leakguard: Requests kept after their answer",
    }
    assert message.splitlines()[0].startswith(
        "POST /telemetry: 1 request kept per failed request, held by game.pending"
    )
    assert "fingerprint 3f9c1a2b3c4d" in message


def test_levels_follow_how_sure_it_is():
    """Confirmed is an error, suspected a warning, accepted a notice; a verdict without findings says what it is."""
    assert [parse(line)[0] for line in github.render(stories.made("leak")).splitlines()] == ["error", "notice"]
    assert parse(github.render(stories.made("unknown")))[0] == "warning"
    steady = [parse(line) for line in github.render(stories.made("steady")).splitlines()]
    assert steady[-1] == ("notice", {"title": "leakguard: steady"}, "the reason for the verdict")
    assert parse(github.render(build(stories.story(count=2), stories.NOW)))[0] == "warning"


def test_no_name_can_start_a_command_of_its_own():
    """Line breaks, percent signs, colons and commas in names stay inside the annotation that they belong to."""
    lines = github.render(report_hostile.report()).split("\n")
    assert len(lines) == 2
    for line in lines:
        _, properties, message = parse(line)
        assert set(properties) <= {"file", "line", "title"}
        assert "\\n::error::x" in message
