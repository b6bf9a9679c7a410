"""How likely a level is the work of one cause, when the level also drifts and steps by itself.

A level is what the cause left behind, plus noise of two sorts: what comes and goes (requests in flight, garbage that waits for
the collector) and what stays (a pool that fills, an import): white noise on a random walk, the local level model of Harvey
(Forecasting, Structural Time Series Models and the Kalman Filter, 1989). The Kalman filter turns level and counts into
innovations, in which least squares is fair. How much of the noise stays is chosen by likelihood for each cause. Steps beyond
all noise, such as an import or a look of our own, are taken out before.
"""

from __future__ import annotations

import itertools
import math
import typing
from collections.abc import Mapping, Sequence

from leakguard.detection.regression import Fit, Vector, centred, dot, fit_slope, median

_STEP = 6.0  # deviations of the usual change, from which a change is a step
_MOST_STEPS = 4
_STAYS = (0.0, 0.003, 0.03, 0.3, 3.0, 100.0)  # variance of what stays against what comes and goes, tried in turn

_Key = typing.TypeVar("_Key")


class Likelihood(typing.NamedTuple):
    """How well a cause explains a level: the logarithm of the likelihood, and the level's rise per unit of the cause."""

    log: float
    slope: float


def without_steps(requests: Sequence[int], levels: Vector) -> list[float]:
    """Return the levels with the few changes beyond all noise put down to the usual growth.

    Only a few: what steps again and again may be the very thing that leaks.
    """
    handled = [b - a for a, b in itertools.pairwise(requests)]
    changes = [b - a for a, b in itertools.pairwise(levels)]
    if not changes:
        return list(levels)
    usual = median(change / max(n, 1) for change, n in zip(changes, handled, strict=True))
    beyond = [change - usual * n for change, n in zip(changes, handled, strict=True)]
    sizes = sorted(map(abs, beyond), reverse=True)
    most = max(_STEP * 1.4826 * median(sizes), sizes[min(_MOST_STEPS, len(sizes) - 1)])
    out = [float(levels[0])]
    for change, n, rest in zip(changes, handled, beyond, strict=True):
        out.append(out[-1] + (change if abs(rest) <= most else usual * n))
    return out


def lasting(requests: Sequence[int], levels: Vector, traffic: Vector) -> Fit | None:
    """Return the slope that is left when growth with the logarithm of the requests is taken out, and the traffic's influence.

    What slows down, a warm-up or a cache of more and more known keys, grows like the logarithm; so do leakguard's own records.
    """
    slower = centred([math.log(max(n, 1)) for n in requests])
    own, level, beside = (_less(centred(values), slower) for values in (requests, levels, traffic))
    return fit_slope(own, level, beside)


def likelihoods(levels: Vector, nuisance: Vector, columns: Mapping[_Key, Vector]) -> dict[_Key, Likelihood]:
    """Return how likely the levels are the work of each column alone, beside the nuisance; some milliseconds for 120 points."""
    best: dict[_Key, Likelihood] = {}
    size = len(levels) - 1
    if size < 3:
        return best
    for stays in _STAYS:
        (level, beside, *counts), penalty = _innovations([levels, nuisance, *columns.values()], stays)
        level = _less(level, beside)
        for cause, count in zip(columns, counts, strict=True):
            alone = _less(count, beside)
            square = dot(alone, alone)
            if square <= 0:
                continue
            slope = dot(alone, level) / square
            missed = sum((y - slope * x) ** 2 for x, y in zip(alone, level, strict=True))
            log = -size / 2 * math.log(missed / size + 1e-9) - penalty
            if cause not in best or log > best[cause].log:
                best[cause] = Likelihood(log, slope)
    return best


def _innovations(series: Sequence[Vector], stays: float) -> tuple[list[list[float]], float]:
    """Return what each value of each series says that those before it did not, and half the logarithm of their variances."""
    means = [float(values[0]) for values in series]
    news: list[list[float]] = [[] for _ in series]
    variance, penalty = 1.0, 0.0
    for step in range(1, len(series[0])):
        variance += stays
        spread = variance + 1.0
        gain, root = variance / spread, math.sqrt(spread)
        penalty += math.log(spread) / 2
        for i, values in enumerate(series):
            miss = values[step] - means[i]
            news[i].append(miss / root)
            means[i] += gain * miss
        variance *= 1 - gain
    return news, penalty


def _less(values: Vector, other: Vector) -> list[float]:
    """Return the values with the influence of the other taken out."""
    square = dot(other, other)
    if square <= 0:
        return list(values)
    share = dot(values, other) / square
    return [value - share * beside for value, beside in zip(values, other, strict=True)]
