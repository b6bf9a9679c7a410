"""Which route is it: judged from requests that ran alone (evidence after the allocation traceback, before regression)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from leakguard.detection.regression import centred, dot

ENOUGH = 8  # samples of a route before its mean says anything
STANDARD_ERRORS = 4.0
TRIM = 0.1  # of each end: lazy imports and freed caches are not what one request costs


def route_alone(samples: Mapping[str, Sequence[float]], *, least: float) -> str | None:
    """Return the one route whose requests, each alone in the process, leave something behind; ``None`` if none or several.

    Args:
        samples: per route, the change of the level over each request that ran alone.
        least: the smallest mean change that counts, in the level's unit.
    """
    guilty = [route for route, changes in samples.items() if _leaves_behind(changes, least)]
    return guilty[0] if len(guilty) == 1 else None


def _leaves_behind(changes: Sequence[float], least: float) -> bool:
    if len(changes) < ENOUGH:
        return False
    cut = int(len(changes) * TRIM)
    kept = sorted(changes)[cut : len(changes) - cut] if cut else sorted(changes)
    mean, beside = sum(kept) / len(kept), centred(kept)
    error = math.sqrt(dot(beside, beside) / (len(kept) - 1) / len(kept))
    return mean >= least and mean > STANDARD_ERRORS * error
