"""Blame: which route a suspicion belongs to, by better evidence than the regression over windows."""

from __future__ import annotations

import math
import typing
from collections.abc import Iterable, Sequence

from leakguard.detection.alone import route_alone
from leakguard.detection.attribution import on_route, route_of
from leakguard.detection.stepwise import route_by_steps
from leakguard.detection.suspicion import Suspicion
from leakguard.probes.solo import SoloProbe
from leakguard.records import Explanation, Kind, Window

if typing.TYPE_CHECKING:
    from leakguard.probes.requests import RequestTable

LONGEST = 20.0  # seconds that requests are sampled for
LEAST_BLOCKS = 0.5  # left behind per request that ran alone, in allocated blocks ...
LEAST_HEAP = 24.0  # ... and in bytes of C heap: the smallest chunk that malloc gives
MOST_REMEMBERED = 200


class Blame:
    """Samples the levels request by request before a burst, and remembers what they said; lives in the guard's thread.

    Args:
        requests: the worker's requests, for their routes and endpoints.
    """

    def __init__(self, requests: RequestTable) -> None:
        self._requests = requests
        self._probe: SoloProbe | None = None
        self._since = math.inf
        self._sampled_for: tuple[Suspicion, ...] = ()
        self._told: dict[int | str, tuple[str, str]] = {}

    def begin(self, suspicions: Iterable[Suspicion], now: float) -> bool:
        """Begin to sample for those suspicions that are levels; ``False`` when there is none, or all were sampled for."""
        levels = tuple(s for s in suspicions if not isinstance(s.key, int) and s.kind is not Kind.RETAINED_REQUESTS)
        if not levels:
            return False
        self._sampled_for, self._since = levels, now
        self._sample(SoloProbe())
        return True

    @property
    def sampling(self) -> bool:
        """Whether samples are being taken."""
        return bool(self._sampled_for)

    def end(self, now: float) -> bool:
        """Judge the samples if they are enough or have taken long enough; say whether they were judged."""
        probe = self._probe
        if probe is not None and not probe.full and now - self._since < LONGEST:
            return False
        self._sample(None)
        suspicions, self._sampled_for = self._sampled_for, ()
        if probe is not None:
            self._requests.fold()
            self._judge(probe, suspicions)
        return True

    def close(self) -> None:
        """Take no more samples."""
        self._sample(None)
        self._sampled_for = ()

    def routed(self, suspicion: Suspicion, explanation: Explanation | None, windows: Sequence[Window]) -> Suspicion:
        """Return the suspicion with its route by the best evidence: traceback, then request by request, then regression.

        The sentinel's route is exact and stays.
        """
        if suspicion.kind is Kind.RETAINED_REQUESTS:
            return suspicion
        route = route_of(explanation.frames, self._requests.names.endpoints) if explanation else None
        if route is not None:
            return on_route(suspicion, route, f"it is allocated in the endpoint of {route}", windows)
        told = self._told.get(suspicion.key)
        return suspicion if told is None else on_route(suspicion, *told, windows)

    def _sample(self, probe: SoloProbe | None) -> None:
        self._probe = probe
        self._requests.arm(probe)

    def _judge(self, probe: SoloProbe, suspicions: Sequence[Suspicion]) -> None:
        alone, ended = probe.alone(), probe.ended()
        in_flight = [sample.in_flight for sample in probe.samples]
        for suspicion in suspicions:
            in_heap = suspicion.key == "heap"
            changes = {route: [float(change[in_heap]) for change in changes] for route, changes in alone.items()}
            route = route_alone(changes, least=LEAST_HEAP if in_heap else LEAST_BLOCKS)
            why = f"memory stays behind whenever a request of {route} runs alone"
            if route is None and suspicion.key in {"heap", "blocks"}:
                levels = [sample.heap if in_heap else sample.blocks for sample in probe.samples]
                route = route_by_steps(levels, in_flight, ended, suspicion.total_rate)
                why = f"from request to request it rises with those of {route}"
            if route is not None:
                self._told[suspicion.key] = route, why
        while len(self._told) > MOST_REMEMBERED:
            del self._told[next(iter(self._told))]
