"""Deep sizes: how many bytes one more element of a container costs.

The elements of one container share much (their application, their server, their class), and what they share is not what
one more of them costs. So some of the newest are sized one after the other by the same sizer, which counts every object
once: the first pays for what they share, the median of the others is the price of one.

``pympler`` does it, but it asks objects for ``__class__``, ``__len__``, ``__sizeof__`` and attributes by name. Where a
class among the reachable objects has a say in any of these, the sizes that the builtin types report are summed up
instead.
"""

from __future__ import annotations

import collections
import gc
import itertools
import statistics
import sys
import time
import types
import typing
from collections.abc import Sequence

from leakguard.observer import naming
from leakguard.observer.elements import Element

# What twenty requests can reach in a large application is some 100 000 objects; a sizer needs 10 microseconds for each.
MOST_OBJECTS = 100_000
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by Python code or by a newer C extension
# Methods by which a class of the host would be asked by pympler.
_ASKED = frozenset(
    {
        "__getattribute__",
        "__getattr__",
        "__class__",
        "__len__",
        "__sizeof__",
        "__iter__",
        "__dict__",
        "__call__",
        "__length_hint__",
    }
    | {
        "_fields",
        "items",
        "iteritems",
        "keys",
        "iterkeys",
        "values",
        "itervalues",
        "itemsize",
        "__name__",
        "__module__",
        "__flags__",
    }
)
_PASSIVE_METACLASSES = frozenset({"type", "abc.ABCMeta", "enum.EnumType", "typing._ProtocolMeta"})
# Not part of anybody's size: code, and the host's objects that live anyway.
_CODE = naming.identities(
    (types.ModuleType, types.CodeType, types.FunctionType, types.BuiltinFunctionType, types.FrameType)
)


def bytes_each(elements: Sequence[Element], until: float) -> tuple[int | None, str | None]:
    """Return the bytes that one more element costs, and how that was found out; ``(None, None)`` when it took too long."""
    if not elements:
        return None, None
    reached = _reach([part for element in elements for part in element.parts], until)
    if reached is None:
        return None, None
    count = len(elements)
    sample = f"{count} newest" if count > 1 else "one element"
    if all(_passive(type(value)) for value in reached):
        return _median([_pympler(elements)]), f"pympler asizeof, {sample}"
    return _median([_summed(elements)]), f"sum of shallow sizes, {sample}"


def _median(sizes: list[list[int]]) -> int:
    values = sizes[0]
    return int(statistics.median(values[1:] if len(values) > 1 else values))


def _pympler(elements: Sequence[Element]) -> list[int]:
    from pympler import asizeof

    sizer: typing.Any = asizeof.Asizer()  # type: ignore[no-untyped-call]
    return [sum(sizer.asizeof(part) for part in element.parts) for element in elements]


def _summed(elements: Sequence[Element]) -> list[int]:
    seen: set[int] = set()
    sizes = []
    for element in elements:
        waiting, size = collections.deque(element.parts), 0
        while waiting and len(seen) < MOST_OBJECTS:
            value = waiting.popleft()
            if id(value) in seen or not _counts(value):
                continue
            seen.add(id(value))
            size += shallow(value)
            waiting.extend(gc.get_referents(value))
        sizes.append(size)
    return sizes


def _reach(queue: list[object], until: float) -> list[object] | None:
    """Return everything that the objects in ``queue`` reach, code left out; ``None`` when that is too much."""
    seen: set[int] = set()
    reached: list[object] = []
    waiting = collections.deque(queue)
    for turn in itertools.count():
        if not waiting:
            return reached
        if len(reached) > MOST_OBJECTS or (turn % 512 == 0 and time.monotonic() > until):
            return None
        value = waiting.popleft()
        if id(value) not in seen and _counts(value):
            seen.add(id(value))
            reached.append(value)
            waiting.extend(gc.get_referents(value))
    return None


_PYTHON = naming.identities((types.FunctionType, property))


def _counts(value: object) -> bool:
    kind = type(value)
    return id(kind) not in _CODE and not naming.is_class(value) and not naming.is_ours(naming.type_module(kind))


def _passive(kind: type) -> bool:
    """Tell whether no line of Python runs when objects of a class are asked what pympler asks."""
    if naming.type_name(type(kind)) not in _PASSIVE_METACLASSES:
        return False
    for base in naming.mro(kind):
        if naming.HEAP_TYPE_FLAGS.__get__(base) & _HEAP_TYPE and any(
            id(type(naming.class_dict(base).get(name))) in _PYTHON for name in _ASKED
        ):
            return False
    return True


def shallow(value: object) -> int:
    """Return the bytes of one object by the size method of the C type that it inherits from, never its own."""
    for base in naming.mro(type(value)):
        method = naming.class_dict(base).get("__sizeof__")
        if type(method) is types.MethodDescriptorType:
            own: int = method(value)
            return own + (_GC_HEADER if gc.is_tracked(value) else 0)
    return 0


_GC_HEADER = sys.getsizeof([]) - [].__sizeof__()
