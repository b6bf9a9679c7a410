"""Journals and ``fork``: no child ever uses, or closes, a connection that its parent had open.

SQLite keeps its view of a file's locks in the process: a copy of it believes that it holds locks which the kernel gave to the
parent alone, and even a *new* connection of the child would share that belief ("How to corrupt an SQLite database file",
section 2.6). So the parent closes its connection for the moment of the fork, which takes about a millisecond, and both
sides open their own when they write next. Where that is not possible the child's journal is given up, and says so.
"""

from __future__ import annotations

import ctypes
import os
import threading
import typing
import weakref

LOCK_SECONDS = 0.5  # a write takes milliseconds; a fork does not wait longer for a slow disk


class Forkable(typing.Protocol):
    """What this module needs of a journal."""

    _lock: threading.Lock

    def _let_go(self) -> None:
        """Close the connection, in the parent, with the lock held."""

    def _start_over(self, inherited: bool) -> object | None:
        """In the child: forget everything of the parent; return the connection that was still open, if one was."""


_journals: weakref.WeakSet[Forkable] = weakref.WeakSet()
_locked: list[Forkable] = []


def follow(journal: Forkable) -> None:
    """Keep a journal apart across forks, as long as it lives."""
    _journals.add(journal)


def _before() -> None:
    for journal in list(_journals):
        if journal._lock.acquire(timeout=LOCK_SECONDS):
            _locked.append(journal)
            journal._let_go()


def _after_in_parent() -> None:
    while _locked:
        _locked.pop()._lock.release()


def _after_in_child() -> None:
    closed = list(_locked)
    _locked.clear()
    for journal in list(_journals):
        connection = journal._start_over(inherited=not any(journal is each for each in closed))
        if connection is not None:
            # One reference for ever: the connection must not even be closed when this child's interpreter ends.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
