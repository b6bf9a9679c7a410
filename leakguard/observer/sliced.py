"""The census in slices: what can be seen from inside the process, a little at a time, where no copy may be made.

Only containers that have a name are looked at, so a leak held by a task or in a place the walk does not reach stays
unseen, and nothing can be explained. A census says ``how="sliced"``.
"""

from __future__ import annotations

import collections
import gc
import sys
import time
from collections.abc import Generator

from leakguard import records
from leakguard.observer import naming
from leakguard.observer.census import Commission, named_types, own_identities
from leakguard.observer.containers import Found, Lengths, describe, grown
from leakguard.observer.walk import Walk

# gc.get_objects() itself cannot be sliced: 50 nanoseconds an object. Above so many blocks (a block is at least a
# third of an object) it would stop the host for longer than a slice may, so types are left out.
_MOST_BLOCKS = 600_000
_SLICE = 4000
# The walk in the process may be shallower: 20 000 objects name the containers of an application's own modules.
_MOST_NODES = 20_000
_STEP = 200
_SLICES_PER_POLL = 10
_REST = 0.002


class SlicedCensus:
    """One census under way in the process. ``poll`` does some slices of a millisecond or two, with a rest between them."""

    def __init__(self, commission: Commission) -> None:
        self._commission = commission
        self._stall = 0.0
        self._begun = time.monotonic()
        self._work = self._slices()

    def poll(self) -> tuple[records.Census, Lengths] | None:
        """Go on for some slices; return the census and the lengths when done."""
        for _ in range(_SLICES_PER_POLL):
            begun = time.perf_counter()
            try:
                next(self._work)
            except StopIteration as end:
                result: tuple[records.Census, Lengths] = end.value
                return result
            finally:
                self._stall = max(self._stall, time.perf_counter() - begun)
            time.sleep(_REST)
        return None

    def _slices(self) -> Generator[None, None, tuple[records.Census, Lengths]]:
        at = time.time()
        kinds: collections.Counter[int] = collections.Counter()
        types: dict[str, int] = {}
        total = 0
        if sys.getallocatedblocks() <= _MOST_BLOCKS:
            objects = gc.get_objects()
            total = len(objects)
            for first in range(0, total, _SLICE):
                kinds.update(map(id, map(type, objects[first : first + _SLICE])))
                yield
            types = named_types(kinds, objects)
            del objects
            yield
        walk = Walk(nodes=_MOST_NODES)
        for _ in walk.steps(naming.modules(), _STEP):
            yield
        found = Found()
        for number, value in enumerate(walk.objects):
            found.add(value)
            if number % _SLICE == 0:
                yield
        for key in own_identities(self._commission.own()):
            found.objects.pop(key, None)
            found.lengths.pop(key, None)
        yield
        keys = grown(found.lengths, self._commission.before.unpack(), self._commission.tracked)
        census = records.Census(
            at=at,
            requests=self._commission.requests,
            types=types,
            containers=describe(keys, found, walk),
            objects=total,
            how="sliced",
            stall=self._stall,
            took=time.monotonic() - self._begun,
        )
        return census, Lengths.pack(found.lengths)
