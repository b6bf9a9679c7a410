"""How the templates write figures and names: the words of every report, and what only a document needs."""

from __future__ import annotations

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


FILTERS: dict[str, Callable[..., str]] = {
    "size": words.size,
    "number": count,
    "ms": words.milliseconds,
    "duration": duration,
    "moment": moment,
    "iso": words.iso,
    "name": name,
}
