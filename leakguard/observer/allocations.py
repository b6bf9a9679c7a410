"""Allocation sites: what was allocated in a burst of tracemalloc, and whether anybody in Python refers to it."""

from __future__ import annotations

import collections
import gc
import time
import tracemalloc
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from leakguard.observer import naming
from leakguard.observer.edges import referents
from leakguard.observer.elements import Trace, place, traceback_of
from leakguard.probes.code import origin
from leakguard.records import Site

# One block in fifty requests: a leak on a route with a small part of the traffic, and more than chance in a burst.
_PER_REQUEST = 0.02
_FEWEST = 5
# An object's own tables (of a dict, a list, an instance) are blocks that nothing refers to: where most objects of a site are
# held, its other blocks are theirs.
_HELD = 0.2
_MOST_SITES = 8
# The interpreter uses the memory of dead ones again without asking its allocator: where they were allocated says nothing.
REUSED = frozenset({"tuple", "list", "dict"})
_HAVE_GC = 1 << 14  # Py_TPFLAGS_HAVE_GC: the collector can ask objects of the type what they refer to


@dataclass(frozen=True, slots=True)
class Lost:
    """Blocks of one allocation site that are alive and that no Python object accounts for."""

    site: Site | None
    frames: tuple[Site, ...]
    blocks: int
    bytes_each: int
    type: str | None  # of those that the collector tracks, if there are enough
    whole: bool  # every object of the heap was asked whether it holds one


@dataclass(frozen=True, slots=True)
class Kept:
    """Blocks of one allocation site that are alive and that something refers to, with the way to one of them.

    The way begins with an object that the collector tracks; what lies behind it, it does not: tuples and dicts of texts.
    """

    site: Site | None
    frames: tuple[Site, ...]
    blocks: int
    bytes_each: int
    way: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """What a burst left behind: what nothing in Python refers to, and what is held, each with most bytes first."""

    lost: tuple[Lost, ...] = ()
    kept: tuple[Kept, ...] = ()


def left(requests: int, until: float, ignore: Collection[int] = ()) -> Left:
    """Return the sites that kept at least one block in fifty requests: those nobody in Python refers to, and the others.

    Runs in the copy, after a burst in which ``requests`` were handled. ``ignore`` are identities of objects that are
    nobody's holder.
    """
    if not tracemalloc.is_tracing():
        return Left()
    blocks: collections.Counter[Trace] = collections.Counter()
    sizes: collections.Counter[Trace] = collections.Counter()
    for _, size, frames, *_ in tracemalloc._get_traces():  # type: ignore[attr-defined]
        blocks[frames] += 1
        sizes[frames] += size
    enough = max(_PER_REQUEST * requests, _FEWEST)
    suspects = {frames for frames, count in blocks.items() if count >= enough and origin(frames[0][0]) != "leakguard"}
    held, ways, types, whole = _held(suspects, until, ignore)
    lost, kept = [], []
    for frames in suspects:
        alone, each = blocks[frames] - held[frames], sizes[frames] // blocks[frames]
        if alone >= enough and held[frames] <= _HELD * blocks[frames]:
            lost.append(Lost(*place(frames), alone, each, _commonest(types[frames], alone / 2), whole))
        elif held[frames] >= enough:
            kept.append(Kept(*place(frames), held[frames], each, ways[frames]))
    return Left(
        tuple(sorted(lost, key=lambda site: -site.blocks * site.bytes_each)[:_MOST_SITES]),
        tuple(sorted(kept, key=lambda site: -site.blocks * site.bytes_each)[:_MOST_SITES]),
    )


_Ways = dict[Trace, tuple[object, ...]]
_Types = dict[Trace, collections.Counter[str]]


def _held(
    suspects: Iterable[Trace], until: float, ignore: Collection[int]
) -> tuple[collections.Counter[Trace], _Ways, _Types, bool]:
    """Count, by where they were allocated, the objects that some other object refers to, with the way to one of each.

    Count as well, of all that the collector tracks, the types.

    What the collector does not track (tuples and dicts of texts and numbers) is not among its objects, so one goes through it.
    """
    wanted = set(suspects)
    held: collections.Counter[Trace] = collections.Counter()
    ways: _Ways = {}
    types: _Types = collections.defaultdict(collections.Counter)
    seen: set[int] = set()
    passed: set[int] = set()
    kinds: dict[int, bool] = {}
    if not wanted:
        return held, ways, types, True
    for number, value in enumerate(gc.get_objects()):
        if number % 1024 == 0 and time.thread_time() > until:
            return held, ways, types, False
        if id(value) in ignore:
            continue
        own = traceback_of(value)
        if own is not None and own in wanted and (name := naming.name_of(value)) not in REUSED:
            types[own][name] += 1
        waiting: list[tuple[object, ...]] = [(value,)]
        while waiting:
            way = waiting.pop()
            for referent in referents(way[-1]):
                frames = traceback_of(referent)
                if frames is not None and frames in wanted and id(referent) not in seen:
                    seen.add(id(referent))
                    held[frames] += 1
                    ways[frames] = (*way, referent)
                if _collectable(type(referent), kinds) and not gc.is_tracked(referent) and id(referent) not in passed:
                    passed.add(id(referent))
                    waiting.append((*way, referent))
    return held, ways, types, True


def _commonest(types: collections.Counter[str], enough: float) -> str | None:
    name, count = types.most_common(1)[0] if types else ("", 0)
    return name if count >= enough else None


def _collectable(kind: type, known: dict[int, bool]) -> bool:
    """Tell whether the collector can ask objects of a type what they refer to."""
    try:
        return known[id(kind)]
    except KeyError:
        known[id(kind)] = bool(naming.HEAP_TYPE_FLAGS.__get__(kind) & _HAVE_GC)
        return known[id(kind)]
