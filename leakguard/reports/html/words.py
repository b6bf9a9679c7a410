"""How the templates write figures and names: the words of every report, and what only a document needs."""

from __future__ import annotations

import re
from collections.abc import Callable

from leakguard.reports import words
from leakguard.reports.escape import safe
from leakguard.reports.style import clip
from leakguard.units import format_duration

LONGEST_NAME = 160  # a longer name is cut in its middle: it must not push the rest off the page


def count(value: int | None) -> str:
    """Return a count, or a dash."""
    return words.UNKNOWN if value is None else words.count(value)


def duration(value: float | None) -> str:
    """Return seconds as a person says them, or a dash."""
    return words.UNKNOWN if value is None else format_duration(value)


def moment(value: float | None) -> str:
    """Return seconds since the epoch as day and time in UTC, or a dash."""
    return words.UNKNOWN if value is None else words.clock(value)


def name(value: str | None) -> str:
    """Return a name that came from elsewhere, harmless and at most ``LONGEST_NAME`` characters long, or a dash."""
    return words.UNKNOWN if value is None else clip(safe(value), LONGEST_NAME)


# What surrounds a name in a sentence until the sentence is escaped. ``safe`` leaves no control character in a name.
_OPEN, _CLOSE = "\x02", "\x03"
_BACKTICKS = re.compile("`([^`]+)`")


def marked(value: str) -> str:
    """Return a name marked to be set as code by ``prose``: what sentences are told to quote with."""
    return f"{_OPEN}{name(value)}{_CLOSE}"


def prose(sentence: str) -> str:
    """Return a sentence as markup, with its marked names and what stands in backticks set as code."""
    import markupsafe

    escaped = str(markupsafe.escape(sentence))
    escaped = _BACKTICKS.sub(r"<code>\1</code>", escaped)
    return markupsafe.Markup(escaped.replace(_OPEN, "<code>").replace(_CLOSE, "</code>"))  # noqa: S704 - just escaped


FILTERS: dict[str, Callable[..., str]] = {
    "size": words.size,
    "number": count,
    "ms": words.milliseconds,
    "duration": duration,
    "moment": moment,
    "iso": words.iso,
    "name": name,
    "prose": prose,
}
