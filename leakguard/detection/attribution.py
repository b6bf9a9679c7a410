"""Which route is it, by better evidence than regression: the endpoint in the allocation's traceback, or requests alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from leakguard.detection.routes import CANNOT_SEPARATE
from leakguard.detection.suspicion import Suspicion
from leakguard.records import Explanation, Site, Window


def route_of(frames: Sequence[Site], endpoints: Mapping[str, Site]) -> str | None:
    """Return the one route whose endpoint function is among the frames of an allocation; ``None`` when none or several."""
    functions = {(frame.file, frame.function) for frame in frames}
    # A class of views stands for all of its methods.
    functions |= {(frame.file, frame.function.rpartition(".")[0] + ".") for frame in frames}
    routes = {route for route, place in endpoints.items() if (place.file, place.function) in functions}
    return routes.pop() if len(routes) == 1 else None


def on_route(suspicion: Suspicion, route: str, why: str, windows: Sequence[Window]) -> Suspicion:
    """Return the suspicion as one about ``route``, its rates per request of that route; as it was if nobody asked for it.

    Args:
        suspicion: about another route or none.
        route: the better answer.
        why: the reason, which takes the place of what the regression could, or could not, tell.
        windows: what was handled, per route.
    """
    handled = sum(count.count for window in windows for count in window.routes)
    of_route = sum(count.count for window in windows for count in window.routes if count.route == route)
    if route == suspicion.route or not of_route:
        return suspicion
    rate = suspicion.total_rate * handled / of_route
    ratio = rate / suspicion.per_request if suspicion.per_request else 1.0
    weight = suspicion.bytes_per_request
    return dataclasses.replace(
        suspicion,
        route=route,
        per_request=rate,
        bytes_per_request=None if weight is None else weight * ratio,
        reasons=(*(reason for reason in suspicion.reasons if not reason.startswith(CANNOT_SEPARATE)), why),
    )


def accounts_for(explanation: Explanation, suspicion: Suspicion, leaked: float) -> bool:
    """Say whether the allocations that a burst left behind are half or more of what must have leaked meanwhile.

    Only a level (``heap``, ``blocks``) is explained by allocations; something small that was merely allocated then is not it.

    Args:
        explanation: what the deep look answered.
        suspicion: what it was asked about.
        leaked: bytes (``heap``) or blocks that leaked during the burst, by the suspicion's rate.
    """
    if suspicion.key not in {"heap", "blocks"} or not explanation.retained_bytes or not explanation.bytes_each:
        return True
    left = explanation.retained_bytes / (1 if suspicion.key == "heap" else explanation.bytes_each)
    return left >= leaked / 2
