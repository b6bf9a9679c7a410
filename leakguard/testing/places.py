"""Where threads and tasks hang, and of which class they are, at the moment: what most of them say stands for all."""

from __future__ import annotations

import asyncio
import collections
import threading
import typing
from collections.abc import Iterable

from leakguard.observer import naming
from leakguard.probes.tasks import where_task, where_thread
from leakguard.records import Site
from leakguard.testing.tempfiles import FILES

# The newest; to ask for a thread's place costs the more, the more threads there are.
_MOST_THREADS, _MOST_TASKS = 100, 500

TIMERS, THREADS = "the event loop's timers (_scheduled)", "threading._active"
"""Holders that no application owns: what sleeps hangs on the loop's timers, what runs on the list of threads."""

_Thing = typing.TypeVar("_Thing")


def places() -> dict[str, Site]:
    """Return where most tasks of the running loop, most threads beside this one, and new temporary files are from."""
    found = {
        "threads": _commonest(where_thread(thread.ident) for thread in _threads() if thread.ident is not None),
        "tasks": _commonest(map(where_task, _tasks())),
        "files": FILES.where(),
    }
    return {name: site for name, site in found.items() if site is not None}


def classes() -> dict[str, str]:
    """Return the commonest class of the threads and of the tasks."""
    found = {"threads": _commonest(map(naming.name_of, _threads())), "tasks": _commonest(map(naming.name_of, _tasks()))}
    return {name: kind for name, kind in found.items() if kind is not None}


def holders() -> dict[str, str]:
    """Return who holds threads and tasks when no container of the application does: what the interpreter keeps itself."""
    found = {"threads": THREADS}
    tasks = _tasks()
    if tasks:
        # A task that sleeps waits for a future, which hangs on a timer; asyncio's own loop keeps them in a list.
        timers = getattr(tasks[0].get_loop(), "_scheduled", ())
        if len(timers) >= len(tasks) / 2:
            found["tasks"] = TIMERS
    return found


def _threads() -> list[threading.Thread]:
    mine = threading.get_ident()
    return [thread for thread in threading.enumerate() if thread.ident != mine][-_MOST_THREADS:]


def _tasks() -> list[asyncio.Task[typing.Any]]:
    try:
        current = asyncio.current_task()
    except RuntimeError:  # no loop runs: a plain callable
        return []
    return [task for task in asyncio.all_tasks() if task is not current][:_MOST_TASKS]


def _commonest(things: Iterable[_Thing | None]) -> _Thing | None:
    counted = collections.Counter(thing for thing in things if thing is not None)
    return counted.most_common(1)[0][0] if counted else None
