"""Levels request by request: what the process held when each request began.

Between two moments at which nothing was in flight, and exactly one request between them, the change of the level belongs to
that request. Where requests overlap, the level still rises with those of one route and not with the others. Armed only for
a thousand requests before a burst: reading the allocated blocks costs 15 us in a small process and a millisecond in a large
one.
"""

from __future__ import annotations

import bisect
import sys
import time
import typing
from collections.abc import Mapping

from leakguard.probes import heap

if typing.TYPE_CHECKING:
    from leakguard.probes.requests import Passage

MAX_SAMPLES = 1000
DEAR = 100e-6  # seconds: where one reading takes longer, fewer are taken


class Sample(typing.NamedTuple):
    """What the process held when a request began, and how many others were in flight.

    ``follows`` says that the sample before it is that of the request before.
    """

    passage: Passage
    blocks: int
    heap: int
    in_flight: int
    follows: bool


class SoloProbe:
    """Collects one sample per request, ``MAX_SAMPLES`` of them."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self._skip = self._skipped = 0

    @property
    def full(self) -> bool:
        """Whether no more are taken."""
        return len(self.samples) >= MAX_SAMPLES

    def begin(self, passage: Passage, in_flight: int) -> None:
        """Called when a request begins, with how many others are in flight."""
        if self.full or self._skipped < self._skip:
            self._skipped += 1
            return
        began = time.perf_counter()
        blocks, c_heap = sys.getallocatedblocks(), heap.in_use() or 0
        self.samples.append(Sample(passage, blocks, c_heap, in_flight, self._skipped == 0))
        self._skipped, self._skip = 0, int((time.perf_counter() - began) / DEAR)

    def alone(self) -> dict[str, list[tuple[int, int]]]:
        """Return the changes (blocks, C heap bytes) over the requests of each route that ran alone; once all were folded."""
        routes: dict[str, list[tuple[int, int]]] = {}
        for one, after in zip(self.samples, self.samples[1:], strict=False):
            if one.in_flight == after.in_flight == 0 and after.follows and one.passage.route is not None:
                routes.setdefault(one.passage.route, []).append((after.blocks - one.blocks, after.heap - one.heap))
        return routes

    def ended(self) -> Mapping[str, list[int]]:
        """Return for each route how many of its requests had ended at each sample, once all were folded."""
        moments: dict[str, list[float]] = {}
        for passage, *_ in self.samples:
            if passage.route is not None and passage.ended:
                moments.setdefault(passage.route, []).append(passage.ended)
        return {
            route: [bisect.bisect_right(ends, sample.passage.began) for sample in self.samples]
            for route, its in moments.items()
            for ends in [sorted(its)]
        }
