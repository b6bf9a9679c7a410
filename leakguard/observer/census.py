"""The census: how many objects of which type live, and which containers grew. Runs in the copy."""

from __future__ import annotations

import collections
import gc
import heapq
import json
import sys
import time
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from leakguard import records
from leakguard.observer import burst, naming, story
from leakguard.observer.chains import Loose, Search
from leakguard.observer.containers import Lengths, describe, find_containers, grown
from leakguard.observer.edges import container_kind, edges
from leakguard.observer.roots import Roots
from leakguard.observer.walk import Walk

# Types in one census, the most numerous: what grows per request gets among them long before it hurts.
MOST_TYPES = 1500
# Fewer objects of a type than this are no leak yet.
FEWEST = 10
# Seconds for the names of containers that neither the walk nor their owner can name.
_SEARCHING = 3.0
# How far leakguard's own objects are followed from its roots. They are flat: records in tuples in a dict.
_OURS_DEEPEST = 6
_OURS_MOST = 50_000


class Commission(typing.NamedTuple):
    """What one census is to do: the requests handled so far, the lengths of the look before, and what is leakguard's own."""

    requests: int
    before: Lengths
    tracked: tuple[int, ...]
    own: Callable[[], Collection[object]]


def take(commission: Commission) -> list[bytes]:
    """Look at the whole heap; return the census as JSON and the packed lengths of all containers."""
    began = time.time()
    burst.pause()
    objects = gc.get_objects()
    kinds = collections.Counter(map(id, map(type, objects)))
    ours = own_identities(commission.own())
    walk = Walk().run(naming.modules())
    found = find_containers(objects, walk)
    for key in ours:
        found.objects.pop(key, None)
        found.lengths.pop(key, None)
    lengths = Lengths.pack(found.lengths)
    before = commission.before.unpack()
    keys = grown(found.lengths, before, commission.tracked)
    until = time.thread_time() + _SEARCHING
    ignore = ours | {id(objects), id(found.objects), id(found.lengths)}

    def search(container: object) -> str | None:
        found_by = Search(walk, Roots(), ignore).trail([container], until)
        return None if isinstance(found_by, Loose) else story.holder(found_by, container)

    census = records.Census(
        at=began,
        requests=commission.requests,
        types=named_types(kinds, objects),
        containers=tuple(replace(c, before=before.get(c.key)) for c in describe(keys, found, walk, search)),
        objects=len(objects),
        cpu=time.process_time(),
    )
    return [json.dumps(records.encode(census)).encode(), lengths.keys, lengths.sizes]


def read(sections: tuple[bytes, ...], *, stall: float, took: float) -> tuple[records.Census, Lengths]:
    """Return what ``take`` said, with what only the host knows: its stall and how long the answer took.

    Raises:
        ValueError: when it is not such an answer.
    """
    text, keys, sizes = sections
    census = records.decode(records.Census, json.loads(text))
    return replace(census, stall=stall, took=took), Lengths(keys, sizes)


def named_types(kinds: Mapping[int, int], objects: Iterable[object]) -> dict[str, int]:
    """Return the counts by name of the most numerous types, leakguard's own left out. Types of one name are added up.

    Args:
        kinds: how many objects there are of each type, by the type's identity: to hash a type can run its metaclass's code.
        objects: objects among which there is one of every type.
    """
    named: collections.Counter[str] = collections.Counter()
    numerous = dict(heapq.nlargest(4 * MOST_TYPES, kinds.items(), key=lambda entry: entry[1]))
    for value in objects:
        if not numerous:
            break
        count = numerous.pop(id(type(value)), 0)
        if count and not naming.is_ours(naming.type_module(type(value))):
            named[naming.type_name(type(value))] += count
    return {name: count for name, count in named.most_common(MOST_TYPES) if count >= FEWEST}


def own_identities(roots: Collection[object]) -> frozenset[int]:
    """Return the identities of leakguard's own objects and containers: its modules', and what ``roots`` reach.

    It stops at every object that is neither leakguard's nor a builtin container, for behind it the host's begin.
    """
    queue: collections.deque[tuple[object, int]] = collections.deque((root, 0) for root in roots)
    for name, module in list(sys.modules.items()):
        if type(name) is str and naming.is_ours(name):
            queue.append((naming.module_dict(module), 0))
    seen: set[int] = set()
    while queue and len(seen) < _OURS_MOST:
        value, depth = queue.popleft()
        kind = type(value)
        if id(value) in seen or not (naming.is_ours(naming.type_module(kind)) or container_kind(kind) or kind is tuple):
            continue
        seen.add(id(value))
        if depth < _OURS_DEEPEST:
            queue.extend((held, depth + 1) for label, held in edges(value) if label != ".app")
    return frozenset(seen)
