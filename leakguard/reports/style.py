"""Plain text with, or without, colour; wrapped, aligned, and in ASCII where the terminal knows nothing else."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
BARS = "▁▂▃▄▅▆▇█"
_ASCII = str.maketrans(
    {
        **dict(zip(BARS, "_.-~=+*#", strict=True)),
        "┬": "+",
        "├": "|",
        "│": "|",
        "─": "-",
        "╰": "`",
        "→": ">",
        "…": "...",
        "–": "-",
    }
)


class Style:
    """Paints words if colour is wanted."""

    def __init__(self, colour: bool) -> None:
        self.colour = colour

    def paint(self, text: str, *names: str) -> str:
        """Return the text in the named looks: ``bold``, ``dim``, ``red``, ``green``, ``yellow``."""
        if not self.colour or not text:
            return text
        return f"\x1b[{';'.join(_CODES[name] for name in names)}m{text}\x1b[0m"


def wrap(text: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    """Return the text in lines of at most ``width`` characters, indented; long words are not broken."""
    indent = " " * len(first) if rest is None else rest
    return textwrap.wrap(
        text,
        max(width, 40),
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]


def table(rows: Sequence[Sequence[str]], indent: str = "  ", left: int = 1) -> list[str]:
    """Return rows as aligned lines: the first ``left`` columns to the left, the others to the right."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        (
            indent
            + "  ".join(
                cell.ljust(width) if column < left else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        ).rstrip()
        for row in rows
    ]


def clip(text: str, width: int) -> str:
    """Return the text cut in its middle to at most ``width`` characters."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def encodable(text: str, encoding: str) -> str:
    """Return the text as it can be printed in ``encoding``: drawn in ASCII, the rest escaped, if it must be."""
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")
    return text


def sparkline(values: Sequence[float]) -> str:
    """Return one bar per value, the lowest of them the shortest."""
    if not values:
        return ""
    low, high = min(values), max(values)
    steps = len(BARS) - 1
    return "".join(BARS[round((value - low) / (high - low) * steps)] if high > low else BARS[0] for value in values)
