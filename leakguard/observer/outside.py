"""What holds objects that nothing in Python refers to: objects of C that the collector cannot look into."""

from __future__ import annotations

import itertools

from leakguard.observer import naming
from leakguard.observer.edges import referents
from leakguard.probes import extensions

_HAVE_GC = 1 << 14  # Py_TPFLAGS_HAVE_GC: the collector can ask objects of the type what they refer to
_MOST = 400


def parts(value: object) -> list[object]:
    """Return some of what an object refers to, itself left out: its own attributes, and what they refer to."""
    found: dict[int, object] = {}
    level = [value]
    for _ in range(2):
        level = [
            held
            for each in level
            for held in itertools.islice(referents(each), _MOST)
            if not naming.is_class(held) and id(held) not in found
        ]
        found.update((id(held), held) for held in level[:_MOST])
    return list(found.values())


def suspects(value: object) -> str | None:
    """Return who may hold a lost object: an object of C among its parts that the collector cannot look into.

    Such a one that refers back to the object closes a cycle which nobody ever finds.
    """
    for held in parts(value):
        kind = type(held)
        if naming.HEAP_TYPE_FLAGS.__get__(kind) & _HAVE_GC:
            continue
        if extensions.in_extension(kind):
            return f"probably held by its {naming.type_name(kind)}, an object of C that the collector cannot look into"
    return None
