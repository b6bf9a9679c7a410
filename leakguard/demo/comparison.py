"""The story's table: response times, the longest time without any answer, requests, lost, restarts; one column a side."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from leakguard.demo.client import Fate
from leakguard.demo.side import Side
from leakguard.units import format_size

QUANTILES = (("max", 1.0), ("p99", 0.99), ("p95", 0.95), ("p50", 0.5))
_LABELS = {"max": "max", "p99": "99 %", "p95": "95 %", "p50": "50 %"}


@dataclass(frozen=True, slots=True)
class Column:
    """One side in figures. Times in milliseconds, over the requests that were answered; ``None`` when none was.

    ``gap`` is the longest time in which no request was answered: with one worker, nobody served for as long. ``idle``: the
    shortest and the longest time, in seconds, for which the reused connections that were reset had been idle.
    """

    times: dict[str, float | None]
    gap: float | None
    requests: int
    answered: int
    errors: int
    lost: int
    lost_by_fate: dict[str, int]
    restarts: int
    killed: int
    fresh: int
    peak: int
    together: int
    idle: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same load on the same server, without leakguard and with it."""

    without: Column
    guarded: Column
    ceiling: int
    seconds: int

    def as_dict(self) -> dict[str, object]:
        """Return the comparison as plain JSON types: the ``demo`` key of ``leakguard demo --json``."""
        return {
            "seconds": self.seconds,
            "ceiling": self.ceiling,
            "without": _as_dict(self.without),
            "with": _as_dict(self.guarded),
        }

    def as_text(self) -> str:
        """Return the comparison as a table for people."""
        rows = [
            ("", "without", "with leakguard"),
            ("at the ceiling", "killed", "recycled"),
            *((_LABELS[name], _time(self.without, name), _time(self.guarded, name)) for name, _ in QUANTILES),
            *(
                (name, _figure(getattr(self.without, name)), _figure(getattr(self.guarded, name)))
                for name in ("requests", "lost", "restarts")
            ),
            ("longest gap", _milliseconds(self.without.gap), _milliseconds(self.guarded.gap)),
            ("largest worker", format_size(self.without.peak), format_size(self.guarded.peak)),
            ("all at one time", format_size(self.without.together), format_size(self.guarded.together)),
        ]
        lines = [f"  {label:<16}{left:>16}{right:>18}" for label, left, right in rows]
        for title, column in (("without", self.without), ("with leakguard", self.guarded)):
            if column.lost:
                fates = ", ".join(f"{count} {fate}" for fate, count in column.lost_by_fate.items())
                lines.append(f"  lost {title}: {fates}")
                if column.idle is not None:
                    shortest, longest = column.idle
                    lines.append(f"  {'':<{len(title) + 5}}  reused: idle for {shortest:.2f} to {longest:.2f} s before")
        return "\n".join(lines)


def column(side: Side) -> Column:
    """Return the figures of one side."""
    fates = Counter(outcome.fate for outcome in side.outcomes)
    answered = [outcome for outcome in side.outcomes if not outcome.fate.lost]
    idle = [outcome.idle for outcome in side.outcomes if outcome.fate is Fate.RESET_REUSED and outcome.idle is not None]
    latencies = sorted(outcome.latency * 1000 for outcome in answered)
    return Column(
        times={name: _quantile(latencies, q) for name, q in QUANTILES},
        gap=_gap(sorted(outcome.planned.at + outcome.latency for outcome in answered)),
        requests=len(side.outcomes),
        answered=len(answered),
        errors=fates[Fate.STATUS],
        lost=len(side.outcomes) - len(answered),
        lost_by_fate={fate.value: fates[fate] for fate in Fate if fate.lost and fates[fate]},
        restarts=side.restarts,
        killed=side.killed,
        fresh=side.fresh,
        peak=side.peak,
        together=side.together,
        idle=(min(idle), max(idle)) if idle else None,
    )


def _quantile(ordered: Sequence[float], q: float) -> float | None:
    """Return the nearest-rank quantile of ascending values."""
    return round(ordered[max(math.ceil(len(ordered) * q), 1) - 1], 2) if ordered else None


def _gap(answered: Sequence[float]) -> float | None:
    """Return the longest time between two answers in milliseconds, from their moments in ascending order."""
    return max((round((after - before) * 1000, 2) for before, after in itertools.pairwise(answered)), default=None)


def _as_dict(column: Column) -> dict[str, object]:
    return {
        "latency": {f"{name}_ms": value for name, value in column.times.items()},
        "longest_gap_ms": column.gap,
        "requests": column.requests,
        "answered": column.answered,
        "errors": column.errors,
        "lost": column.lost,
        "lost_by_fate": column.lost_by_fate,
        "restarts": column.restarts,
        "killed": column.killed,
        "fresh_rss": column.fresh,
        "peak_rss": column.peak,
        "peak_rss_together": column.together,
    }


def _time(column: Column, name: str) -> str:
    return _milliseconds(column.times[name])


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{_figure(value)} ms" if value >= 10 else f"{value:.1f} ms"


def _figure(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ")
