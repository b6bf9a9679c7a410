"""Which request is it: each one of a round trip is made alone for a while, and what grows then is its own."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence

from leakguard.detection import words
from leakguard.detection.suspicion import Suspicion
from leakguard.records import Explanation
from leakguard.testing.measuring import Gauge, growth_of

if typing.TYPE_CHECKING:
    from leakguard.testing.caller import Caller
    from leakguard.testing.judgement import Terms
    from leakguard.testing.looking import Looker
    from leakguard.testing.measuring import Measurement

Related = tuple[Suspicion, Explanation | None]

# A route that has so small a part in what grows is not named: a late import, a table that was due.
_SHARE = 0.1
# Together they must grow about as much as the whole round trip does, or something only leaks when they come together.
_ENOUGH = 0.5
_FEWEST_CALLS, _MOST_CALLS = 10, 200
_SECONDS = 8.0


async def routed(related: Sequence[Related], looker: Looker, measurement: Measurement, terms: Terms) -> list[Related]:
    """Return what leaks with the requests that it comes with, its rates per request of those."""
    if len(terms.routes) == 1:
        (name,) = terms.routes
        return [(dataclasses.replace(suspicion, route=name), seen) for suspicion, seen in related]
    calls = _calls(looker.each, terms.left, measurement.n)
    keys = [suspicion.key for suspicion, _ in related if isinstance(suspicion.key, int)]
    grown: dict[str, Mapping[int | str, float]] = {}
    for name, caller in terms.routes.items():
        grown[name] = await _alone(caller, looker, keys, calls)
    return [(_on_routes(suspicion, grown), seen) for suspicion, seen in related]


def _calls(each: float, left: float, n: int) -> int:
    seconds = min(_SECONDS, left / 3)
    return max(_FEWEST_CALLS, min(_MOST_CALLS, n, int(seconds / max(each, 1e-6))))


async def _alone(caller: Caller, looker: Looker, keys: Sequence[int], calls: int) -> Mapping[int | str, float]:
    """Return what grows per request when one request is made alone: quantities by name, containers by identity."""
    gauge = Gauge()
    try:
        await caller.repeat(min(calls, _FEWEST_CALLS))
        before = looker.lengths(keys)
        levels = gauge.read()
        await caller.repeat(calls)
        grown: dict[int | str, float] = {name: value / calls for name, value in growth_of(gauge, levels).items()}
        after = looker.lengths(keys)
    finally:
        gauge.close()
    grown |= {key: (after[key] - before[key]) / calls for key in after if key in before}
    return grown


def _on_routes(suspicion: Suspicion, grown: Mapping[str, Mapping[int | str, float]]) -> Suspicion:
    key = suspicion.key
    if not isinstance(key, int) and key not in {"heap", "blocks", "threads", "fds", "tasks", "resident", "processes"}:
        key = "blocks"  # a type: its objects are blocks
    rates = {name: found.get(key, 0.0) for name, found in grown.items()}
    highest = max(rates.values(), default=0.0)
    whole = suspicion.per_request if key == suspicion.key else None
    if highest <= 0 or (whole and sum(rate for rate in rates.values() if rate > 0) < _ENOUGH * whole):
        said = f"none of the {len(rates)} requests of a round trip lets it grow when made alone"
        return dataclasses.replace(suspicion, reasons=(*suspicion.reasons, said))
    guilty = {name: rate for name, rate in rates.items() if rate >= _SHARE * highest}
    each = words.size_rate if key in {"heap", "resident"} else words.rate
    said = "made alone: " + ", ".join(f"{each(rate)} per {name}" for name, rate in rates.items() if name in guilty)
    ratio = sum(guilty.values()) / len(guilty) / (whole or sum(guilty.values()))
    weight = suspicion.bytes_per_request
    return dataclasses.replace(
        suspicion,
        route=", ".join(sorted(guilty, key=lambda name: -guilty[name])),
        per_request=suspicion.per_request * ratio,
        bytes_per_request=None if weight is None else weight * ratio,
        reasons=(*suspicion.reasons, said),
    )
