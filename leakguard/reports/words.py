"""Figures as all formats for people print them."""

from __future__ import annotations

import datetime

from leakguard.detection.words import count, percent, plural
from leakguard.units import format_size

__all__ = ["UNKNOWN", "clock", "count", "day_time", "iso", "milliseconds", "percent", "plural", "size"]

UNKNOWN = "–"


def size(bytes_: float | None) -> str:
    """Return a size, or a dash where it is not known."""
    return UNKNOWN if bytes_ is None else format_size(bytes_)


def milliseconds(value: float | None) -> str:
    """Return a response time in two digits or more, in seconds from ten on; a dash where it is not known."""
    if value is None:
        return UNKNOWN
    if value < 10:
        return f"{value:.2g} ms"
    return f"{value:.0f} ms" if value < 10_000 else f"{value / 1000:.1f} s"


def clock(seconds: float) -> str:
    """Return seconds since the epoch as date and time of day in UTC, for people."""
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def day_time(seconds: float) -> str:
    """Return the time of day alone."""
    return clock(seconds).partition(" ")[2]


def iso(seconds: float) -> str:
    """Return seconds since the epoch as ISO 8601 in UTC, with milliseconds: for machines."""
    when = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
