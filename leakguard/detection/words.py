"""Numbers in the words of a reason: what an engineer reads at three in the morning."""

from __future__ import annotations

from leakguard.units import format_size


def count(number: float) -> str:
    """Return a count with its thousands apart: ``"1 204"``."""
    return f"{number:,.0f}".replace(",", " ")


def plural(number: int, noun: str) -> str:
    """Return a count with its noun: ``"1 window"``, ``"1 204 windows"``, ``"2 entries"``."""
    if number == 1:
        return f"1 {noun}"
    return f"{count(number)} {noun[:-1] + 'ies' if noun.endswith('y') else noun + 's'}"


def rate(value: float) -> str:
    """Return a rate with its sign and at least two telling digits: ``"+1.00"``, ``"+0.0042"``, ``"+53.1"``."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 or size < 0.00005 else 4
    return f"{value:+.{digits}f}"


def size_rate(value: float) -> str:
    """Return a rate in bytes: ``"+12.0 KiB"``."""
    return f"{'+' if value >= 0 else ''}{format_size(value)}"


def percent(share: float) -> str:
    """Return a share as a percentage: ``"9 %"``, ``"0.4 %"``."""
    return f"{share * 100:.{0 if share == 0 or share >= 0.0095 else 1}f} %"


def together(names: list[str], most: int = 3) -> str:
    """Return names as a person lists them: ``"A"``, ``"A or B"``, ``"A, B or 3 more"``."""
    shown = names[:most] if len(names) <= most + 1 else [*names[:most], f"{len(names) - most} more"]
    if len(names) == most + 1:
        shown = names
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}" if shown else ""
