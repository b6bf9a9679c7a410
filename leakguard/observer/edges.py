"""What an object refers to, with a name on every edge, read without running a line of the host's code.

``edges`` knows modules, classes, instances (dict and slots), functions (closures, defaults), caches, partials, bound
methods, cells, suspended coroutines and all builtin containers; for any other type it asks the collector, which knows
the referents but not their names. It is meant for the forked copy: reading the attributes of an instance makes its
``__dict__`` real.
"""

from __future__ import annotations

import collections
import functools
import gc
import inspect
import itertools
import threading
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from leakguard.observer import naming
from leakguard.records import ELEMENT

Edge = tuple[str, object]

# How many elements of one container are followed from its front, and as many from its end. Enough to see what kind of
# thing it holds and to find the containers in it; a leak's container has millions.
SAMPLE = 32

LRU: type = type(functools.lru_cache(maxsize=1)(lambda: None))
"""The C type of ``functools.lru_cache``."""

_LOCAL = threading.local
_CONTAINERS: tuple[type, ...] = (dict, list, set, collections.deque)


def referents(value: object) -> list[object]:
    """Return what ``value`` refers to, as the collector sees it; of a module its namespace alone.

    Since CPython 3.12 the module ``_asyncio`` shows the collector the dead objects that it keeps for later use. Whoever takes
    such a one into a list and lets go of it frees it for the second time, and the process dies.
    """
    if type(value) is types.ModuleType:
        return [naming.module_dict(value)]
    return gc.get_referents(value)


def container_kind(kind: type) -> type | None:
    """Return the builtin that a growing container type is or inherits from, ``None`` for any other type."""
    for container in _CONTAINERS:
        if naming.inherits(kind, container):
            return container
    return None


def length(container: object, kind: type) -> int:
    """Return the length of a container of builtin ``kind`` without asking its own class, which may have a ``__len__``."""
    return typing.cast("int", kind.__len__(container))  # type: ignore[attr-defined]


def cache_info(cache: object) -> tuple[int, int | None]:
    """Return the length and the bound of a ``functools.lru_cache``."""
    info = LRU.cache_info(cache)  # type: ignore[attr-defined]  # known to be one of functools'
    return info.currsize, info.maxsize


def instance_dict(value: object) -> dict[object, object] | None:
    """Return the attributes of an instance; ``None`` when it has no dict, or its class hides it behind a property."""
    return _attributes(value, _dict_descriptor(type(value)))


def _attributes(value: object, descriptor: types.GetSetDescriptorType | None) -> dict[object, object] | None:
    if descriptor is None:
        return None
    try:
        attributes = descriptor.__get__(value)
    except (AttributeError, TypeError):
        return None
    return attributes if type(attributes) is dict else None


def _dict_descriptor(kind: type) -> types.GetSetDescriptorType | None:
    """Return what reads the dict of a type's instances, as C would; ``None`` where the class has put something in its place."""
    for base in naming.mro(kind):
        descriptor = naming.class_dict(base).get("__dict__")
        if descriptor is not None:
            return descriptor if type(descriptor) is types.GetSetDescriptorType else None
    return None


def _members(kind: type) -> Iterator[tuple[str, types.MemberDescriptorType]]:
    """Yield the slots of a type's instances, the members of C types among them, with the name of their edge."""
    for base in naming.mro(kind):
        for name, descriptor in naming.class_dict(base).items():
            if type(descriptor) is types.MemberDescriptorType:
                yield f".{naming.attribute(name) or '?'}", descriptor


def is_thread_local(kind: type) -> bool:
    """Tell whether a type is ``threading.local`` or inherits from it."""
    return naming.inherits(kind, _LOCAL)


def _thread_local(value: object) -> Iterator[Edge]:
    """Yield what any thread keeps in a ``threading.local``; to ask for its ``__dict__`` would run its ``__init__`` here."""
    for dicts in gc.get_referents(value):
        if type(dicts) is dict:
            for attributes in list(dicts.values()):
                if type(attributes) is dict:
                    yield from namespace(attributes)


