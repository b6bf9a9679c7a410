"""What a section of the benchmarks gives: one table with what was measured, how, and how it stands to its target."""

from __future__ import annotations

import statistics
import typing
from collections.abc import Sequence
from dataclasses import dataclass


class Scale(typing.NamedTuple):
    """How long a section may take: ``full`` for figures worth writing down, ``quick`` to see that it runs."""

    name: str
    rounds: int
    seconds: float
    """Length of one stretch of load."""
    largest: int
    """Size of the largest heap, in tracked objects."""


FULL = Scale("full", rounds=15, seconds=8.0, largest=20_000_000)
QUICK = Scale("quick", rounds=2, seconds=0.25, largest=160_000)


@dataclass(frozen=True, slots=True)
class Table:
    """One section of docs/performance.md: prose that says what is compared with what, then the figures."""

    title: str
    text: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Return the section as it stands in the page."""
        lines = [f"## {self.title}", "", self.text, "", _row(self.columns), _row(["---"] * len(self.columns))]
        lines += [_row(row) for row in self.rows]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median of ``values`` with their range: ``2.31 (2.24 to 2.40)``."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def against(value: float, target: float, *, unit: str = "", least: bool = False) -> str:
    """Return a target and whether it is met: ``at most 2.5 us: yes``, ``at most 8 MiB: over by 1.2``.

    Args:
        value: what was measured.
        target: the bound.
        unit: appended to the bound.
        least: the bound is a lower one.
    """
    kind = "at least" if least else "at most"
    by = target - value if least else value - target
    said = "yes" if by <= 0 else f"misses it by {by:.2g}"
    return f"{kind} {target:g}{' ' + unit if unit else ''}: {said}"
