"""Where tasks and threads are, seen from another thread; and the tasks that outlived the request that started them.

Nothing here runs the host's code, and no frame or task is kept: a frame keeps its locals alive.
"""

from __future__ import annotations

import contextvars
import gc
import sys
import types
import typing
from collections.abc import Callable, Iterator

from leakguard.probes.code import origin, own_first, package
from leakguard.records import Site, Stuck

if typing.TYPE_CHECKING:
    import asyncio

    AnyTask = asyncio.Task[typing.Any]

_DEEPEST_CHAIN = 256
_DEEPEST_STACK = 1024
_Place = tuple[str, int, str]


def where_task(task: AnyTask) -> Site | None:
    """Return the innermost place of the application's own code at which ``task`` waits or runs; ``None`` when unknown.

    Follows what each coroutine awaits, through generators, asynchronous generators and awaited tasks, at most 256 steps; in a
    task that runs right now, the stack of its thread. Without own code on the way: a place in the package whose coroutine the
    task runs, for what that one awaits are its tools; then any. Costs 1 to 10 microseconds.
    """
    try:
        return own_first(reversed(_of_starter(list(_awaiting(task)))))
    except Exception:  # a foreign implementation of tasks or coroutines may do anything
        return None


def _of_starter(places: list[_Place]) -> list[_Place]:
    """Return the places that lie in the package of the first one, the task's own coroutine; all where that is no package's."""
    mine = package(places[0][0]) if places else None
    if mine is None or any(origin(filename) == "own" for filename, _, _ in places):
        return places
    return [place for place in places if package(place[0]) == mine]


def where_thread(ident: int) -> Site | None:
    """Return the innermost place of the application's own code at which a thread is; ``None`` when it has ended."""
    frame = sys._current_frames().get(ident)
    try:
        return None if frame is None else own_first(_stack(frame))
    finally:
        del frame


def all_tasks(loop: asyncio.AbstractEventLoop) -> list[AnyTask]:
    """Return the unfinished tasks of ``loop``; safe from any thread. Drop the list soon: it keeps the tasks alive.

    ``asyncio.all_tasks`` copies a weak set in Python, starts again whenever the loop's thread changed the set meanwhile, and
    gives up after a thousand times (0.7 s were measured with 20 000 tasks on 3.11, against 3 ms here). One ``list()`` of the
    set below it is atomic.
    """
    module = sys.modules.get("asyncio.tasks")
    if module is None:
        return []
    scheduled = getattr(module, "_scheduled_tasks", None)  # since Python 3.12
    if scheduled is None:
        scheduled = getattr(module, "_all_tasks", None)
    references = getattr(scheduled, "data", None)
    if sys.version_info >= (3, 14) or type(references) is not set:
        # Since 3.14 the interpreter keeps the tasks itself and stops their thread for the copy.
        try:
            return list(module.all_tasks(loop))
        except RuntimeError:
            return []
    found = [task for reference in list(references) if (task := reference()) is not None]
    found += list(getattr(module, "_eager_tasks", ()))
    return [task for task in found if _unfinished(task, loop)]


def task_context_value(task: AnyTask, variable: contextvars.ContextVar[typing.Any]) -> object | None:
    """Return the value that ``variable`` has inside ``task``; ``None`` when it has none there."""
    context = _context_of(task)
    return None if context is None else context.get(variable)


