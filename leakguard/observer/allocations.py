"""Allocation sites: a burst of tracemalloc for seconds, and what was allocated in it that nobody in Python refers to."""

from __future__ import annotations

import collections
import ctypes
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
_HAVE_GC = 1 << 14  # Py_TPFLAGS_HAVE_GC: the collector can ask objects of the type what they refer to


class _Allocator(ctypes.Structure):
    """``PyMemAllocatorEx`` of the C API: a context and four functions, which we only carry about."""

    _fields_ = (("context", ctypes.c_void_p), ("functions", ctypes.c_void_p * 4))


_DOMAINS = (1, 2)  # PYMEM_DOMAIN_MEM and PYMEM_DOMAIN_OBJ: those that may only be used with the interpreter lock held
_untraced: list[_Allocator] = []


def pause() -> None:
    """Let the copy's own allocations go untraced; what was traced before stays known.

    Tracing makes a look several times slower, and to stop it would forget all. So the allocators from before the burst are put
    back. Blocks that are freed meanwhile are not taken off the books, which only the copy can afford.
    """
    for domain, allocator in zip(_DOMAINS, _untraced, strict=False):
        ctypes.pythonapi.PyMem_SetAllocator(domain, ctypes.byref(allocator))


class Burst:
    """Switches ``tracemalloc`` on for seconds: while it lasts a request costs 7 to 15 times as much at few frames.

    The frames of the application must be among those kept, so there are a few more than the cheapest burst would have.
    """

    def __init__(self) -> None:
        self.why: str | None = None
        self.active = False

    def start(self, frames: int = 8) -> bool:
        """Begin; ``False`` when somebody else traces already, for a second tracer would take the first one's place."""
        self.why = None
        if tracemalloc.is_tracing():
            self.why = "no burst: tracemalloc is already on, and not by leakguard"
        elif _tracer_taken():
            self.why = "no burst: another tool (memray, for one) uses the interpreter's only object tracer"
        else:
            _untraced[:] = [_Allocator() for _ in _DOMAINS]
            for domain, allocator in zip(_DOMAINS, _untraced, strict=True):
                ctypes.pythonapi.PyMem_GetAllocator(domain, ctypes.byref(allocator))
            tracemalloc.start(frames)
            self.active = True
        return self.active and self.why is None

    def stop(self) -> None:
        """End the burst and forget its traces, unless the host ended it already."""
        if self.active:
            self.active = False
            tracemalloc.stop()
            _untraced.clear()


class _Place(ctypes.Structure):
    """``Dl_info`` of the C library: the shared object that an address lies in, by its path and first address."""

    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("at", ctypes.c_void_p),
    )


def _tracer_taken() -> bool:
    """Tell whether another tool uses the object tracer, which ``tracemalloc`` would take away in silence since Python 3.13.

    3.13.0 leaves tracemalloc's own tracer in place after ``stop``: one that lies in the interpreter itself is nobody's.
    """
    get = getattr(ctypes.pythonapi, "PyRefTracer_GetTracer", None)
    if get is None:  # before 3.13 tracemalloc has a place of its own
        return False
    get.restype = ctypes.c_void_p
    tracer = get(ctypes.byref(ctypes.c_void_p()))
    return tracer is not None and _library_of(tracer) != _library_of(ctypes.cast(get, ctypes.c_void_p).value)


def _library_of(address: int | None) -> int | None:
    """Return where the shared object that an address lies in begins."""
    place_ = _Place()
    ctypes.CDLL(None).dladdr(ctypes.c_void_p(address), ctypes.byref(place_))
    base: int | None = place_.base
    return base


@dataclass(frozen=True, slots=True)
class Lost:
    """Blocks of one allocation site that are alive and that no Python object accounts for."""

    site: Site | None
    frames: tuple[Site, ...]
    blocks: int
    bytes_each: int
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
    held, ways, whole = _held(suspects, until, ignore)
    lost, kept = [], []
    for frames in suspects:
        alone, each = blocks[frames] - held[frames], sizes[frames] // blocks[frames]
        if alone >= enough and held[frames] <= _HELD * blocks[frames]:
            lost.append(Lost(*place(frames), alone, each, whole))
        elif held[frames] >= enough:
            kept.append(Kept(*place(frames), held[frames], each, ways[frames]))
    return Left(
        tuple(sorted(lost, key=lambda site: -site.blocks * site.bytes_each)[:_MOST_SITES]),
        tuple(sorted(kept, key=lambda site: -site.blocks * site.bytes_each)[:_MOST_SITES]),
    )


_Ways = dict[Trace, tuple[object, ...]]


def _held(
    suspects: Iterable[Trace], until: float, ignore: Collection[int]
) -> tuple[collections.Counter[Trace], _Ways, bool]:
    """Count, by where they were allocated, the objects that some other object refers to, with the way to one of each.

    What the collector does not track (tuples and dicts of texts and numbers) is not among its objects, so one goes through it.
    """
    wanted = set(suspects)
    held: collections.Counter[Trace] = collections.Counter()
    ways: _Ways = {}
    seen: set[int] = set()
    passed: set[int] = set()
    kinds: dict[int, bool] = {}
    if not wanted:
        return held, ways, True
    for number, value in enumerate(gc.get_objects()):
        if number % 1024 == 0 and time.monotonic() > until:
            return held, ways, False
        if id(value) in ignore:
            continue
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
    return held, ways, True


def _collectable(kind: type, known: dict[int, bool]) -> bool:
    """Tell whether the collector can ask objects of a type what they refer to."""
    try:
        return known[id(kind)]
    except KeyError:
        known[id(kind)] = bool(naming.HEAP_TYPE_FLAGS.__get__(kind) & _HAVE_GC)
        return known[id(kind)]
