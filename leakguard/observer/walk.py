"""The walk from the roots: which of the host's objects can be named by a dotted path, such as ``game.pending``.

A breadth-first walk over modules, classes, instances and closures, the host's own modules first, so that an object that
several modules know gets its name from the application. Elements of containers are followed as a sample only: a name
leads to a container, not to every entry of it. Bounded by nodes and seconds.
"""

from __future__ import annotations

import sys
import time
import types
import typing
from collections.abc import Iterable, Iterator

from leakguard.observer import naming
from leakguard.observer.edges import Shape, edges
from leakguard.probes.code import origin

# A web application of middling size has 100 000 to 250 000 objects reachable this way; a walk takes some 6 us of the
# copy's time for each. What is not reached gets its name from its owner's type instead.
MOST_NODES = 400_000
MOST_SECONDS = 4.0
# Longer paths name nothing that a reader would recognise.
DEEPEST = 14

_ATOMS = naming.identities(
    (str, bytes, int, float, complex, bool, type(None), types.CodeType, range, types.BuiltinFunctionType)
)
_WHOSE = {"own": 0, "package": 1, "stdlib": 2, "leakguard": 3}
_ROOT = -1


class Walk:
    """Every object that was reached, and the first, shortest way to it. Holds the objects: for the copy only."""

    def __init__(self, *, nodes: int = MOST_NODES, seconds: float = MOST_SECONDS) -> None:
        self.objects: list[object] = []
        self.complete = True
        self._parents: list[int] = []
        self._labels: list[str] = []
        self._depths: list[int] = []
        self._index: dict[int, int] = {}
        self._namespaces: dict[int, types.ModuleType] = {}
        self._shapes: dict[int, Shape] = {}
        self._most = nodes
        self._until = time.thread_time() + seconds

    def __contains__(self, key: int) -> bool:
        return key in self._index

    def module_of(self, namespace: object) -> types.ModuleType | None:
        """Return the module whose namespace a dict is, ``None`` when it is none's."""
        return self._namespaces.get(id(namespace))

    def own_identities(self) -> set[int]:
        """Return the identities of our own containers, which are nobody's holders."""
        mine = (self.objects, self._index, self._parents, self._labels, self._depths, self._namespaces, self._shapes)
        return set(map(id, mine))

    def get(self, key: int) -> object | None:
        """Return the object with identity ``key`` if the walk reached it."""
        number = self._index.get(key)
        return None if number is None else self.objects[number]

    def run(self, modules: typing.Mapping[str, types.ModuleType]) -> Walk:
        """Walk from ``modules``: the host's own first, then installed packages, then the standard library."""
        for _ in self.steps(modules, self._most):
            pass
        return self

    def steps(self, modules: typing.Mapping[str, types.ModuleType], count: int) -> Iterator[None]:
        """Walk as ``run`` does, but stop for the caller after every ``count`` objects."""
        by_owner: dict[int, list[tuple[str, types.ModuleType]]] = {}
        for name, module in modules.items():
            file = naming.module_dict(module).get("__file__")
            whose = origin(file) if type(file) is str else "own" if name == "__main__" else "stdlib"
            self._namespaces[id(naming.module_dict(module))] = module
            by_owner.setdefault(_WHOSE[whose], []).append((name, module))
        for _, group in sorted(by_owner.items()):
            number = len(self.objects)
            for name, module in group:
                self._add(module, _ROOT, name)
            while number < len(self.objects) and self._may_go_on(number):
                if self._depths[number] < DEEPEST:
                    self._follow(number)
                number += 1
                if number % count == 0:
                    yield

    def _add(self, value: object, parent: int, label: str) -> None:
        key = id(value)
        if key in self._index or id(type(value)) in _ATOMS:
            return
        self._index[key] = len(self.objects)
        self.objects.append(value)
        self._parents.append(parent)
        self._labels.append(label)
        self._depths.append(self._depths[parent] + 1 if parent >= 0 else 0)

    def _may_go_on(self, number: int) -> bool:
        if number % 256 == 0 and (len(self.objects) > self._most or time.thread_time() > self._until):
            self.complete = False
        return self.complete

    def _follow(self, number: int) -> None:
        try:
            value = self.objects[number]
            for label, held in self._shape(type(value)).edges(value):
                kind = type(held)
                if id(kind) in _ATOMS or kind is types.ModuleType or id(held) in self._index:
                    continue  # a module is a root of its own
                if self._shape(kind).ours:
                    self._pass_through(held, number, label)
                    continue
                home = _home(held) if kind is types.FunctionType or naming.is_class(held) else None
                if home is None:
                    self._add(held, number, label)
                elif home and not naming.is_ours(home):
                    self._add(held, _ROOT, home)  # `from x import f` does not make f a part of the importing module
        except RuntimeError:  # a container changed under the walk: only in the process itself, never in the copy
            self.complete = False

    def _shape(self, kind: type) -> Shape:
        shape = self._shapes.get(id(kind))
        if shape is None:
            shape = self._shapes[id(kind)] = Shape.of(kind)
        return shape

    def _pass_through(self, ours: object, number: int, label: str) -> None:
        """Follow leakguard's middleware to the application that it wraps, and to nothing else."""
        for name, held in edges(ours):
            if name == ".app":
                self._add(held, number, label + name)

    def trail(self, key: int) -> list[tuple[str, object]]:
        """Return the way to the object with identity ``key``: pairs of edge name and object, the root first."""
        steps = []
        number = self._index.get(key, _ROOT)
        while number >= 0:
            steps.append((self._labels[number], self.objects[number]))
            number = self._parents[number]
        return steps[::-1]

    def path(self, key: int) -> str | None:
        """Return the dotted path of the object with identity ``key``; ``None`` when the walk did not reach it."""
        return "".join(label for label, _ in self.trail(key)) or None


def _home(value: object) -> str | None:
    """Return the dotted name under which a class or function lives in its module; ``None`` when it lives elsewhere."""
    if type(value) is types.FunctionType:
        module, name = naming.plain(value.__module__), value.__qualname__
    else:
        kind = typing.cast("type", value)
        module, name = naming.type_module(kind), naming.type_name(kind).removeprefix(f"{naming.type_module(kind)}.")
    if not module or "<locals>" in name:
        return None
    return f"{module}.{name}" if find(module, name.split(".")) is value else None


def find(module: str, names: Iterable[str]) -> object | None:
    """Return what the dotted ``names`` lead to inside a module, looking into class namespaces only."""
    home = sys.modules.get(module)
    if home is None or not naming.inherits(type(home), types.ModuleType):
        return None
    scope: typing.Mapping[str, object] = naming.module_dict(home)
    found: object | None = None
    for name in names:
        found = scope.get(name)
        if type(found) is staticmethod or type(found) is classmethod:
            found = typing.cast("staticmethod[..., object]", found).__func__
        scope = naming.class_dict(typing.cast("type", found)) if naming.is_class(found) else {}
    return found
