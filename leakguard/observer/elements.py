"""What a container holds: the types of its newest elements and where they were allocated."""

from __future__ import annotations

import collections
import ctypes
import gc
import itertools
import sys
import tracemalloc
import types
import typing
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from leakguard.observer import naming
from leakguard.observer.edges import LRU, container_kind, length, referents
from leakguard.probes.code import origin, own_first, package, site
from leakguard.records import Site

# Elements that stand for all: the newest, for they were allocated while the burst was on.
NEWEST = 20
_MOST_IN_SET = 100_000  # elements of a set among which new ones are looked for: a microsecond or two each
_MOST_FRAMES = 16
_ALSO = 5
# An element's surroundings are looked at for the types that leak with it, not for everything that it can reach.
_MOST_PARTS = 2_000
_NO_PARTS = naming.identities((types.ModuleType, types.CodeType, types.FunctionType, types.BuiltinFunctionType))
_EMPTY = naming.identities((type(None), bool))
_PLAIN = naming.identities((type(None), bool, int, float, str, bytes))
_BESIDE = 200  # objects of one element among which an application's own is looked for
_CALLBACK = weakref.ref.__dict__["__callback__"]
_LRU_LINK = "functools._lru_list_elem"
# What lies before an object in its block: the collector's two words, and on 3.11 two for the attributes.
_GC_HEADER = 16
_DICT_HEADER = 16
_MANAGED_DICT = 1 << 4  # Py_TPFLAGS_MANAGED_DICT: of these types alone; for others there may lie somebody else's block

Trace = tuple[tuple[str, int], ...]
"""A traceback as tracemalloc keeps it: file and line of each frame, innermost first."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a container: the object itself, and all objects that came with it (a dict's key, for one)."""

    value: object
    parts: tuple[object, ...]


def newest(container: object) -> list[Element]:
    """Return the newest elements of a container. Dicts, lists and deques grow at their end.

    A set has no end: of its elements those that a burst saw allocated, if there was one, else any.
    """
    kind = container_kind(type(container))
    if kind is dict:
        pairs = dict.items(typing.cast("dict[object, object]", container))
        return [_of_pair(key, value) for key, value in itertools.islice(reversed(pairs), NEWEST)]
    if kind is list:
        whole = typing.cast("list[object]", container)
        return [
            Element(value, (value,))
            for value in list.__getitem__(whole, slice(max(0, length(whole, list) - NEWEST), None))
        ]
    if kind is collections.deque:
        ends = collections.deque.__reversed__(typing.cast("collections.deque[object]", container))
        return [Element(value, (value,)) for value in itertools.islice(ends, NEWEST)]
    if kind is set:
        whole_set = typing.cast("set[object]", container)
        some: Iterable[object] = itertools.islice(
            set.__iter__(whole_set), _MOST_IN_SET if tracemalloc.is_tracing() else 0
        )
        born = itertools.islice((value for value in some if traceback_of(value) is not None), NEWEST)
        chosen = list(born) or list(itertools.islice(set.__iter__(whole_set), NEWEST))
        return [Element(value, (value,)) for value in chosen]
    return []


def _of_pair(key: object, value: object) -> Element:
    if naming.name_of(value) == _LRU_LINK:
        # The bounded cache keeps each result in a link of a ring, beside its key.
        value = next(
            (held for held in gc.get_referents(value) if held is not key and naming.name_of(held) != _LRU_LINK), value
        )
    return Element(key if id(type(value)) in _EMPTY else value, (value, key))


def inside(value: object) -> object:
    """Return the container that grows when ``value`` does: the dict within a ``functools.lru_cache``, else ``value`` itself."""
    if type(value) is not LRU:
        return value
    return next((held for held in gc.get_referents(value) if type(held) is dict and length(held, dict) > 0), value)


def weak(container: object) -> list[weakref.ref[typing.Any]]:
    """Return the newest weak references of a container that holds nothing else, as those of ``weakref`` do; else none.

    References with a callback each of their own do hold something: that callback.
    """
    refs = []
    for element in newest(inside(container)):
        found = [part for part in element.parts if naming.inherits(type(part), weakref.ref)]
        refs += typing.cast("list[weakref.ref[typing.Any]]", found[:1])
        if not found or _CALLBACK.__get__(found[0]) is not _CALLBACK.__get__(refs[0]):
            return []
    return refs


def telling(elements: list[Element]) -> list[Element]:
    """Return ``elements`` with what says most for each: where they are texts or numbers, an application's own object beside.

    A cache of results keeps its arguments in the key: it is the object among them that leaks, not the number it was kept for.
    What several elements share (the ``self`` of a service) is not what one more of them costs.
    """
    if len(elements) < 2 or any(id(type(element.value)) not in _PLAIN for element in elements):
        return elements
    beside = [
        [part for part in itertools.islice(_parts(list(element.parts)), _BESIDE) if _applications(type(part))]
        for element in elements
    ]
    shared = collections.Counter(id(part) for parts in beside for part in parts)
    chosen = [next((part for part in parts if shared[id(part)] == 1), None) for parts in beside]
    if sum(part is not None for part in chosen) <= len(elements) / 2:
        return elements
    return [
        Element(element.value if part is None else part, element.parts)
        for element, part in zip(elements, chosen, strict=True)
    ]


