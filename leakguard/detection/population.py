"""Types whose population grows with the requests: they explain growth that no container does, and raise no alarm alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from leakguard.detection import words
from leakguard.detection.routes import EVERY, Counts, attribute_lengths
from leakguard.detection.suspicion import Suspicion
from leakguard.records import Census, Kind, Status

FEWEST_LOOKS = 4
FEWEST_OBJECTS = 50
_SLOWEST = 0.01
_AGREES = 0.5
# What every leaked graph is made of: named only when nothing more telling grows with it.
_COMMON = frozenset(
    f"builtins.{name}"
    for name in ("dict", "list", "tuple", "set", "function", "cell", "method", "frame", "generator", "type", "weakref")
) | {"dict", "list", "tuple", "set", "function", "cell", "method", "frame", "builtin_function_or_method"}


def is_common(name: str) -> bool:
    """Say whether a type is one that every leaked graph is made of."""
    return name in _COMMON


def find_population(censuses: Sequence[Census], counts: Counts) -> Suspicion | None:
    """Return the most telling type that grew in every look at a lasting rate, ``None`` without one.

    The most telling is a type of a library or the application whose growth is a whole number per request of one route.
    """
    looks = [census for i, census in enumerate(censuses) if i == 0 or census.requests > censuses[i - 1].requests]
    if len(looks) < FEWEST_LOOKS or any(b.requests <= a.requests for a, b in pairwise(looks)):
        return None
    growing = [
        name for name, number in looks[-1].types.items() if number - looks[0].types.get(name, 0) >= FEWEST_OBJECTS
    ]
    best: tuple[tuple[bool, bool, float], str, list[tuple[int, int]]] | None = None
    for name in growing:
        points = [(look.requests, look.types.get(name, 0)) for look in looks]
        rates = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(points)]
        early = (points[-2][1] - points[0][1]) / (points[-2][0] - points[0][0])
        if min(rates) <= 0 or rates[-1] < _AGREES * early or early < _SLOWEST:
            continue
        whole = attribute_lengths(points, counts).per_request
        rank = (not is_common(name), abs(whole - round(whole)) <= 0.02 * whole and round(whole) >= 1, early)
        if best is None or rank > best[0]:
            best = rank, name, points
    return _suspicion(best[1], best[2], counts) if best else None


def _suspicion(name: str, points: list[tuple[int, int]], counts: Counts) -> Suspicion:
    where = attribute_lengths(points, counts)
    grew = (
        f"objects of type {name} grew in {len(points) - 1} of {len(points) - 1} looks, "
        f"{words.rate(where.per_request)} per {where.cause or EVERY}, now {words.count(points[-1][1])}"
    )
    reasons = [grew]
    if where.reason:
        reasons.append(where.reason)
    return Suspicion(
        kind=Kind.LEAK,
        status=Status.CONFIRMED if len(points) > FEWEST_LOOKS else Status.SUSPECT,
        key=name,
        name=name,
        per_request=where.per_request,
        count=points[-1][1],
        route=where.route,
        failed=bool(where.cause and where.cause.failed),
        reasons=tuple(reasons),
        type=name,
        growth=points[-1][1] - points[0][1],
        requests=points[-1][0] - points[0][0],
    )
