"""Two small least-squares fits in plain Python: a slope beside a nuisance, and non-negative weights.

Sizes are tiny (at most some hundred points, a dozen columns), so that no numeric library is worth its import.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Iterable, Sequence
from operator import mul

Vector = Sequence[float]


class Fit(typing.NamedTuple):
    """A slope, its z score, and how much one unit of the nuisance adds. ``error`` is the sum of squared residuals."""

    slope: float
    z: float
    nuisance: float
    error: float


def dot(a: Vector, b: Vector) -> float:
    """Return the inner product."""
    return float(sum(map(mul, a, b)))


def centred(values: Vector) -> list[float]:
    """Return the values less their mean."""
    mean = sum(values) / len(values) if values else 0.0
    return [value - mean for value in values]


def median(values: Iterable[float]) -> float:
    """Return the middle one of at least one value, or the mean of the two.

    As ``statistics.median``, whose module brings decimal and fractions along: 0.8 MiB in every worker.
    """
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def fit_slope(x: Vector, y: Vector, nuisance: Vector | None = None) -> Fit | None:
    """Return the slope of ``y`` on ``x`` with the influence of ``nuisance`` taken out, or ``None`` if ``x`` does not move.

    The z score uses the variance of Newey and West (Econometrica 1987) with a lag of a quarter power of n, because
    neighbouring windows are alike.
    """
    n = len(x)
    if n < 3 or len(y) != n:
        return None
    xs, ys = centred(x), centred(y)
    xx = dot(xs, xs)
    if xx <= 0 or not math.isfinite(xx):
        return None
    nuisance_slope = 0.0
    if nuisance is not None and n >= 6:
        ts = centred(nuisance)
        tt, xt = dot(ts, ts), dot(xs, ts)
        # Almost collinear: the nuisance cannot be told from the requests, and dividing by what is left would be noise.
        if tt > 0 and xx * tt - xt * xt > 1e-6 * xx * tt:
            rest = [a - xt / tt * b for a, b in zip(xs, ts, strict=True)]
            slope = dot(rest, ys) / dot(rest, rest)
            nuisance_slope = (dot(ts, ys) - slope * xt) / tt
            errors = [c - slope * a - nuisance_slope * b for a, b, c in zip(xs, ts, ys, strict=True)]
            return Fit(slope, _z(slope, rest, errors, ys), nuisance_slope, dot(errors, errors))
    slope = dot(xs, ys) / xx
    errors = [b - slope * a for a, b in zip(xs, ys, strict=True)]
    return Fit(slope, _z(slope, xs, errors, ys), 0.0, dot(errors, errors))


def _z(slope: float, x: Vector, errors: Vector, y: Vector) -> float:
    n = len(x)
    scores = list(map(mul, x, errors))
    lags = max(1, int(n**0.25 + 0.5))
    variance = dot(scores, scores)
    for lag in range(1, min(lags, n - 1) + 1):
        variance += 2 * (1 - lag / (lags + 1)) * dot(scores[lag:], scores[:-lag])
    spread = dot(x, x) ** 2
    variance *= n / max(n - 3, 1) / spread if spread > 0 else 0.0
    if variance <= 0 or dot(errors, errors) <= 1e-18 * dot(y, y):
        return math.copysign(math.inf, slope) if slope else 0.0
    return slope / math.sqrt(variance)


def fit_weights(columns: Sequence[Vector], y: Vector) -> list[float]:
    """Return the weights, none below zero, with which ``columns`` come nearest to ``y`` (both are centred first).

    The active-set method of Lawson and Hanson (*Solving Least Squares Problems*, 1974, chapter 23) on the normal equations.
    """
    moved = [centred(column) for column in columns]
    scales = [math.sqrt(dot(column, column)) or 1.0 for column in moved]
    moved = [[value / scale for value in column] for column, scale in zip(moved, scales, strict=True)]
    target = centred(y)
    gram = [[dot(a, b) for b in moved] for a in moved]
    right = [dot(column, target) for column in moved]
    weights = _active_set(gram, right)
    return [weight / scale for weight, scale in zip(weights, scales, strict=True)]


def _active_set(gram: list[list[float]], right: list[float]) -> list[float]:
    size = len(right)
    weights = [0.0] * size
    active: list[int] = []
    small = 1e-10 * max(map(abs, right), default=0.0)
    for _ in range(3 * size):
        pull = [right[i] - dot(gram[i], weights) for i in range(size)]
        free = [i for i in range(size) if i not in active and pull[i] > small]
        if not free:
            break
        active.append(max(free, key=pull.__getitem__))
        while True:
            solution = solve([[gram[i][j] for j in active] for i in active], [right[i] for i in active])
            if solution is None:
                # The newest column adds nothing that the others do not say already.
                active.pop()
                return weights
            if min(solution) > 0:
                break
            step = min(
                weights[i] / (weights[i] - s) for i, s in zip(active, solution, strict=True) if s <= 0 < weights[i] - s
            )
            for i, s in zip(active, solution, strict=True):
                weights[i] += step * (s - weights[i])
            kept = [i for i, s in zip(active, solution, strict=True) if s > 0 or weights[i] > small]
            if len(kept) == len(active):
                kept.remove(min(kept, key=weights.__getitem__))
            for i in set(active) - set(kept):
                weights[i] = 0.0
            active = kept
            if not active:
                return weights
        weights = [0.0] * size
        for i, s in zip(active, solution, strict=True):
            weights[i] = s
    return weights


def solve(matrix: list[list[float]], right: list[float]) -> list[float] | None:
    """Return the solution of a small linear system by elimination with pivots; ``None`` when it has no single one."""
    size = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda i: abs(rows[i][column]))
        if abs(rows[pivot][column]) < 1e-9:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        head = rows[column]
        for i in range(column + 1, size):
            factor = rows[i][column] / head[column]
            if factor:
                rows[i] = [a - factor * b for a, b in zip(rows[i], head, strict=True)]
    answer = [0.0] * size
    for i in reversed(range(size)):
        answer[i] = (rows[i][size] - dot(rows[i][i + 1 : size], answer[i + 1 :])) / rows[i][i]
    return answer