def _applications(kind: type) -> bool:
    """Tell whether a class is the application's own."""
    name = naming.type_module(kind)
    module = sys.modules.get(name)
    if name == "__main__" or module is None or not naming.inherits(type(module), types.ModuleType):
        return name == "__main__"
    file = naming.module_dict(module).get("__file__")
    return type(file) is str and origin(file) == "own"


def common_type(elements: Iterable[Element]) -> str | None:
    """Return the name of the most frequent type among ``elements``."""
    counts = collections.Counter(naming.name_of(element.value) for element in elements)
    return counts.most_common(1)[0][0] if counts else None


def also_types(elements: Iterable[Element], main: str | None) -> tuple[str, ...]:
    """Return the names of other types that leak with the elements, the most numerous first."""
    counts: collections.Counter[str] = collections.Counter()
    for value in _parts([part for element in elements for part in element.parts]):
        counts[naming.name_of(value)] += 1
    return tuple(name for name, _ in counts.most_common(_ALSO + 1) if name not in {main, "NoneType"})[:_ALSO]


def _parts(queue: list[object]) -> Iterator[object]:
    """Yield the objects that the objects in ``queue`` are made of, breadth first; code and classes are nobody's part."""
    seen: set[int] = set()
    waiting = collections.deque(queue)
    while waiting and len(seen) < _MOST_PARTS:
        value = waiting.popleft()
        kind = type(value)
        if (
            id(value) in seen
            or id(kind) in _NO_PARTS
            or naming.is_class(value)
            or naming.is_ours(naming.type_module(kind))
        ):
            continue
        seen.add(id(value))
        yield value
        if len(waiting) < _MOST_PARTS:
            waiting.extend(itertools.islice(referents(value), 64))


def allocation(objects: Iterable[object], home: str = "") -> tuple[Site | None, tuple[Site, ...]]:
    """Return where most of ``objects`` were allocated, and the frames of that place, the application's own first.

    Only what was allocated during a burst is known to ``tracemalloc``; without a burst, ``(None, ())``. ``home`` is as in
    ``place``.
    """
    if not tracemalloc.is_tracing():
        return None, ()
    places: collections.Counter[Trace] = collections.Counter()
    for value in objects:
        trace = traceback_of(value)
        if trace is not None:
            places[trace] += 1
    if not places:
        return None, ()
    return place(places.most_common(1)[0][0], home)


def traceback_of(value: object) -> Trace | None:
    """Return where ``value`` was allocated: file and line of each frame, innermost first; ``None`` when no burst saw it."""
    trace: Trace | None = tracemalloc._get_object_traceback(value)  # type: ignore[attr-defined]
    if trace is None and sys.version_info < (3, 12) and naming.HEAP_TYPE_FLAGS.__get__(type(value)) & _MANAGED_DICT:
        # There tracemalloc looks for the block of an instance with a dict behind the two pointers that precede it.
        get = ctypes.pythonapi._PyTraceMalloc_GetTraceback
        get.restype = ctypes.py_object
        trace = get(ctypes.c_uint(0), ctypes.c_size_t(id(value) - _GC_HEADER - _DICT_HEADER))
    return trace


def place(trace: Trace, home: str = "") -> tuple[Site | None, tuple[Site, ...]]:
    """Return the site of a traceback (innermost frame first) and its frames, the application's own or else the site first.

    The site is the application's own line, for there goes the cure; but what an installed package allocates to keep it itself
    is that package's doing: then it is the innermost line in the package of ``home``, the module that keeps it.
    """
    named = tuple((filename, line, function_at(filename, line)) for filename, line in trace)
    own = [frame for frame in named if origin(frame[0]) == "own"]
    others = [frame for frame in named if origin(frame[0]) not in {"own", "leakguard"}]
    frames = [site(*frame) for frame in own + others]
    chosen = _packages_own(named, home) or own_first(named)
    if not own and chosen is not None:
        frames = [chosen, *(frame for frame in frames if frame != chosen)]
    return chosen, tuple(frames[:_MOST_FRAMES])


def _packages_own(named: Iterable[tuple[str, int, str]], home: str) -> Site | None:
    wanted = home.partition(".")[0]
    # The standard library only passes on what it is told.
    inner = [frame for frame in named if origin(frame[0]) in {"own", "package"}]
    if not wanted or not inner or origin(inner[0][0]) == "own":
        return None
    return next((site(*frame) for frame in inner if package(frame[0]) == wanted), None)


_functions: dict[str, list[tuple[int, int, str]]] = {}


def function_at(filename: str, line: int) -> str:
    """Return the name of the function around a line, for ``tracemalloc`` remembers only file and line; empty if unknown."""
    if not _functions:
        for value in gc.get_objects():
            if type(value) is types.FunctionType:
                _remember(value.__code__)
    inner = [entry for entry in _functions.get(filename, ()) if entry[0] <= line <= entry[1]]
    return min(inner, key=lambda entry: entry[1] - entry[0])[2] if inner else ""


def _remember(code: types.CodeType) -> None:
    lines = [line for _, _, line in code.co_lines() if line]
    if lines:
        _functions.setdefault(code.co_filename, []).append((min(lines), max(lines), code.co_qualname))
    for constant in code.co_consts:
        if type(constant) is types.CodeType and constant.co_name[:1] != "<":
            _remember(constant)
