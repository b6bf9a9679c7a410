"""What is tried before a worker is replaced: let caches shed, collect garbage, give free memory back."""

from __future__ import annotations

import gc
import inspect
import types
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from leakguard.probes import heap
from leakguard.records import Relief

MOST_CALLBACKS = 64

_Callback = TypeVar("_Callback", bound=Callable[[], Any])
_callbacks: list[Callable[[], Callable[[], Any] | None]] = []


def on_pressure(callback: _Callback) -> _Callback:
    """Register ``callback`` to be called, without arguments, when memory presses; return it, so it works as a decorator.

    It should drop what can be made again, such as a cache. It is called in leakguard's own thread, before garbage is
    collected, at most once a minute; what it raises is swallowed. A bound method is held weakly, so registering one keeps
    no object alive; a plain function is held for good. The same callback counts once. At most ``MOST_CALLBACKS`` are kept
    and further ones are ignored, so that registering in a request cannot become a leak of its own.
    """
    alive = [held for held in _callbacks if held() is not None]
    if any(_same(held(), callback) for held in alive) or len(alive) >= MOST_CALLBACKS:
        return callback
    _callbacks[:] = [*alive, _hold(callback)]
    return callback


def relieve(at: float, rss: Callable[[], int]) -> Relief:
    """Shed, collect and trim, and return what it gave back; ``rss`` reads the process's bytes.

    The collection stops all threads for as long as it takes (about 130 ms at 800 000 tracked objects); the trimming takes
    20 to 100 ms with the GIL released.
    """
    before = rss()
    shed = sum(_call(held()) for held in list(_callbacks))
    collected = gc.collect()
    trimmed = heap.trim()
    return Relief(at=at, rss_before=before, rss_after=rss(), shed=shed, collected=collected, trimmed=trimmed)


def _hold(callback: Callable[[], Any]) -> Callable[[], Callable[[], Any] | None]:
    if type(callback) is types.MethodType:
        try:
            return weakref.WeakMethod(callback)
        except TypeError:  # an object without weak references: hold it like a function
            pass
    return lambda: callback


def _same(one: Callable[[], Any] | None, other: Callable[[], Any]) -> bool:
    if type(one) is types.MethodType and type(other) is types.MethodType:
        return one.__self__ is other.__self__ and one.__func__ is other.__func__
    return one is other


def _call(callback: Callable[[], Any] | None) -> bool:
    if callback is None:
        return False
    try:
        result = callback()
    except Exception:  # the app's own code, run in our thread: it must not end the thread
        return False
    if inspect.iscoroutine(result):
        result.close()  # there is no loop to run it on; unclosed it would warn that it was never awaited
        return False
    return True
