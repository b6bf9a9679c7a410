"""Threads that pile up: of which class they are and where they hang. What most of the newest say stands for all."""

from __future__ import annotations

import collections
import threading
import typing
from collections.abc import Iterable

from leakguard.observer import naming
from leakguard.probes.tasks import where_thread
from leakguard.records import Explanation, Site

HOLDER = "threading._active"
"""The interpreter's own list of what runs: no application holds a thread."""

MOST = 100
"""The newest; to ask for a thread's place costs the more, the more threads there are."""

_Thing = typing.TypeVar("_Thing")


def explain() -> Explanation:
    """Explain the threads of this process; some milliseconds, the calling thread left out."""
    return Explanation(holder=HOLDER, type=kind(), site=place())


def kind() -> str | None:
    """Return the commonest class of the newest threads."""
    return commonest(map(naming.name_of, _newest()))


def place() -> Site | None:
    """Return where most of the newest threads hang."""
    return commonest(where_thread(thread.ident) for thread in _newest() if thread.ident is not None)


def commonest(things: Iterable[_Thing | None]) -> _Thing | None:
    """Return the most frequent of some things, what is ``None`` left out; ``None`` when there is none."""
    counted = collections.Counter(thing for thing in things if thing is not None)
    return counted.most_common(1)[0][0] if counted else None


def _newest() -> list[threading.Thread]:
    mine = threading.get_ident()
    return [thread for thread in threading.enumerate() if thread.ident != mine][-MOST:]
