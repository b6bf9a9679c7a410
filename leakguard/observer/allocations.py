"""Allocation sites: a burst of tracemalloc for seconds, and what was allocated in it that nobody in Python refers to."""

from __future__ import annotations

import collections
import ctypes
import gc
import time
import tracemalloc
from collections.abc import Iterable
from dataclasses import dataclass

from leakguard.observer.elements import place
from leakguard.probes.code import origin
from leakguard.records import Site

# A leak of one block in two requests is still told from chance; less shows in a longer burst.
_PER_REQUEST = 0.5
_MOST_SITES = 8


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
            tracemalloc.start(frames)
            self.active = True
        return self.active and self.why is None

    def stop(self) -> None:
        """End the burst and forget its traces, unless the host ended it already."""
        if self.active:
            self.active = False
            tracemalloc.stop()


def _tracer_taken() -> bool:
    """Tell whether the object tracer is in use, which ``tracemalloc`` would take away in silence since Python 3.13."""
    get = getattr(ctypes.pythonapi, "PyRefTracer_GetTracer", None)
    if get is None:  # before 3.13 tracemalloc has a place of its own
        return False
    get.restype = ctypes.c_void_p
    return bool(get(ctypes.byref(ctypes.c_void_p())))


@dataclass(frozen=True, slots=True)
class Lost:
    """Blocks of one allocation site that are alive and that no Python object accounts for."""

    site: Site | None
    frames: tuple[Site, ...]
    blocks: int
    bytes_each: int
    whole: bool  # every object of the heap was asked whether it holds one


Trace = tuple[tuple[str, int], ...]


def lost(requests: int, until: float) -> tuple[Lost, ...]:
    """Return the sites that kept at least half a block per request which nobody in Python refers to, most bytes first.

    Runs in the copy, after a burst in which ``requests`` were handled.
    """
    if not tracemalloc.is_tracing():
        return ()
    blocks: collections.Counter[Trace] = collections.Counter()
    sizes: collections.Counter[Trace] = collections.Counter()
    for _, size, frames, *_ in tracemalloc._get_traces():  # type: ignore[attr-defined]
        blocks[frames] += 1
        sizes[frames] += size
    enough = max(_PER_REQUEST * requests, 1)
    suspects = {frames for frames, count in blocks.items() if count >= enough and origin(frames[0][0]) != "leakguard"}
    held, whole = _held(suspects, until)
    sites = []
    for frames in suspects:
        alone = blocks[frames] - held[frames]
        if alone >= enough:
            where, named = place(tuple((file, line, "") for file, line in frames))
            sites.append(Lost(where, named, alone, sizes[frames] // blocks[frames], whole))
    return tuple(sorted(sites, key=lambda each: -each.blocks * each.bytes_each)[:_MOST_SITES])


def _held(suspects: Iterable[Trace], until: float) -> tuple[collections.Counter[Trace], bool]:
    """Count, by where they were allocated, the objects that some other object refers to."""
    wanted = set(suspects)
    held: collections.Counter[Trace] = collections.Counter()
    seen: set[int] = set()
    if not wanted:
        return held, True
    get = tracemalloc._get_object_traceback  # type: ignore[attr-defined]
    for number, value in enumerate(gc.get_objects()):
        if number % 1024 == 0 and time.monotonic() > until:
            return held, False
        for referent in gc.get_referents(value):
            frames = get(referent)
            if frames is not None and frames in wanted and id(referent) not in seen:
                seen.add(id(referent))
                held[frames] += 1
    return held, True
