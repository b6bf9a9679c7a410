"""From a chain of objects to words: one named edge per entry, and the holder that an engineer would look for."""

from __future__ import annotations

import itertools
import types
from dataclasses import dataclass

from leakguard.observer import naming
from leakguard.observer.chains import Trail
from leakguard.observer.edges import LRU, cache_info, container_kind, edges, length
from leakguard.observer.roots import context_variable
from leakguard.records import ELEMENT

# Between a holder and what it holds there may be glue that a reader does not care for: the dict of an instance, the
# tuple and the cell of a closure.
_GLUE = 4
_MOST_ENTRIES = 16


@dataclass(slots=True)
class Step:
    """One entry of a chain: the object, and the dotted path to it."""

    value: object
    path: str
    label: str


def steps(trail: Trail) -> list[Step]:
    """Return the objects of a trail with their dotted paths, glue left out."""
    path, told = trail.name, []
    parent: object | None = None
    number = 0
    while number < len(trail.objects):
        value, label = trail.objects[number], trail.labels[number]
        if not label and parent is not None:
            number, label = _edge(parent, trail.objects, number)
            value = trail.objects[number]
        path += label
        if not _is_tree(value):
            parent = value
            if not naming.inherits(type(value), types.ModuleType):
                told.append(Step(value, path, label))
        number += 1
    return told


def _edge(parent: object, objects: list[object], number: int) -> tuple[int, str]:
    """Return which of the next objects ``parent`` leads to by a named edge, and the name."""
    base = container_kind(type(parent))
    ahead = {id(value): index for index, value in enumerate(objects[number : number + _GLUE], number)}
    best, found = number, ""
    if type(parent) is not base:
        for label, held in edges(parent):
            index = ahead.get(id(held))
            if index is not None and index >= best and label not in {".?", ELEMENT}:
                best, found = index, label
    if found:
        return best, found
    return number, ELEMENT if base is not None or type(parent) is tuple or type(parent) is frozenset else ""


def _is_tree(value: object) -> bool:
    return naming.name_of(value).startswith("hamt") or type(value) is types.CellType


def path_of(trail: Trail, step: Step) -> str:
    """Return the name of a holder: its dotted path, or the context variable through which the chain leads."""
    variable = variable_of(trail)
    if variable is not None:
        return f"context variable {variable}"
    return f"{step.path}.lru_cache" if type(step.value) is LRU else step.path


def first_held(told: list[Step]) -> Step | None:
    """Return the first object on a chain that an attribute or a variable holds, ``None`` when no edge has a name."""
    return next((step for step in told if step.label.startswith(".") and step.label != ".?"), None)


def holder(trail: Trail, container: object) -> str:
    """Return the name of a container at the end of a chain."""
    told = steps(trail)
    if told and told[-1].value is container:
        return path_of(trail, told[-1])
    return trail.name or trail.root


def texts(trail: Trail, told: list[Step], holder: Step | None) -> tuple[str, ...]:
    """Return the chain as words: full paths down to the holder, the edge alone behind it."""
    entries = [trail.root]
    behind = False
    for step in told:
        name = naming.name_of(step.value)
        if not naming.is_ours(naming.type_module(type(step.value))):
            entries.append(f"{name} {step.label if behind else step.path}".rstrip())
        behind = behind or step is holder
    if len(entries) > _MOST_ENTRIES:
        entries = [*entries[: _MOST_ENTRIES // 2], "…", *entries[-_MOST_ENTRIES // 2 + 1 :]]
    return tuple(entries)


def size_of(value: object) -> int:
    """Return the length of a container or cache, 0 for anything else."""
    kind = type(value)
    if kind is LRU:
        return cache_info(value)[0]
    base = container_kind(kind)
    return 0 if base is None else length(value, base)


def variable_of(trail: Trail, further: tuple[object, ...] = ()) -> str | None:
    """Return the name of the context variable through which a chain leads, and what comes behind it."""
    for one, other in itertools.pairwise([*trail.objects, *further]):
        if _is_tree(one) and not _is_tree(other):
            variable = context_variable(one, other)
            return None if variable is None else naming.attribute(variable.name) or "?"
    return None