def _dict_ends(mapping: typing.Any) -> Iterator[Edge]:
    """Yield a sample of a dict's values and keys from both ends."""
    for key, value in _both_ends(dict.items(mapping), dict.__len__(mapping)):
        yield ELEMENT, value
        yield ELEMENT, key


def _list_ends(values: typing.Any) -> Iterator[Edge]:
    """Yield a sample of a list's elements from both ends."""
    tail = list.__getitem__(values, slice(max(SAMPLE, list.__len__(values) - SAMPLE), None))
    for value in itertools.chain(itertools.islice(list.__iter__(values), SAMPLE), tail):
        yield ELEMENT, value


def _sample(kind: typing.Any) -> Callable[[typing.Any], Iterator[Edge]]:
    """Return what yields the first elements of a builtin ``kind``, whatever iterator a class that inherits from it has."""

    def sample(values: typing.Any) -> Iterator[Edge]:
        for value in itertools.islice(kind.__iter__(values), 2 * SAMPLE):
            yield ELEMENT, value

    return sample


def _both_ends(pairs: typing.Any, size: int) -> Iterator[tuple[object, object]]:
    yield from itertools.islice(pairs, SAMPLE)
    if size > SAMPLE:
        yield from itertools.islice(reversed(pairs), min(SAMPLE, size - SAMPLE))


def namespace(names: typing.Mapping[typing.Any, object]) -> Iterator[Edge]:
    """Yield the entries of a namespace: attribute names are the code's own, anything else is blurred."""
    for name, value in list(names.items()):
        readable = naming.attribute(name)
        yield (f".{readable}" if readable else ELEMENT), value


@dataclass(frozen=True, slots=True)
class Shape:
    """Where the objects of one type keep what they refer to.

    The same for all of them: a walk asks each type once. It holds no reference to the type, which would look like a holder of
    it, so whoever keeps one under the type's identity keeps an object of that type as well.

    Attributes:
        ours: the type is leakguard's own.
        special: what yields the edges, for builtin types, modules, classes and thread-locals; for these the rest is empty.
        elements: what yields the elements, where the type inherits from a builtin that has some.
    """

    ours: bool
    special: Callable[[typing.Any], Iterator[Edge]] | None = None
    elements: Callable[[typing.Any], Iterator[Edge]] | None = None
    attributes: types.GetSetDescriptorType | None = None
    members: tuple[tuple[str, types.MemberDescriptorType], ...] = ()

    @classmethod
    def of(cls, kind: type) -> Shape:
        """Return the shape of the objects of ``kind``."""
        ours, special = naming.is_ours(naming.type_module(kind)), _special(kind)
        if special is not None:
            return cls(ours, special)
        base = container_kind(kind) or (tuple if naming.inherits(kind, tuple) else None)
        return cls(
            ours,
            elements=None if base is None else _SPECIAL[id(base)],
            attributes=_dict_descriptor(kind),
            members=tuple(_members(kind)),
        )

    def edges(self, value: object) -> Iterator[Edge]:
        """Yield what ``value``, an object of this shape, refers to; see ``edges``."""
        return self._instance(value) if self.special is None else self.special(value)

    def _instance(self, value: object) -> Iterator[Edge]:
        """Yield the elements of a container, the attributes, then whatever else the collector knows it to hold."""
        if self.elements is not None:
            yield from self.elements(value)
        named: set[int] = set()
        attributes = _attributes(value, self.attributes)
        if attributes is not None:
            named.add(id(attributes))
            for label, held in namespace(attributes):
                named.add(id(held))
                yield label, held
        for label, descriptor in self.members:
            try:
                held = descriptor.__get__(value)
            except (AttributeError, TypeError):
                continue
            named.add(id(held))
            yield label, held
        if self.elements is None:
            for held in itertools.islice(referents(value), 4 * SAMPLE):
                if id(held) not in named and held is not type(value):
                    yield ".?", held


