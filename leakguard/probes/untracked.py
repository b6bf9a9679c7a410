"""Objects that the collector does not track (``str``, ``bytes``, ``int``, ``timedelta``), counted by reading memory.

``gc.get_objects`` does not list them, and where nothing in Python refers to them no other way leads there. But every object
begins with its reference count and a pointer to its type: so the words of the process's writable memory that are the address
of a type, behind a word that can be a reference count, are counted. A freed block has a pointer or nothing in that place. Some
are no objects all the same (a slot, a number); between two counts those stay, and what a leak added stands out.
"""

from __future__ import annotations

import array
import collections
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

# Small, for the copy that is made of each slice is read in its turn, and counts twice.
_SLICE = 256 << 10
# A type whose objects the collector tracks has this flag: they are counted elsewhere, and better.
_HAVE_GC = 1 << 14
_REGION = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw.p \S+ \S+ 0 *(\[heap\])?\n")
MOST_BYTES = 512 << 20
"""More memory than this is not read."""
# No object has more references than this, and no pointer is as small. An immortal object's count is below it too.
_MOST_REFERENCES = 1 << 32


def count(kinds: Mapping[int, str], most: int = MOST_BYTES) -> collections.Counter[str]:
    """Return how many words of anonymous memory are the address of a type, by the type's name.

    Args:
        kinds: names of types by their address, as ``untracked_types`` gives them.
        most: bytes to read at most; more memory than that is not read to its end.

    Takes about 5 ms per MiB; reads through the kernel, so that memory which goes away meanwhile is an error and no crash.
    Empty where the system does not let a process read itself.
    """
    found: collections.Counter[int] = collections.Counter()
    known = frozenset(kinds)
    left = most
    try:
        with Path("/proc/self/mem").open("rb", buffering=0) as memory:
            for first, last in _regions():
                for start in range(first, last, _SLICE):
                    size = min(_SLICE, last - start, left)
                    left -= size
                    words = array.array("Q")
                    try:
                        memory.seek(start)
                        words.frombytes(memory.read(size))
                    except (OSError, ValueError, OverflowError):
                        continue
                    hits = itertools.compress(itertools.count(), map(known.__contains__, words))
                    found.update(words[at] for at in hits if at and 0 < words[at - 1] < _MOST_REFERENCES)
                if left <= 0:
                    break
    except OSError:
        return collections.Counter()
    named: collections.Counter[str] = collections.Counter()
    for address, number in found.items():
        named[kinds[address]] += number
    return named


def untracked_types() -> dict[int, type]:
    """Return every class whose objects the collector does not track, by address."""
    found: dict[int, type] = {}
    waiting: list[type] = [object]
    while waiting:
        kind = waiting.pop()
        if id(kind) in found:
            continue
        found[id(kind)] = kind
        # `type` has a method of that name too, which wants the class as its argument.
        waiting.extend(type.__subclasses__(kind))
    flags = type.__dict__["__flags__"]
    return {
        address: kind for address, kind in found.items() if not flags.__get__(kind) & _HAVE_GC and kind is not object
    }


def _regions() -> Iterator[tuple[int, int]]:
    text = Path("/proc/self/maps").read_text("utf-8", "replace")
    for match in _REGION.finditer(text):
        yield int(match[1], 16), int(match[2], 16)
