"""GC debt: what calls leave to the cyclic collector, seen by letting it keep what it finds. No leak while it runs."""

from __future__ import annotations

import collections
import contextlib
import gc
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leakguard.detection import words
from leakguard.detection.suspicion import Suspicion
from leakguard.observer import elements, naming, sizes
from leakguard.observer.burst import Burst
from leakguard.observer.edges import edges
from leakguard.records import Explanation, Kind, Site, Status
from leakguard.testing import quiet
from leakguard.units import format_size

if typing.TYPE_CHECKING:
    from leakguard.testing.caller import Caller

CALLS = 25
"""Calls whose garbage is kept to be looked at."""

_MOST_OBJECTS = 60_000
_MOST_KNOTS = 500
_FRAMES = 8
# A response that knows its request and an exception that knows its frame are in every framework: so many objects a call are
# common, and the young generation's collections take them in passing.
_PLAIN = 1000
_PLAIN_BYTES = 128 * 1024
# Functions that refer to each other through their closures are made for nothing with every call, and cured by one line; a
# single function that calls itself comes to some ten objects.
_CLOSURES = 20
# Where nobody collects, all of it stays.
_UNCOLLECTED = 20
_OF_CLOSURES = naming.identities((types.FunctionType, types.CellType, types.MethodType, tuple, list, dict, set))
_TELLS_NOTHING = naming.identities((tuple, list, dict, set, str, int, bytes, types.CellType))


@dataclass(frozen=True, slots=True)
class Debt:
    """The garbage of some calls: objects and bytes per call, the types in it, the cycle that keeps most of it, and its place.

    ``kept`` are the objects that one such cycle keeps, ``closures`` whether it consists of nothing but functions.
    """

    per_call: float
    bytes_per_call: float
    kept: int
    closures: bool
    type: str | None
    also_types: tuple[str, ...]
    cycle: tuple[str, ...]
    site: Site | None
    frames: tuple[Site, ...]

    def heavy(self, *, collected: bool, requests: int = 1) -> bool:
        """Say whether it is worth a finding.

        Args:
            collected: the application's collector runs as it does by default.
            requests: made by one call.
        """
        if not collected:
            return self.per_call >= _UNCOLLECTED * requests
        if self.closures and self.kept >= _CLOSURES and self.per_call >= _CLOSURES:
            return True
        return self.per_call >= _PLAIN * requests or self.bytes_per_call >= _PLAIN_BYTES * requests

    def note(self) -> str:
        """Return the debt in one sentence, for where it is no finding."""
        where = f", allocated at {self.site} in {self.site.function}" if self.site else ""
        return (
            f"every call leaves {words.rate(self.per_call).lstrip('+')} objects ({format_size(self.bytes_per_call)}) in "
            f"reference cycles to the collector, {self.type} among them{where}: no leak while it runs"
        )


def collects() -> bool:
    """Say whether the collector runs by itself: on, and with a threshold."""
    return gc.isenabled() and gc.get_threshold()[0] > 0


async def owe(caller: Caller, calls: int = CALLS) -> Debt | None:
    """Make some calls and return what they leave to the collector; ``None`` when that is nothing.

    The objects are looked at in the process itself, so this is for a check or a test and not for a live worker.
    """
    burst = Burst()
    with _kept() as garbage:
        try:
            burst.start(_FRAMES)
            await caller.repeat(calls)
            quiet.collect()
            return _look(garbage[:_MOST_OBJECTS], calls) if garbage else None
        finally:
            burst.stop()


@contextlib.contextmanager
def _kept() -> Iterator[list[object]]:
    """Let the collector keep what it finds while the block runs, and give it up after it."""
    flags, automatic, before = gc.get_debug(), gc.isenabled(), len(gc.garbage)
    quiet.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield gc.garbage
    finally:
        gc.set_debug(flags)
        del gc.garbage[before:]
        if automatic:
            gc.enable()
        gc.collect()


def _look(garbage: Sequence[object], calls: int) -> Debt:
    group, kept = _knot(garbage)
    told = group or list(garbage[:200])
    kind = _telling(told) or _telling(garbage) or naming.name_of(told[0])
    counts = collections.Counter(map(naming.name_of, garbage))
    made = [value for value in told if type(value) is types.FunctionType] or told
    place, frames = elements.allocation(made, _home(made))
    return Debt(
        per_call=len(garbage) / calls,
        bytes_per_call=sum(map(sizes.shallow, garbage)) / calls,
        kept=kept,
        closures=bool(group) and all(id(type(value)) in _OF_CLOSURES for value in group),
        type=kind,
        also_types=tuple(name for name, _ in counts.most_common(6) if name != kind)[:5],
        cycle=_cycle(group),
        site=place,
        frames=frames,
    )


def _telling(values: Sequence[object]) -> str | None:
    """Return the most frequent type that says something to a reader."""
    counts = collections.Counter(naming.name_of(v) for v in values if id(type(v)) not in _TELLS_NOTHING)
    return counts.most_common(1)[0][0] if counts else None


