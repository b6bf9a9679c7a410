"""Where threads and tasks hang, and of which class they are, at the moment: what most of them say stands for all."""

from __future__ import annotations

import asyncio
import typing

from leakguard.observer import naming, threads
from leakguard.probes.tasks import where_task
from leakguard.records import Site
from leakguard.testing.tempfiles import FILES

_MOST_TASKS = 500

TIMERS = "the event loop's timers (_scheduled)"
"""A holder that no application owns: what sleeps hangs on it."""


def places() -> dict[str, Site]:
    """Return where most tasks of the running loop, most threads beside this one, and new temporary files are from."""
    found = {
        "threads": threads.place(),
        "tasks": threads.commonest(map(where_task, _tasks())),
        "files": FILES.where(),
    }
    return {name: site for name, site in found.items() if site is not None}


def classes() -> dict[str, str]:
    """Return the commonest class of the threads and of the tasks."""
    found = {"threads": threads.kind(), "tasks": threads.commonest(map(naming.name_of, _tasks()))}
    return {name: kind for name, kind in found.items() if kind is not None}


def holders() -> dict[str, str]:
    """Return who holds threads and tasks when no container of the application does: what the interpreter keeps itself."""
    found = {"threads": threads.HOLDER}
    tasks = _tasks()
    if tasks:
        # A task that sleeps waits for a future, which hangs on a timer; asyncio's own loop keeps them in a list.
        timers = getattr(tasks[0].get_loop(), "_scheduled", ())
        if len(timers) >= len(tasks) / 2:
            found["tasks"] = TIMERS
    return found


def _tasks() -> list[asyncio.Task[typing.Any]]:
    try:
        current = asyncio.current_task()
    except RuntimeError:  # no loop runs: a plain callable
        return []
    return [task for task in asyncio.all_tasks() if task is not current][:_MOST_TASKS]
