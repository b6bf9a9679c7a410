"""Holder chains: who holds an object, from a root down to it, found backwards through the collector's referrers.

A breadth-first search in the copy, all objects of one level in one ``gc.get_referrers`` scan: a scan costs the same for
one object as for a hundred, while ``objgraph.find_backref_chain`` scans the heap once for every object it passes (and
collects first). Weak explanations wait: as long as a chain through ordinary objects may be found, none through
suspended coroutines, running frames or the server's own machinery is taken.
"""

from __future__ import annotations

import enum
import gc
import sys
import time
import types
import typing
from collections.abc import Collection
from dataclasses import dataclass, field

from leakguard.observer import naming
from leakguard.observer.edges import referents
from leakguard.observer.roots import Root, Roots
from leakguard.observer.walk import Walk

# Objects that one search looks at, and how many of a level it follows: a chain is 3 to 15 objects long, and who needs
# more is lost in a cloud of referrers.
_MOST_NODES = 20_000
_WIDEST = 200
_LONGEST = 60
# A reference count this high belongs to an immortal object (3.12+).
_IMMORTAL = 1 << 30


class Rank(enum.IntEnum):
    """How good an explanation a chain is; lower is better."""

    HELD = 0  # only ordinary objects: modules, classes, instances, closures, containers
    SUSPENDED = 1  # through a coroutine, a generator or a task
    RUNNING = 2  # ends in a task or in a frame of a thread that is still running
    SERVER = 3  # through a server's or the event loop's own objects


class Loose(enum.StrEnum):
    """Why there is no chain."""

    OUTSIDE = "outside Python"  # references exist that no Python object accounts for
    GARBAGE = "garbage"  # a closed island: only reachable from itself
    UNKNOWN = "unknown"  # the search ended at its budget


@dataclass(slots=True)
class Trail:
    """A chain found: the root's name and the objects from next to the root down to the object in question."""

    root: str
    name: str  # what the paths of the objects begin with; empty when the first object carries its own name
    rank: Rank
    objects: list[object] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)  # the edge that leads to each object, where the walk knew it


_SUSPENDED = naming.identities((types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType))


class Search:
    """Searches for the holders of objects, one after the other, in one copy.

    Args:
        walk: what can be named; a chain that reaches a named object is complete.
        roots: the other ends of chains.
        ignore: identities of objects that are nobody's holder: leakguard's own, the scan's.
    """

    def __init__(self, walk: Walk, roots: Roots, ignore: Collection[int]) -> None:
        self._walk = walk
        self._roots = roots
        self._ignore = set(ignore) | walk.own_identities() | roots.own_identities()
        self.lost: list[object] = []
        """After a search that ended ``OUTSIDE``: the object that references exist to which no Python object accounts for."""

    @property
    def ignored(self) -> Collection[int]:
        """The identities of objects that are nobody's holder."""
        return self._ignore

    def trail(self, targets: list[object], until: float) -> Trail | Loose:
        """Return the best chain to the only object in ``targets``; the list is the only reference to it that we may hold.

        Args:
            targets: a list of the one object; it is used up.
            until: when to give up, by ``time.thread_time``.
        """
        self.lost = []  # or it would be found among the referrers
        attempt = _Attempt(self._walk, self._roots, self._ignore, targets)
        found = attempt.run(until)
        self.lost = attempt.lost
        return found