def _home(values: Sequence[object]) -> str:
    """Return the module of most functions, or of most instances, among some objects."""
    modules = collections.Counter(
        (naming.plain(value.__module__) or "") if type(value) is types.FunctionType else naming.type_module(type(value))
        for value in values
        if id(type(value)) not in _TELLS_NOTHING
    )
    return modules.most_common(1)[0][0] if modules else ""


def _knot(garbage: Sequence[object]) -> tuple[list[object], int]:
    """Return the objects of the knot of cycles that keeps most, and how many objects that is."""
    index = {id(value): number for number, value in enumerate(garbage)}
    after = [[index[id(held)] for held in gc.get_referents(value) if id(held) in index] for value in garbage]
    best: tuple[int, list[int]] = (0, [])
    knots = [knot for knot in _knots(after) if len(knot) > 1]
    for knot in knots[:_MOST_KNOTS]:
        best = max(best, (len(_reach(after, knot)), knot), key=lambda one: one[0])
    return [garbage[number] for number in best[1]], best[0]


def _reach(after: Sequence[Sequence[int]], knot: Sequence[int]) -> set[int]:
    seen, waiting = set(knot), list(knot)
    while waiting:
        more = [held for held in after[waiting.pop()] if held not in seen]
        seen.update(more)
        waiting += more
    return seen


def _knots(after: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the strongly connected components of a graph (Tarjan's algorithm, with a stack of its own)."""
    order: list[int] = [-1] * len(after)
    low = [0] * len(after)
    open_ = [False] * len(after)
    path: list[int] = []
    knots: list[list[int]] = []
    number = 0
    for root in range(len(after)):
        if order[root] >= 0:
            continue
        work = [(root, 0)]
        while work:
            node, edge = work.pop()
            if edge == 0:
                order[node] = low[node] = number
                number += 1
                path.append(node)
                open_[node] = True
            for position in range(edge, len(after[node])):
                held = after[node][position]
                if order[held] < 0:
                    work += [(node, position + 1), (held, 0)]
                    break
                if open_[held]:
                    low[node] = min(low[node], order[held])
            else:
                if low[node] == order[node]:
                    cut = _last(path, node)
                    knots.append(path[cut:])
                    for member in path[cut:]:
                        open_[member] = False
                    del path[cut:]
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[node])
    return knots


def _last(path: Sequence[int], node: int) -> int:
    """Return where ``node`` stands in the path, looked for from its end: knots are small, the path may be long."""
    at = len(path) - 1
    while path[at] != node:
        at -= 1
    return at


def _cycle(group: Sequence[object]) -> tuple[str, ...]:
    """Return one shortest cycle of a knot in words, the object that it begins with once more at its end."""
    inside = {id(value): value for value in group}
    start = next((value for value in group if id(type(value)) not in _TELLS_NOTHING), group[0] if group else None)
    if start is None:
        return ()
    came: dict[int, tuple[int, str]] = {}
    waiting = collections.deque([start])
    while waiting:
        value = waiting.popleft()
        named = {id(held): label for label, held in edges(value)}
        for held in gc.get_referents(value):
            key = id(held)
            if held is start:
                return _words(start, value, named.get(key, ""), came, inside)
            if key in inside and key not in came:
                came[key] = (id(value), named.get(key, ""))
                waiting.append(held)
    return ()


def _words(
    start: object, last: object, label: str, came: dict[int, tuple[int, str]], inside: dict[int, object]
) -> tuple[str, ...]:
    steps = [_step(start, label)]
    value = last
    while value is not start:
        parent, edge = came[id(value)]
        steps.append(_step(value, edge))
        value = inside[parent]
    return (_step(start, ""), *reversed(steps))


def _step(value: object, label: str) -> str:
    name = naming.function_name(value) if type(value) is types.FunctionType else naming.name_of(value)
    return f"{name} {label}".rstrip()


def suspicion(debt: Debt, calls: int, *, collected: bool) -> tuple[Suspicion, Explanation]:
    """Return a debt as a suspicion and its explanation, from which a finding is composed."""
    rate = words.rate(debt.per_call).lstrip("+")
    said = [
        f"every call leaves {rate} objects ({format_size(debt.bytes_per_call)}) that only the cyclic collector frees"
    ]
    if not collected:
        said.append("the application has switched the collector off: they stay")
    elif debt.closures:
        said.append("the cycle is of functions that refer to each other through their closures")
    return (
        Suspicion(
            kind=Kind.GC_DEBT,
            status=Status.CONFIRMED,
            key="garbage",
            name="cyclic garbage",
            per_request=debt.per_call,
            bytes_per_request=debt.bytes_per_call,
            reasons=tuple(said),
            type=debt.type,
            site=debt.site,
            growth=debt.per_call * calls,
            requests=calls,
        ),
        Explanation(
            chain=("a reference cycle", *debt.cycle) if debt.cycle else (),
            type=debt.type,
            also_types=debt.also_types,
            site=debt.site,
            frames=debt.frames,
        ),
    )