def surviving_tasks(
    loop: asyncio.AbstractEventLoop,
    variable: contextvars.ContextVar[typing.Any],
    ended: Callable[[typing.Any], str | None],
    limit: int = 1000,
    age: Callable[[typing.Any], float] | None = None,
) -> tuple[Stuck, ...]:
    """Return the unfinished tasks whose request has ended, counted by route and place, most numerous first.

    A task inherits the context of the request that starts it, so the value of ``variable`` in it names the request.

    Args:
        loop: the event loop.
        variable: the context variable that the middleware sets for each request.
        ended: returns the route of the request that a value stands for, or ``None`` while it is in flight.
        limit: for how many tasks the place is looked up; those beyond are counted without one.
        age: returns the seconds since the request ended; without it ages are 0, unknown.
    """
    counts: dict[tuple[str, Site | None], int] = {}
    ages: dict[tuple[str, Site | None], float] = {}
    looked_up = 0
    for task in all_tasks(loop):
        value = task_context_value(task, variable)
        route = None if value is None else ended(value)
        if route is None:
            continue
        place = where_task(task) if looked_up < limit else None
        looked_up += 1
        key = route, place
        counts[key] = counts.get(key, 0) + 1
        if age is not None:
            ages[key] = max(ages.get(key, 0.0), age(value))
    groups = sorted(counts.items(), key=lambda item: -item[1])
    return tuple(
        Stuck(route=route, age=ages.get((route, place), 0.0), where=place, kind="task", count=count)
        for (route, place), count in groups
    )


def _unfinished(task: AnyTask, loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return task.get_loop() is loop and not task.done()
    except Exception:  # a foreign implementation of tasks
        return False


def _context_of(task: AnyTask) -> contextvars.Context | None:
    if sys.version_info >= (3, 12):
        try:
            return task.get_context()
        except Exception:  # a foreign implementation of tasks
            return None
    # The C task of 3.11 shows its context only to the collector, and names it before the contexts of its callbacks.
    for referent in (*gc.get_referents(task), getattr(task, "_context", None)):
        if type(referent) is contextvars.Context:
            return referent
    return None


def _awaiting(task: AnyTask) -> Iterator[_Place]:
    """Yield the places at which a task waits, outermost first."""
    awaited: object = task.get_coro()
    for _ in range(_DEEPEST_CHAIN):
        if awaited is None:
            return
        frame, awaited_next, running = _step(awaited)
        try:
            if frame is not None and running:
                yield from reversed(list(_stack_above(frame)))
                return
            if frame is not None:
                yield _place(frame)
        finally:
            del frame
        awaited = awaited_next


def _step(awaited: object) -> tuple[types.FrameType | None, object, bool]:
    """Return the frame of something awaited, what it awaits in turn, and whether it runs right now."""
    if type(awaited) is types.CoroutineType:
        return awaited.cr_frame, awaited.cr_await, awaited.cr_running
    if type(awaited) is types.GeneratorType:
        return awaited.gi_frame, awaited.gi_yieldfrom, awaited.gi_running
    if type(awaited) is types.AsyncGeneratorType:
        # ``ag_running`` says that an ``asend`` is under way, which may well be waiting.
        return awaited.ag_frame, awaited.ag_await, False
    return None, _inner(awaited), False


def _inner(awaited: object) -> object:
    """Return the coroutine, generator or task that an iterator made by C code stands for, such as ``asend``'s."""
    from_asyncio = sys.modules.get("asyncio.tasks")
    task_type = getattr(from_asyncio, "Task", None)
    # The collector's view of an object runs none of its code.
    for referent in gc.get_referents(awaited):
        kind = type(referent)
        if kind in {types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType}:
            return referent
        if task_type is not None and task_type in kind.__mro__:
            return referent.get_coro()
    return None


def _stack_above(frame: types.FrameType) -> Iterator[_Place]:
    """Yield the places of the thread that runs ``frame``, innermost first, down to it; only ``frame``'s if it stopped."""
    for top in sys._current_frames().values():
        places: list[_Place] = []
        current: types.FrameType | None = top
        while current is not None and len(places) < _DEEPEST_STACK:
            places.append(_place(current))
            if current is frame:
                yield from places
                return
            current = current.f_back
    yield _place(frame)


def _stack(frame: types.FrameType) -> Iterator[_Place]:
    current: types.FrameType | None = frame
    for _ in range(_DEEPEST_STACK):
        if current is None:
            return
        yield _place(current)
        current = current.f_back


def _place(frame: types.FrameType) -> _Place:
    code = frame.f_code
    return code.co_filename, frame.f_lineno or code.co_firstlineno, code.co_name
