"""The census of containers: identity and length of each, which grew since the look before, their paths and their bounds."""

from __future__ import annotations

import array
import collections
import gc
import heapq
import re
import types
import typing
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from leakguard.observer import naming
from leakguard.observer.edges import LRU, cache_info, container_kind, edges, instance_dict, length
from leakguard.observer.walk import Walk
from leakguard.records import Container

# A leak adds an entry per request, so it passes this length at once; most containers of a program never do.
SHORTEST = 8
# Lengths that are kept from one look to the next: 12 bytes each, 2.4 MB at most. The longest are kept.
MOST_KEPT = 200_000
# Containers in one census: those that grew most. One leak shows as one to three of them.
MOST_NAMED = 256
# Unnamed ones are looked for among the referrers of all objects: one scan for all of them together.
_MOST_SOUGHT = 64

# What even its owner cannot name, a closure's list or a context's, takes a search back to the roots: several scans each.
_MOST_SEARCHED = 8

# A number under such a name, in the object that owns a container, is the length the container cannot exceed: cachetools
# (maxsize), jinja2 (capacity), asyncio.Queue (_maxsize), httpcore (_max_connections). A name that could mean bytes,
# seconds or tries does not count.
_BOUND_NAME = re.compile(
    r"^(?:_\w*?__)?_*(?:max_?(?:size|len|length|items|entries|keys|count|elements|objects|connections|keepalive_connections|workers"
    r"|records|events)|maxlen|capacity|size_limit|cache_size|pool_size|limit)$",
    re.IGNORECASE,
)
_NO_OWNERS = naming.identities((dict, types.FrameType, tuple))
_MAXLEN = collections.deque.__dict__["maxlen"]
# Nobody bounds a container of objects to more than this on purpose; a larger number means bytes.
_LARGEST_BOUND = 5_000_000


@dataclass(frozen=True, slots=True)
class Lengths:
    """Identities and lengths of containers at one look, packed: what the observer keeps for the next one."""

    keys: bytes = b""
    sizes: bytes = b""

    @classmethod
    def pack(cls, lengths: Mapping[int, int]) -> Lengths:
        """Return ``lengths`` packed, the ``MOST_KEPT`` longest of them."""
        kept = lengths
        if len(lengths) > MOST_KEPT:
            kept = dict(heapq.nlargest(MOST_KEPT, lengths.items(), key=lambda entry: entry[1]))
        return cls(
            array.array("Q", kept.keys()).tobytes(),
            array.array("I", (min(size, 0xFFFFFFFF) for size in kept.values())).tobytes(),
        )

    def unpack(self) -> dict[int, int]:
        """Return the lengths by identity."""
        keys, sizes = array.array("Q"), array.array("I")
        keys.frombytes(self.keys)
        sizes.frombytes(self.sizes)
        return dict(zip(keys, sizes, strict=True))


@dataclass(slots=True)
class Found:
    """The containers of one moment, by identity: the objects, their lengths, and the bounds that they carry themselves."""

    objects: dict[int, object] = field(default_factory=dict)
    lengths: dict[int, int] = field(default_factory=dict)
    bounds: dict[int, int] = field(default_factory=dict)

    def add(self, value: object) -> None:
        """Take ``value`` in if it is a container of at least ``SHORTEST`` entries."""
        kind = type(value)
        if kind is LRU:
            size, bound = cache_info(value)
        else:
            base = container_kind(kind)
            if base is None:
                return
            size, bound = length(value, base), _MAXLEN.__get__(value) if base is collections.deque else None
        if size >= SHORTEST:
            key = id(value)
            self.objects[key] = value
            self.lengths[key] = size
            if bound is not None:
                self.bounds[key] = bound


def find_containers(objects: Iterable[object], walk: Walk) -> Found:
    """Return all containers among ``objects`` (those the collector tracks) and what ``walk`` reached (also untracked dicts).

    The dict inside a ``functools.lru_cache`` is left out: the cache itself stands for it, for it knows its bound. So are the
    lists inside a ``sqlite3.Connection``.
    """
    found, connections = Found(), []
    kinds: dict[int, type | None] = {}
    for value in objects:
        kind = type(value)
        try:
            base = kinds[id(kind)]
        except KeyError:
            base = kinds[id(kind)] = _base(kind)
        if base is None:
            continue
        if base is _Connection:
            connections.append(value)
        elif base is LRU or base.__len__(value) >= SHORTEST:  # type: ignore[attr-defined]
            found.add(value)
    for value in walk.objects:
        found.add(value)
    inside = [_inside(value) for value in found.objects.values() if type(value) is LRU]
    inside += [held for connection in connections for held in gc.get_referents(connection) if _remembers_weakly(held)]
    for hidden in inside:
        found.objects.pop(id(hidden), None)
        found.lengths.pop(id(hidden), None)
    return found


