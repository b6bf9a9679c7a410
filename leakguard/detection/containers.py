"""Containers that grow by a constant number of entries per request: most leaks in Python are one of these.

A container is followed by identity from look to look. It is suspect when it grew in each of at least three looks at a rate
that lasts, and confirmed when two later looks, over at least half as many requests again, agree. It is acquitted when a
bound is known and kept and when it shrinks as much as it grows. While it slows down it stays a suspect: so a cache fills.
What no path leads to is mostly the inside of a running frame or of an event loop (whose list of cancelled timers grows
for seconds before it is swept), and what lies in an element of another container comes and goes with that element: the next
one of its kind takes its address, and may be longer by chance. Both must grow for longer before anything is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from leakguard.detection import words
from leakguard.detection.routes import EVERY, Attribution, Counts, attribute_lengths
from leakguard.detection.suspicion import Suspicion
from leakguard.records import ELEMENT, Census, Container, Kind, Status

FEWEST_LOOKS = 3
LOOKS_TO_CONFIRM = 5
FEWEST_ENTRIES = 20
LOOKS_PASSING, REQUESTS_PASSING = 8, 1000
MOST_SUSPICIONS = 16
# Filled by whoever compiles a regular expression, leakguard among them; their bounds are variables of their module.
_BOUNDS = {"re._cache": 512, "re._cache2": 256}
_MODULES = "sys.modules"
_SLOWEST = 0.0005  # entries per request: one in 2 000
_AGREES = 0.5
_SLOWING = 0.85


@dataclass(frozen=True, slots=True)
class Track:
    """One container over the looks: those since it last failed to grow, its latest record and its worst shrinking."""

    container: Container
    points: tuple[tuple[int, int], ...]  # requests, length
    shrank: int

    @property
    def growth(self) -> int:
        """Entries gained."""
        return self.points[-1][1] - self.points[0][1]

    @property
    def requests(self) -> int:
        """Requests handled meanwhile."""
        return self.points[-1][0] - self.points[0][0]


def bounded(container: Container) -> bool:
    """Say whether a known bound is kept: it fills, it does not leak."""
    bound = container.bound if container.bound is not None else _BOUNDS.get(container.path)
    return bound is not None and container.length <= bound


def unnamed(container: Container) -> bool:
    """Say whether no path from a module leads to the container."""
    return container.path.startswith("?")


def passing(container: Container) -> bool:
    """Say whether the container may be one of many that come and go: it has no name, or lies in another one's element.

    The table of modules counts as such: late imports, leakguard's own among them, fill it in handfuls.
    """
    return unnamed(container) or ELEMENT in container.path or container.path == _MODULES


def tracks(censuses: Sequence[Census]) -> list[Track]:
    """Return the growth of every container of the latest look that grew in it, whatever its bound."""
    if not censuses:
        return []
    looks = [{container.key: container for container in census.containers} for census in censuses]
    return [track for container in looks[-1].values() if (track := _track(container, censuses, looks)) is not None]


def _track(latest: Container, censuses: Sequence[Census], looks: Sequence[dict[int, Container]]) -> Track | None:
    points: list[tuple[int, int]] = []
    growing = True
    lowest_later, shrank = latest.length, 0
    before: int | None = None  # its length in this look, as the one after it says
    for census, look in zip(reversed(censuses), reversed(looks), strict=True):
        seen = look.get(latest.key)
        if seen is None and before is not None and growing and points and before < points[-1][1]:
            points.append((census.requests, before))  # not yet known to grow then
        if seen is None:
            growing, before = False, None  # it did not grow between these looks
            continue
        before = seen.before
        if seen.type != latest.type:
            break  # another object at the same address
        shrank = max(shrank, seen.length - lowest_later)
        lowest_later = min(lowest_later, seen.length)
        if not growing:
            continue
        if points and census.requests >= points[-1][0]:
            continue  # no requests between two looks: nothing to divide by
        if points and seen.length >= points[-1][1]:
            growing = False
            continue
        points.append((census.requests, seen.length))
    points.reverse()
    return Track(latest, tuple(points), shrank) if len(points) >= 2 else None


def find_containers(censuses: Sequence[Census], counts: Counts) -> list[Suspicion]:
    """Return the containers that leak, largest growth first, at most ``MOST_SUSPICIONS``."""
    found = [
        (track, status) for track in tracks(censuses) if not bounded(track.container) and (status := _judge(track))
    ]
    found.sort(key=lambda entry: (entry[1] is not Status.CONFIRMED, -entry[0].growth))
    return [_suspicion(track, status, counts) for track, status in found[:MOST_SUSPICIONS]]


def _judge(track: Track) -> Status | None:
    if len(track.points) < FEWEST_LOOKS or track.growth < max(FEWEST_ENTRIES, 3 * track.shrank):
        return None
    if track.growth < _SLOWEST * track.requests:
        return None
    if passing(track.container) and (len(track.points) < LOOKS_PASSING or track.requests < REQUESTS_PASSING):
        return None
    # The last third: between two looks that follow closely a rare route may have had no request at all.
    recent = max(2, len(track.points) // 3)
    early, late = _rate(track.points[:-1]), _rate(track.points[-recent:])
    if late < _AGREES * early:
        return None
    return Status.CONFIRMED if _confirmed(track) else Status.SUSPECT


def _confirmed(track: Track) -> bool:
    """Say whether looks after the first three agree with them over at least half as many requests, without slowing down."""
    first, later = track.points[:FEWEST_LOOKS], track.points[FEWEST_LOOKS - 1 :]
    if len(track.points) < LOOKS_TO_CONFIRM:
        return False
    if 2 * (later[-1][0] - later[0][0]) < first[-1][0] - first[0][0]:
        return False
    before, after = _rate(first), _rate(later)
    return after >= _AGREES * before and not _slowing(track.points)


def _slowing(points: Sequence[tuple[int, int]]) -> bool:
    """Say whether the rate falls from third to third of the looks: a cache that fills with fewer and fewer new keys.

    By more than the chance in which requests come: entries of a route with little traffic are counted as a Poisson process.
    """
    cuts = [points[round(part * (len(points) - 1) / 3)] for part in range(4)]
    if any(a == b for a, b in pairwise(cuts)):
        return False
    first, middle, last = (_rate(cuts[part : part + 2]) for part in range(3))
    error = sum((b[1] - a[1]) / (b[0] - a[0]) ** 2 for a, b in (cuts[:2], cuts[2:])) ** 0.5
    return first > middle > last and last < _SLOWING * first and first - last > error


def _rate(points: Sequence[tuple[int, int]]) -> float:
    return (points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0])


def _suspicion(track: Track, status: Status, counts: Counts) -> Suspicion:
    container, where = track.container, attribute_lengths(track.points, counts)
    looks = len(track.points)
    grew = (
        f"{container.path} ({container.type}) grew in {looks - 1} of {looks - 1} looks, {_per(where)}, "
        f"now {words.plural(container.length, 'entry')}"
    )
    reasons = [grew]
    if status is Status.CONFIRMED:
        first, later = _rate(track.points[:FEWEST_LOOKS]), _rate(track.points[FEWEST_LOOKS - 1 :])
        reasons.append(
            f"later looks agree: {words.rate(later)} entries per request of any route against {words.rate(first)} before"
        )
    elif _slowing(track.points) and looks > FEWEST_LOOKS:
        reasons.append("not confirmed: its growth slows down, as that of a cache that fills")
    if container.bound is not None:
        reasons.append(f"already beyond its stated bound of {words.count(container.bound)}")
    if where.reason:
        reasons.append(where.reason)
    return Suspicion(
        kind=Kind.LEAK,
        status=status,
        key=container.key,
        name=container.path,
        per_request=where.per_request,
        count=container.length,
        route=where.route,
        failed=bool(where.cause and where.cause.failed),
        reasons=tuple(reasons),
        holder=container.path,
        growth=track.growth,
        requests=track.requests,
    )


def _per(where: Attribution) -> str:
    return f"{words.rate(where.per_request)} per {where.cause or EVERY}"
