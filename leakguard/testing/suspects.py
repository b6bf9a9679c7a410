"""From what was measured and what the looks saw to suspicions, in the words that the live judge uses. Pure."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from leakguard.detection import words
from leakguard.detection.containers import Track, bounded, tracks, unnamed
from leakguard.detection.suspicion import Suspicion
from leakguard.detection.vitals import SMALL_OBJECT
from leakguard.records import Census, Explanation, Kind, Site, Status
from leakguard.testing.measuring import Measurement

MOST_SUSPECTS = 4
"""Containers or types asked about in one deep look; what leaks per call rarely has more than one holder."""

_TIMERS = "._scheduled"
_IN_STEP = 0.25
_TELLS = 0.05
_SAYS_NOTHING = frozenset({"_frozen_importlib", "_frozen_importlib_external", "functools", "collections", "weakref"})
_COUNTED = {
    "tasks": Kind.TASKS,
    "threads": Kind.THREADS,
    "fds": Kind.DESCRIPTORS,
    "processes": Kind.LEAK,
    "files": Kind.LEAK,
}
_TYPED = {"processes": "child process", "files": "temporary file"}
_HOLDING = {"processes": ("Popen", "Process"), "files": ("",)}


@dataclass(frozen=True, slots=True)
class Looks:
    """What the looks saw beside the measuring: containers and types between runs of calls, and where things hang."""

    censuses: tuple[Census, ...] = ()
    places: Mapping[str, Site] = dataclasses.field(default_factory=dict)  # by quantity: tasks, threads, files
    classes: Mapping[str, str] = dataclasses.field(default_factory=dict)  # by quantity: tasks, threads
    holders: Mapping[str, str] = dataclasses.field(default_factory=dict)  # by quantity, where no container holds them

    @property
    def growing(self) -> list[Track]:
        """The containers that grew in every run, fastest first. The first look has nothing to compare with."""
        seen = [track for track in tracks(self.censuses[1:]) if len(track.points) == len(self.censuses) - 1]
        return sorted(seen, key=lambda track: -track.growth)


def filling(measurement: Measurement, looks: Looks) -> int:
    """Return how many calls would fill the containers of known bound, 0 unless they alone may be all that grows.

    A cache that states its size is no leak, but too large a one looks like it until it is full.
    """
    grown = looks.growing
    if (
        set(measurement.leaks) - {"blocks", "heap", "resident"}
        or not grown
        or not all(bounded(t.container) for t in grown)
    ):
        return 0
    return max(round(_missing(track) * track.requests / track.growth) for track in grown)


def _missing(track: Track) -> int:
    return (track.container.bound or 0) - track.container.length + 1


def suspect(measurement: Measurement, looks: Looks) -> tuple[Suspicion, ...]:
    """Return what the callable must answer for: tasks, threads and descriptors, then containers; else a type or a level."""
    containers = [track for track in looks.growing if not bounded(track.container)]
    # What no path leads to is mostly a part of what one does: the interpreter's own dict of a class's subclasses.
    containers = [track for track in containers if not unnamed(track.container)] or containers
    found = [_counted(measurement, name, looks) for name in _COUNTED if name in measurement.leaks]
    # A socket that a leaked task or thread holds open is the lesser news.
    found = [s for s in found if s.kind is not Kind.DESCRIPTORS] or found
    found += [_container(track) for track in containers[:MOST_SUSPECTS]]
    return tuple(found) or (_level(measurement, looks),)


def relate(
    suspicions: Sequence[Suspicion], explanations: Sequence[Explanation | None]
) -> list[tuple[Suspicion, Explanation | None]]:
    """Give tasks, threads and descriptors the container that holds them, and drop what only grows along with them.

    A container is the holder when it grows in step and its newest elements are such objects. One that grows in step with
    other elements (the locks that the threads wait for, the interpreter's own lists) becomes a reason.
    """
    explained = list(zip(suspicions, explanations, strict=True))
    counted = [s for s in suspicions if s.key in _COUNTED]
    out: list[tuple[Suspicion, Explanation | None]] = []
    taken: set[int | str] = set()
    for suspicion in counted:
        beside = [(s, e) for s, e in explained if isinstance(s.key, int) and _beside(s, suspicion)]
        holders = [(s, e) for s, e in beside if _holds(s, e, suspicion)]
        taken.update(s.key for s, _ in beside)
        said = tuple(reason for s, e in beside if (s, e) not in holders[:1] for reason in s.reasons)
        holder = holders[0][0].holder if holders else suspicion.holder
        out.append((dataclasses.replace(suspicion, holder=holder, reasons=suspicion.reasons + said), None))
        out += holders[:1]
    return out + [(s, e) for s, e in explained if s not in counted and s.key not in taken]


def _beside(container: Suspicion, counted: Suspicion) -> bool:
    """Say whether a container grows because of what is counted: in step with it, or as the event loop's timers do."""
    if counted.kind is Kind.TASKS and container.name.endswith(_TIMERS) and _stdlib(container.name):
        return True
    return _close(container.per_request, counted.per_request)


def _stdlib(name: str) -> bool:
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names or top.lstrip("_") in sys.stdlib_module_names


def _holds(container: Suspicion, seen: Explanation | None, counted: Suspicion) -> bool:
    if _stdlib(container.name):
        return False  # where the interpreter itself keeps count of them
    if counted.kind is Kind.DESCRIPTORS:
        return True  # numbers, files, sockets: anything may stand for a descriptor
    nouns = _HOLDING.get(str(counted.key)) or ("Task" if counted.kind is Kind.TASKS else "Thread",)
    types = (seen.type or "", *seen.also_types) if seen is not None else ()
    return any(noun in name for name in types for noun in nouns)


def _counted(measurement: Measurement, name: str, looks: Looks) -> Suspicion:
    attempt = measurement.attempts[name]
    kind = _COUNTED[name]
    return Suspicion(
        kind=kind,
        status=Status.CONFIRMED,
        key=name,
        name=_TYPED.get(name, str(kind)),
        type=_TYPED.get(name) or looks.classes.get(name),
        holder=looks.holders.get(name),
        per_request=attempt.per_call,
        count=attempt.total,
        reasons=(f"{words.count(attempt.total)} more in {words.count(attempt.all_calls)} calls",),
        site=looks.places.get(name),
        growth=attempt.total,
        requests=attempt.all_calls,
    )


def _container(track: Track) -> Suspicion:
    container = track.container
    return Suspicion(
        kind=Kind.LEAK,
        status=Status.CONFIRMED,
        key=container.key,
        name=container.path,
        per_request=_rate(track),
        count=container.length,
        reasons=(f"{container.path} ({container.type}) grew {words.rate(_rate(track))} per call",),
        holder=container.path,
        growth=track.growth,
        requests=track.requests,
    )


def _level(measurement: Measurement, looks: Looks) -> Suspicion:
    """Return what no container explains: objects of a type, blocks, C heap, or memory from outside of it, in this order."""
    blocks, heap, resident = (measurement.attempts[name] for name in ("blocks", "heap", "resident"))
    telling = _telling_type(looks.censuses) if "blocks" in measurement.leaks else None
    # Larger than small objects can be: buffers, or large objects of a type that the collector does not track.
    large = "heap" in measurement.leaks and heap.per_call > SMALL_OBJECT * blocks.per_call
    if telling or ("blocks" in measurement.leaks and not large) or not {"heap", "resident"} & set(measurement.leaks):
        rate, name = telling or (blocks.per_call, "")
        return Suspicion(
            kind=Kind.LEAK,
            status=Status.CONFIRMED,
            key=name or "blocks",
            name=name or "allocated blocks",
            per_request=rate,
            reasons=(f"allocated blocks grew {words.rate(blocks.per_call)} per call; no container grew with them",),
            type=name or None,
            growth=blocks.total,
            requests=blocks.all_calls,
        )
    key, name, attempt = ("heap", "C heap in use", heap)
    if "heap" not in measurement.leaks:
        key, name, attempt = ("resident", "resident memory", resident)
    return Suspicion(
        kind=Kind.NATIVE,
        status=Status.CONFIRMED,
        key=key,
        name=name,
        per_request=attempt.per_call,
        bytes_per_request=attempt.per_call,
        reasons=(f"{name} grew {words.size_rate(attempt.per_call)} per call; nothing of Python grew with it",),
        growth=attempt.total,
        requests=attempt.all_calls,
    )


def _telling_type(censuses: Sequence[Census]) -> tuple[float, str] | None:
    """Return rate and name of the type that grew alike in every run: the most, an application's or a library's if any."""
    if len(censuses) < 3:
        return None
    first, last = censuses[0], censuses[-1]
    calls = last.requests - first.requests
    rates = {
        name: (last.types[name] - first.types.get(name, 0)) / calls
        for name in last.types
        if _alike([b.types.get(name, 0) - a.types.get(name, 0) for a, b in pairwise(censuses)])
    }
    highest = max(rates.values(), default=0.0)
    # Of what leaks together, an object of the application says most; but a few that came by chance say nothing.
    telling = {name: rate for name, rate in rates.items() if rate >= _TELLS * highest and _says_something(name)}
    if not rates:
        return None
    name = max(telling or rates, key=lambda each: (rates[each], each))
    return rates[name], name


def _alike(growth: Sequence[int]) -> bool:
    return min(growth) > 0 and max(growth) <= (1 + 2 * _IN_STEP) * min(growth)


def _says_something(name: str) -> bool:
    """Say whether a type is somebody's own, and not one that everything is made of."""
    return "." in name and not name.startswith("builtins.") and name.partition(".")[0] not in _SAYS_NOTHING


def _rate(track: Track) -> float:
    return track.growth / track.requests


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= _IN_STEP * max(abs(one), abs(other))
