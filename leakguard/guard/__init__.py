"""The conductor of one worker: when to look, when to act; it never raises into the app.

``obtain`` gives the guard of this process, made at the first request or at start-up in the worker, never in a parent that
will fork: threads do not survive a fork.
"""

from __future__ import annotations

import atexit
import os
import threading
import typing
import weakref

from leakguard.config import Level
from leakguard.guard.guard import Guard
from leakguard.recycling.servers import after_fork, in_worker

if typing.TYPE_CHECKING:
    from leakguard.config import Config

__all__ = ["Guard", "after_fork", "in_worker", "introduce", "known_config", "obtain", "on_fork", "ready", "release"]


class Holder(typing.Protocol):
    """A middleware that caches its guard and must forget it in a forked child."""

    config: Config

    def forget_guard(self) -> None:
        """Drop the cached guard."""


_lock = threading.Lock()
_current: Guard | None = None
_holders: weakref.WeakSet[typing.Any] = weakref.WeakSet()


def obtain(config: Config) -> Guard:
    """Return this process's guard, started; the first caller's options win, for there is one process to guard."""
    global _current
    with _lock:
        if _current is None:
            _current = Guard(config)
            _current.start()
        return _current


def introduce() -> None:
    """Have the guard of this process say that it serves, because its server listens; without a middleware nothing happens."""
    for holder in list(_holders):
        if holder.config.level is not Level.OFF:
            obtain(holder.config).ready()
            return


def ready() -> bool:
    """Return whether this worker wants requests, for a readiness endpoint of the app's own.

    False while it boots, while it leaves and over its hard ceiling; true where no middleware watches, or none yet.
    """
    guard = _current
    return guard is None or guard.drain.ready


def known_config() -> Config | None:
    """Return the options of a middleware that was made in this process; ``None`` when none was."""
    for holder in list(_holders):
        return typing.cast("Holder", holder).config
    return None


def release() -> None:
    """Stop this process's guard and take everything out again; the next request gets a new one. For tests and reloads."""
    global _current
    with _lock:
        guard, _current = _current, None
        if guard is not None:
            guard.stop()
        for holder in list(_holders):
            holder.forget_guard()


def on_fork(holder: Holder) -> None:
    """Have ``holder`` forget its guard in every child that this process forks."""
    _holders.add(holder)


def _after_fork_in_child() -> None:
    global _current, _lock
    _lock = threading.Lock()
    guard, _current = _current, None
    if guard is not None:
        guard.abandon_after_fork()
    for holder in list(_holders):
        holder.forget_guard()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(release)  # the last window of a worker that ends in order is written, too
