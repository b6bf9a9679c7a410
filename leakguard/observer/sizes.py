"""Deep sizes: how many bytes one more element of a container costs.

The elements of one container share much (their application, their server, their class), and what they share is not what
one more of them costs. So some of the newest are sized one after the other by the same sizer, which counts every object
once: the first pays for what they share, the median of the others is the price of one. An element often leads to the
others (a request to its connection, from there to a task whose frame has a list of them all): what the container holds
itself is the price of another element, and where the way leads there it ends.

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
from collections.abc import Collection, Sequence

from leakguard.observer import naming
from leakguard.observer.edges import container_kind, length, referents
from leakguard.observer.elements import Element, inside

# What twenty requests can reach in a large application is some 100 000 objects; a sizer needs 10 microseconds for each.
MOST_OBJECTS = 100_000
# A container of more elements is not listed to know them all: its newest alone are told apart, in 32 MB at the most.
_MOST_APART = 200_000
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


def bytes_each(elements: Sequence[Element], until: float, container: object = None) -> tuple[int | None, str | None]:
    """Return the bytes that one more element costs, and how that was found out.

    ``(None, None)`` when it took too long or came to nothing.

    Where twenty elements reach too much, fewer are sized, and the method says how many.

    Args:
        elements: some of a container's.
        until: when to give up, by ``time.thread_time``.
        container: what holds them and others, none of which is part of any of these.
    """
    elements, functions = _unfolded(elements)
    apart = _apart(elements, container)
    groups = _reach(elements, {id(value) for value in apart}, until)
    if not groups:
        return None, None
    count = len(groups)
    sample = f"{count} newest" if count > 1 else "one element"
    kinds = {id(type(value)): type(value) for group in groups for value in group}  # not a set: it would hash the types
    if all(map(_passive, kinds.values())) and all(_whole(value) for group in groups for value in group):
        each, method = _median(_pympler(elements[:count], apart)) + functions, f"pympler asizeof, {sample}"
    else:
        each = _median([sum(shallow(value) for value in group) for group in groups]) + functions
        method = f"sum of shallow sizes, {sample}"
    # What weighs nothing by itself (a method of a builtin object) or shares all it has was not sized.
    return (each, method) if each > 0 else (None, None)


def _unfolded(elements: Sequence[Element]) -> tuple[Sequence[Element], int]:
    """Return elements with what closures hold in the place of functions, and the bytes of the functions themselves.

    A function is code, which nobody is charged for; one that is made anew for every request is an object like any other.
    """
    unfolded, sizes = [], []
    for element in elements:
        parts: list[object] = []
        size = 0
        for part in element.parts:
            if type(part) is types.FunctionType and "<locals>" in part.__qualname__:
                cells = part.__closure__ or ()
                size += shallow(part) + (shallow(cells) if cells else 0) + sum(map(shallow, cells))
                parts += [held for cell in cells for held in gc.get_referents(cell)]
            else:
                parts.append(part)
        unfolded.append(Element(element.value, tuple(parts)))
        sizes.append(size)
    return unfolded, _median(sizes) if sizes else 0


def _median(sizes: list[int]) -> int:
    return int(statistics.median(sizes[1:] if len(sizes) > 1 else sizes))


def _apart(elements: Sequence[Element], container: object) -> list[object]:
    """Return the objects at which the way from an element ends: the container, all that it holds, and the elements' parts."""
    apart = [part for element in elements for part in element.parts]
    if container is not None:
        within = inside(container)
        kind = container_kind(type(within))
        apart += [container, within]
        if kind is not None and length(within, kind) <= _MOST_APART:
            apart += gc.get_referents(within)
    return apart


def _pympler(elements: Sequence[Element], apart: Sequence[object]) -> list[int]:
    from pympler import asizeof

    sizer: typing.Any = asizeof.Asizer()  # type: ignore[no-untyped-call]
    sizer.exclude_refs(*apart)
    return [sum(sizer.asizeof(part) for part in element.parts) for element in elements]


def _reach(elements: Sequence[Element], apart: Collection[int], until: float) -> list[list[object]]:
    """Return for each element what it reaches and those before it did not, code left out; as many elements as it can."""
    seen: set[int] = set()
    groups: list[list[object]] = []
    for element in elements:
        group = _reach_one(element, seen, apart, until)
        if group is None:
            break
        groups.append(group)
    return groups


def _reach_one(element: Element, seen: set[int], apart: Collection[int], until: float) -> list[object] | None:
    reached: list[object] = []
    waiting = collections.deque(element.parts)
    for turn in itertools.count():
        if not waiting:
            return reached
        if len(seen) > MOST_OBJECTS or (turn % 512 == 0 and time.thread_time() > until):
            return None
        value = waiting.popleft()
        if id(value) not in seen and _counts(value):
            seen.add(id(value))
            reached.append(value)
            waiting.extend(held for held in referents(value) if id(held) not in apart)
    return None


_PYTHON = naming.identities((types.FunctionType, property))


def _counts(value: object) -> bool:
    kind = type(value)
    return id(kind) not in _CODE and not naming.is_class(value) and not naming.is_ours(naming.type_module(kind))


def _whole(value: object) -> bool:
    """Tell whether a list or tuple has something in every place. C code can lose a half-built one; to iterate it crashes."""
    kind = type(value)
    if kind is list:
        return len(gc.get_referents(value)) == list.__len__(typing.cast("list[object]", value))
    if kind is tuple:
        return len(gc.get_referents(value)) == tuple.__len__(typing.cast("tuple[object, ...]", value))
    return True


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
