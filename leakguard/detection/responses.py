"""Response times beside memory: does slowness follow memory, or the traffic, or neither?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from leakguard.detection.regression import centred, dot
from leakguard.probes import latency
from leakguard.records import Sketch, Window

FEWEST_WINDOWS = 8
MOST_WINDOWS = 60
_FEWEST_REQUESTS = 5
FOLLOWS = 0.5
SLOWER = 1.5


@dataclass(frozen=True, slots=True)
class Responses:
    """Response times (milliseconds) of all requests, and what they go along with.

    ``correlation`` and ``traffic`` are Spearman's rank correlations of a window's p95 with its memory and its requests per
    second. ``low_p99`` and ``high_p99`` are those of the quarter of the windows with the least and the most memory.
    """

    p50: float
    p95: float
    p99: float
    windows: int
    correlation: float | None
    traffic: float | None
    low_p99: float | None
    high_p99: float | None

    @property
    def ratio(self) -> float | None:
        """How many times slower p99 is with the most memory than with the least."""
        return self.high_p99 / self.low_p99 if self.low_p99 and self.high_p99 is not None else None

    @property
    def follows_memory(self) -> bool:
        """Whether it is slow when memory is high and quick when it is low."""
        ratio = self.ratio
        return self.correlation is not None and self.correlation >= FOLLOWS and ratio is not None and ratio >= SLOWER

    def sentences(self) -> list[str]:
        """Return the evidence in words."""
        said = [f"response times p50 {self.p50:.0f} ms, p95 {self.p95:.0f} ms, p99 {self.p99:.0f} ms"]
        if self.correlation is not None:
            follow = "follow" if self.follows_memory else "do not follow"
            said.append(f"they {follow} memory: rank correlation {self.correlation:+.2f} over {self.windows} windows")
        ratio = self.ratio
        if ratio is not None and self.low_p99 is not None and self.high_p99 is not None:
            said.append(
                f"p99 is {self.high_p99:.0f} ms in the quarter with the most memory against {self.low_p99:.0f} ms in that "
                f"with the least (x{ratio:.1f})"
            )
        if self.traffic is not None:
            said.append(f"rank correlation with the traffic {self.traffic:+.2f}")
        return said


def read_responses(workers: Sequence[Sequence[Window]]) -> Responses | None:
    """Return the response times of all workers' windows, ``None`` when hardly any window had requests."""
    served = [(window, _sketch(window)) for worker in workers for window in worker]
    served = [(window, sketch) for window, sketch in served if latency.count(sketch) >= _FEWEST_REQUESTS]
    if len(served) < FEWEST_WINDOWS:
        return None
    whole = latency.merge(sketch for _, sketch in served)
    binned = served[:: -(-len(served) // (4 * MOST_WINDOWS))]
    slow = [_at(sketch, 0.95) for _, sketch in binned]
    memory = [float(window.reading.rss) for window, _ in binned]
    pace = [latency.count(s) / (w.closed - w.opened) if w.closed > w.opened else 0.0 for w, s in binned]
    ordered = sorted(served, key=lambda entry: entry[0].reading.rss)
    quarter = len(ordered) // 4
    moves = max(memory) > min(memory)
    low = latency.merge(sketch for _, sketch in ordered[:quarter]) if moves and quarter else None
    high = latency.merge(sketch for _, sketch in ordered[-quarter:]) if moves and quarter else None
    return Responses(
        p50=_at(whole, 0.5),
        p95=_at(whole, 0.95),
        p99=_at(whole, 0.99),
        windows=len(binned),
        correlation=spearman(memory, slow),
        traffic=spearman(pace, slow),
        low_p99=_at(low, 0.99) if low else None,
        high_p99=_at(high, 0.99) if high else None,
    )


def spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation, ties shared; ``None`` when one of them does not move."""
    ranks_a, ranks_b = centred(_ranks(a)), centred(_ranks(b))
    spread = math.sqrt(dot(ranks_a, ranks_a) * dot(ranks_b, ranks_b))
    return dot(ranks_a, ranks_b) / spread if spread > 0 else None


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for i in order[start:end]:
            ranks[i] = (start + end - 1) / 2
        start = end
    return ranks


def _sketch(window: Window) -> Sketch:
    return latency.merge(route.sketch for route in window.routes)


def _at(sketch: Sketch, q: float) -> float:
    return latency.quantile(sketch, q) or 0.0