def edges(value: object) -> Iterator[Edge]:
    """Yield what ``value`` refers to as pairs of edge name and object; only a sample of a big container's elements."""
    return Shape.of(type(value)).edges(value)


def _special(kind: type) -> Callable[[typing.Any], Iterator[Edge]] | None:
    special = _SPECIAL.get(id(kind))
    if special is not None:
        return special
    if naming.inherits(kind, types.ModuleType):
        return _module
    if naming.inherits(kind, type):
        return _class
    return _thread_local if is_thread_local(kind) else None


def _module(module: typing.Any) -> Iterator[Edge]:
    return namespace(naming.module_dict(module))


def _class(kind: typing.Any) -> Iterator[Edge]:
    return namespace(naming.class_dict(kind))


def _function(function: typing.Any) -> Iterator[Edge]:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f".<closure>.{name}", cell.cell_contents
        except ValueError:  # the cell is empty: the function was made before the variable had a value
            continue
    defaults = function.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
    for name, held in zip(names, defaults, strict=False):
        yield f".<default>.{name}", held
    for name, held in (function.__kwdefaults__ or {}).items():
        yield f".<default>.{naming.attribute(name) or '?'}", held
    yield from namespace(function.__dict__)


def _method(method: typing.Any) -> Iterator[Edge]:
    yield ".__self__", method.__self__
    yield ".__func__", method.__func__


def _cell(cell: typing.Any) -> Iterator[Edge]:
    try:
        yield "", cell.cell_contents
    except ValueError:
        return


def _wrapper(wrapper: typing.Any) -> Iterator[Edge]:
    yield ".__func__", wrapper.__func__


def _property(value: typing.Any) -> Iterator[Edge]:
    yield ".fget", value.fget
    yield ".fset", value.fset


def _cache(cache: typing.Any) -> Iterator[Edge]:
    for held in gc.get_referents(cache):
        yield (".lru_cache" if type(held) is dict else ".?"), held


def local_variables(frame: types.FrameType) -> Iterator[Edge]:
    """Yield the local variables of a frame. A frame of a class body is left out: its namespace may be a host's mapping."""
    if frame.f_code.co_flags & inspect.CO_OPTIMIZED:
        for name, held in dict(frame.f_locals).items():
            yield f".<local>.{naming.attribute(name) or '?'}", held


def _suspended(frame: types.FrameType | None, awaits: object) -> Iterator[Edge]:
    if frame is not None:
        yield from local_variables(frame)
    if awaits is not None:
        yield ".<await>", awaits


def _coroutine(value: typing.Any) -> Iterator[Edge]:
    yield from _suspended(value.cr_frame, value.cr_await)


def _generator(value: typing.Any) -> Iterator[Edge]:
    yield from _suspended(value.gi_frame, value.gi_yieldfrom)


def _async_generator(value: typing.Any) -> Iterator[Edge]:
    yield from _suspended(value.ag_frame, value.ag_await)


def _nothing(_value: object) -> Iterator[Edge]:
    yield from ()


_ATOMS = (str, bytes, int, float, complex, bool, type(None), types.CodeType, bytearray, range)
_SPECIAL_TYPES: dict[type, Callable[[typing.Any], Iterator[Edge]]] = {
    dict: _dict_ends,
    list: _list_ends,
    **{kind: _sample(kind) for kind in (set, frozenset, collections.deque, tuple)},
    types.FunctionType: _function,
    types.MethodType: _method,
    types.CellType: _cell,
    staticmethod: _wrapper,
    classmethod: _wrapper,
    property: _property,
    types.FrameType: local_variables,
    types.CoroutineType: _coroutine,
    types.GeneratorType: _generator,
    types.AsyncGeneratorType: _async_generator,
    LRU: _cache,
    **dict.fromkeys(_ATOMS, _nothing),
}
_SPECIAL = {id(kind): special for kind, special in _SPECIAL_TYPES.items()}