class _Connection:
    """Stands for ``sqlite3.Connection``, which the host need not have imported.

    It keeps weak references to its cursors in a list that no attribute shows, and drops the dead ones at every 200th cursor: as
    long as that list fills it looks like a leak of whoever asks the database.
    """


def _remembers_weakly(value: object) -> bool:
    """Tell whether a value is a list of weak references: a subclass of a connection may have lists of the host's as well."""
    return type(value) is list and len(value) > 0 and type(value[0]) is weakref.ref


def _base(kind: type) -> type | None:
    if kind is LRU:
        return LRU
    if any(naming.type_name(each) == "sqlite3.Connection" for each in naming.mro(kind)):
        return _Connection
    return container_kind(kind)


def lengths_of(keys: Collection[int]) -> dict[int, int]:
    """Return the lengths of some containers among those that the collector tracks, in the process itself: 5 ms per 100 000."""
    wanted, found = frozenset(keys), Found()
    for value in gc.get_objects() if wanted else ():
        if id(value) in wanted:
            found.add(value)
    return found.lengths


def _inside(cache: object) -> object:
    """Return the dict in which a ``functools.lru_cache`` keeps its results."""
    attributes = instance_dict(cache)
    for held in gc.get_referents(cache):
        if type(held) is dict and held is not attributes:
            return held
    return None


def grown(lengths: Mapping[int, int], before: Mapping[int, int], tracked: Collection[int]) -> list[int]:
    """Return the identities of the containers to report: ``tracked`` ones, then those that grew, most first."""
    rises = [(size - before[key], key) for key, size in lengths.items() if size > before.get(key, size)]
    wanted = [key for key in tracked if key in lengths]
    known = set(wanted)
    wanted += [key for _, key in heapq.nlargest(MOST_NAMED, rises) if key not in known]
    return wanted[:MOST_NAMED]


def describe(
    keys: Iterable[int], found: Found, walk: Walk, search: Callable[[object], str | None] | None = None
) -> tuple[Container, ...]:
    """Return the records of some containers, leakguard's own left out.

    The path is the walk's; where the walk did not come, it is made of the owner's type; the few that have no such owner
    are named by ``search``.
    """
    wanted = list(keys)
    named = [key for key in wanted if key in walk]
    unnamed = [key for key in wanted if key not in walk]
    owners = _owners([found.objects[key] for key in unnamed[:_MOST_SOUGHT]])
    searched = 0
    records = []
    for key in named + unnamed:
        value = found.objects[key]
        path = walk.path(key)
        owner = _owner_in(walk, key) if path else owners.get(key, (None, ""))[0]
        if path is None:
            if owner is not None and naming.is_ours(naming.type_module(type(owner))):
                continue
            path = owners[key][1] if key in owners else None
            if path is None and search is not None and searched < _MOST_SEARCHED:
                searched += 1
                path = search(value)
            path = path or "?"
        if type(value) is LRU:
            path += ".lru_cache"
        bound = found.bounds.get(key)
        if bound is None:
            bound = bound_of(value, owner)
        records.append(Container(key, path, naming.name_of(value), found.lengths[key], bound))
    return tuple(records)


def _owner_in(walk: Walk, key: int) -> object | None:
    trail = walk.trail(key)
    return trail[-2][1] if len(trail) > 1 else None


def _owners(containers: list[object]) -> dict[int, tuple[object, str]]:
    """Return for containers without a path the object that owns each, and a path made of its type: ``app.Store._rows``."""
    owners: dict[int, tuple[object, str]] = {}
    wanted = {id(container) for container in containers}
    referrers = [value for value in gc.get_referrers(*containers) if value is not containers] if containers else []
    # An attribute is held by the instance or, once somebody asked for it, by the instance's dict: one step further.
    attributes = [value for value in referrers if type(value) is dict]
    further = gc.get_referrers(*attributes) if attributes else []
    for holder in referrers + further:
        if holder is referrers or holder is attributes or id(type(holder)) in _NO_OWNERS:
            continue
        for label, held in edges(holder):
            if id(held) in wanted and id(held) not in owners and label.startswith(".") and label != ".?":
                kind = typing.cast("type", holder) if naming.is_class(holder) else type(holder)
                owners[id(held)] = (holder, f"{naming.type_name(kind)}{label}")
    return owners


def bound_of(container: object, owner: object | None) -> int | None:
    """Return the length that a container cannot exceed, as a number in it or in its owner says; ``None`` when none says."""
    for value in (container, owner):
        if value is None or naming.inherits(type(value), types.ModuleType) or naming.is_class(value):
            continue
        for label, held in edges(value):
            if type(held) is int and 0 < held <= _LARGEST_BOUND and _BOUND_NAME.match(label[1:]):
                return held
    return None
