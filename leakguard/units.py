"""Sizes, shares and durations: from the words users write to numbers, and back.

Sizes are bytes (int), shares are fractions of one (float), durations are seconds (float). Printing uses IEC units
(KiB, MiB, GiB) only, because ``MB`` means two things.
"""

from __future__ import annotations

import math
import re

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(?:([kmgt])i?)?b?\s*$", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)?\s*$", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SHARE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*%\s*$")


def parse_size(text: str | int) -> int:
    """Return the bytes that ``text`` names: ``"384 MiB"``, ``"1.5G"``, ``"512000"``, ``4096``.

    ``K``, ``KB`` and ``KiB`` are all 1024 bytes, as in PM2, uWSGI and the cgroup files.

    Raises:
        ValueError: when it is not a size greater than zero.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        size = text
    else:
        match = _SIZE.match(str(text))
        if match is None:
            raise ValueError("not a size")
        amount = float(match[1]) * 1024 ** _POWERS[(match[2] or "").lower()]
        if not math.isfinite(amount):
            raise ValueError("not finite")
        size = round(amount)
    if size <= 0:
        raise ValueError("not greater than zero")
    return size


def parse_share(text: str) -> float:
    """Return the fraction that a percentage such as ``"80%"`` names.

    Raises:
        ValueError: when it is not a percentage above 0 and at most 100.
    """
    match = _SHARE.match(str(text))
    if match is None:
        raise ValueError("not a percentage")
    share = float(match[1]) / 100
    if not 0 < share <= 1:
        raise ValueError("not above 0% and at most 100%")
    return share


def parse_duration(text: str | float) -> float:
    """Return the seconds that ``text`` names: ``"30s"``, ``"2m"``, ``"250ms"``, ``"1h"``, ``5``, ``0.5``.

    Raises:
        ValueError: when it is not a finite duration of zero or more.
    """
    if isinstance(text, bool):
        raise ValueError("not a duration")  # noqa: TRY004 - one error kind for every wrong text
    if isinstance(text, int | float):
        seconds = float(text)  # never through its text: str(1e-05) has an exponent
    else:
        match = _DURATION.match(str(text))
        if match is None:
            raise ValueError("not a duration")
        seconds = float(match[1]) * _SECONDS[(match[2] or "s").lower()]
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError("not a finite duration of zero or more")
    return seconds


def format_size(size: float) -> str:
    """Return ``size`` bytes in IEC units with three significant digits: ``"12.0 KiB"``, ``"384 MiB"``."""
    sign = "-" if size < 0 else ""
    size = abs(size)
    if size < 1023.5:
        return f"{sign}{size:.0f} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size /= 1024
        # The borders are where rounding would make a digit more.
        if size < 1023.5 or unit == "TiB":
            digits = 2 if size < 9.995 else 1 if size < 99.95 else 0
            return f"{sign}{size:.{digits}f} {unit}"
    raise AssertionError("unreachable")


def format_duration(seconds: float) -> str:
    """Return ``seconds`` as a person says it: ``"250 ms"``, ``"8.5 s"``, ``"2 min"``, ``"3 h 20 min"``, ``"5 d"``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours / 24:.0f} d"