class _Attempt:
    """One search. Holds objects in a single list, so that it can tell its own references from the host's."""

    def __init__(self, walk: Walk, roots: Roots, ignore: set[int], targets: list[object]) -> None:
        self._walk = walk
        self._roots = roots
        self._kept = targets
        self._numbers = {id(targets[0]): 0}
        self._parents = [-1]
        self._ranks = [Rank.HELD]
        self._fronts: dict[Rank, list[int]] = {rank: [] for rank in Rank}
        self._fronts[Rank.HELD].append(0)
        self._ends: list[tuple[Rank, int, Root | None]] = []  # the number of an object, and its root if not the walk's
        self._ignore = ignore | {id(targets)}
        self._whole = True
        self.lost: list[object] = []

    def run(self, until: float) -> Trail | Loose:
        self._try_end(0)
        for _ in range(_LONGEST):
            rank = next((rank for rank in Rank if self._fronts[rank]), None)
            best = min(self._ends, default=None, key=_order)
            if best is not None and (rank is None or best[0] <= rank):
                return self._trail(best)
            if rank is None:
                break
            if time.thread_time() > until or len(self._kept) > _MOST_NODES:
                self._whole = False
                break
            self._step(rank)
        else:
            self._whole = False
        if self._ends:
            return self._trail(min(self._ends, key=_order))
        return self._account() if self._whole else Loose.UNKNOWN

    def _step(self, rank: Rank) -> None:
        """Follow one level of the search back by one scan of the heap."""
        numbers = self._fronts[rank][:_WIDEST]
        self._fronts[rank] = self._fronts[rank][_WIDEST:]
        wanted = {id(self._kept[number]): number for number in numbers}
        # A tuple, for any other iterable is made one on the way, and that one would be found as a referrer too.
        targets = tuple(self._kept[number] for number in numbers)
        referrers = gc.get_referrers(*targets)
        for referrer in referrers:
            key = id(referrer)
            if (
                key in self._ignore
                or key in self._numbers
                or referrer is referrers
                or referrer is targets
                or not self._may_hold(referrer)
            ):
                continue
            child = next((wanted[id(held)] for held in referents(referrer) if id(held) in wanted), None)
            if child is not None:
                self._add(referrer, child)

    def _may_hold(self, referrer: object) -> bool:
        kind = type(referrer)
        return not naming.is_ours(naming.type_module(kind))

    def _add(self, referrer: object, child: int) -> None:
        number = len(self._kept)
        rank = max(self._ranks[child], _rank(referrer))
        self._numbers[id(referrer)] = number
        self._kept.append(referrer)
        self._parents.append(child)
        self._ranks.append(rank)
        if not self._try_end(number):
            self._fronts[rank].append(number)

    def _try_end(self, number: int) -> bool:
        """Note a root if the object is one or a named object; tell whether the search need not go behind it."""
        value, rank = self._kept[number], self._ranks[number]
        module = self._walk.module_of(value)
        if module is not None:
            # Behind a module's namespace stand all its functions: never searched.
            self._kept.append(module)
            self._parents.append(number)
            self._ranks.append(rank)
            value, number = module, len(self._kept) - 1
        if id(value) in self._walk:
            trail = self._walk.trail(id(value))
            machinery = Rank.SERVER if naming.is_machinery(_module_of(*trail[0])) else Rank.HELD
            worst = max([rank, machinery, *(_rank(held) for _, held in trail)])
            self._ends.append((worst, number, None))
            if module is not None or len(trail) == 1 or worst <= Rank.SUSPENDED:
                return True
        root = self._roots.of(value)
        if root is not None:
            self._ends.append((max(rank, Rank(root.rank)), number, root))
        return root is not None and root.final

    def _trail(self, end: tuple[Rank, int, Root | None]) -> Trail:
        rank, number, root = end
        trail = Trail("" if root is None else root.text, "" if root is None else root.name, rank)
        if root is None:
            steps = self._walk.trail(id(self._kept[number]))
            trail.root = f"module {_module_of(*steps[0])}"
            trail.labels, trail.objects = [label for label, _ in steps], [held for _, held in steps]
            number = self._parents[number]
        while number >= 0:
            trail.objects.append(self._kept[number])
            trail.labels.append(root.edge if root is not None and len(trail.labels) == 0 else "")
            number = self._parents[number]
        return trail

    def _account(self) -> Loose:
        """Compare reference counts with the references found: nothing missing means a closed island."""
        inside = dict.fromkeys(range(len(self._kept)), 0)
        for value in self._kept:
            for held in referents(value):
                number = self._numbers.get(id(held))
                if number is not None:
                    inside[number] += 1
        value = held = None
        mine = _references_of_a_list()
        # From the far end: what lies nearest to the lost reference holds all the others.
        for number in reversed(range(len(self._kept))):
            count = sys.getrefcount(self._kept[number])
            if count < _IMMORTAL and count - mine > inside[number]:
                self.lost = [self._kept[number]]
                return Loose.OUTSIDE
        return Loose.GARBAGE


def _references_of_a_list() -> int:
    """Return what ``sys.getrefcount`` says of an object that only one list holds; it differs between interpreters."""
    lonely = [object()]
    return sys.getrefcount(lonely[0])


def _order(end: tuple[Rank, int, Root | None]) -> tuple[Rank, int]:
    """Of two ends take the better explanation, of equally good ones the nearer: it was found first."""
    return end[0], end[1]


def _rank(value: object) -> Rank:
    kind = type(value)
    if id(kind) in _SUSPENDED:
        return Rank.SUSPENDED
    module = naming.type_module(kind)
    if module == "_asyncio" or module in {"asyncio.tasks", "asyncio.futures"}:
        return Rank.SUSPENDED
    return Rank.SERVER if naming.is_server(module) else Rank.HELD


def _module_of(label: str, value: object) -> str:
    """Return the module that the first step of a walk's trail is or lies in."""
    if naming.is_class(value):
        return naming.type_module(typing.cast("type", value))
    if type(value) is types.FunctionType:
        return naming.plain(value.__module__) or label
    return label
