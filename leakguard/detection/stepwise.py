"""Which route is it: judged from levels request by request (evidence after the allocation traceback, before regression)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leakguard.detection.drift import likelihoods, without_steps
from leakguard.detection.regression import Vector

FEWEST_SAMPLES, FEWEST_OF_ROUTE = 100, 20
MOST_POINTS = 250
_LIKELIER = 4.0
_NEAR = 0.3  # the rate must be this near to what the suspicion says, or the samples saw something else


def route_by_steps(
    levels: Sequence[int], in_flight: Sequence[int], ended: Mapping[str, Sequence[int]], total_rate: float
) -> str | None:
    """Return the one route with whose requests the level rises; ``None`` if none or several. About 20 ms.

    Args:
        levels: at each sample.
        in_flight: requests at each sample, whose memory comes and goes.
        ended: per route, how many of its requests had ended at each sample.
        total_rate: growth per request of any route, as the suspicion has it.
    """
    if len(levels) < FEWEST_SAMPLES:
        return None
    chosen = _lowest(levels)
    columns: dict[str | None, Vector] = {
        route: [counts[i] for i in chosen] for route, counts in ended.items() if counts[-1] >= FEWEST_OF_ROUTE
    }
    columns[None] = [sum(counts[i] for counts in ended.values()) for i in chosen]
    handled = [round(count) for count in columns[None]]
    level = without_steps(handled, [float(levels[i]) for i in chosen])
    fits = likelihoods(level, [float(in_flight[i]) for i in chosen], columns)
    ranked = sorted(fits, key=lambda route: -fits[route].log)
    if len(ranked) < 2 or ranked[0] is None or fits[ranked[0]].log - fits[ranked[1]].log < _LIKELIER:
        return None
    best = ranked[0]
    share = ended[best][-1] / max(handled[-1], 1)
    usual = total_rate / share
    return best if _NEAR * usual <= fits[best].slope <= usual / _NEAR else None


def _lowest(levels: Sequence[int]) -> list[int]:
    """Return the sample with the lowest level of each group of neighbours: what comes and goes is least there."""
    size = -(-len(levels) // MOST_POINTS)
    return [
        min(range(start, min(start + size, len(levels))), key=levels.__getitem__)
        for start in range(0, len(levels), size)
    ]
