"""The other ends of holder chains: tasks, frames of running threads, context variables, classes made at run time."""

from __future__ import annotations

import contextvars
import gc
import itertools
import sys
import threading
import types
import typing
from dataclasses import dataclass

from leakguard.observer import naming
from leakguard.observer.edges import local_variables
from leakguard.probes.code import origin, site

# Threads and frames that are looked into: a pool has tens of threads, a stack some dozens of frames.
_MOST_THREADS = 200
_MOST_FRAMES = 100

_RUNNING, _SERVER = 2, 3  # chains.Rank.RUNNING and SERVER
_TASK = "_asyncio.Task"


@dataclass(frozen=True, slots=True)
class Root:
    """An end of a chain: its text, the dotted name that paths begin with, how good it is, and the edge that leads from it.

    Behind a ``final`` one nothing is searched.
    """

    text: str
    name: str
    rank: int
    edge: str = ""
    final: bool = False


class Roots:
    """Everything but modules that keeps objects alive of itself."""

    def __init__(self) -> None:
        self._locals: dict[int, Root] = {}
        me = threading.get_ident()
        for ident, frame in list(sys._current_frames().items())[:_MOST_THREADS]:
            if ident != me:
                self._add_thread(frame)

    def own_identities(self) -> set[int]:
        """Return the identities of our own containers."""
        return {id(self._locals)}

    def _add_thread(self, frame: types.FrameType | None) -> None:
        for _ in range(_MOST_FRAMES):
            if frame is None:
                return
            code = frame.f_code
            whose = origin(code.co_filename)
            if whose != "leakguard":
                name = f"thread {_qualified(frame)}"
                text = f"{name} at {site(code.co_filename, frame.f_lineno, code.co_qualname)}"
                rank = _RUNNING if whose == "own" else _SERVER
                for label, held in local_variables(frame):
                    self._locals.setdefault(id(held), Root(text, name, rank, label))
            frame = frame.f_back

    def of(self, value: object) -> Root | None:
        """Return the root that ``value`` is or is held by, ``None`` when it is none."""
        kind = type(value)
        if kind is contextvars.Context:
            return Root("context", "context", _RUNNING)
        if naming.type_name(kind) == _TASK:
            return _task(typing.cast("typing.Any", value))
        if naming.is_class(value):
            # Behind a class stand all its instances: never searched.
            name = naming.type_name(typing.cast("type", value))
            return Root(f"class {name}", "", _RUNNING, name, final=True)
        return self._locals.get(id(value))


def _task(task: typing.Any) -> Root:
    """Return the root that an asyncio task is: named by its coroutine, weak when that is a server's."""
    coroutine = task.get_coro()
    if type(coroutine) is not types.CoroutineType:
        return Root("task", "task", _SERVER)
    code, frame = coroutine.cr_code, coroutine.cr_frame
    name = f"task {code.co_qualname if frame is None else _qualified(frame)}"
    return Root(name, name, _RUNNING if origin(code.co_filename) == "own" else _SERVER)


def _qualified(frame: types.FrameType) -> str:
    """Return ``module.qualname`` of the function that a frame runs."""
    module = naming.plain(frame.f_globals.get("__name__"))
    return f"{module}.{frame.f_code.co_qualname}" if module else frame.f_code.co_qualname


def context_variable(node: object, value: object) -> contextvars.ContextVar[object] | None:
    """Return the context variable that a ``node`` of a context's tree holds ``value`` under."""
    # A node is visited from its end: each value, then its variable.
    for item, variable in itertools.pairwise(gc.get_referents(node)):
        if item is value and type(variable) is contextvars.ContextVar:
            return variable
    return None
