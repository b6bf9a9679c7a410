"""What relief sheds, collects and gives back."""

import gc
import subprocess
import sys
import weakref

import pytest

from leakguard.probes.process import ProcessProbe
from leakguard.recycling import relief
from leakguard.recycling.relief import on_pressure, relieve


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch):
    """Each test starts with no callback registered."""
    monkeypatch.setattr(relief, "_callbacks", [])


def test_registered_caches_are_shed():
    """A cache registered by the decorator is emptied under pressure, once, however often it was registered."""
    calls = []

    @on_pressure
    def shed():
        calls.append(1)

    on_pressure(shed)
    assert relieve(1.0, lambda: 0).shed == 1
    assert calls == [1]


def test_a_bound_method_keeps_no_object_alive():
    """Registering a cache's own method does not keep the cache, and a dead one is not called."""

    class Cache:
        def __init__(self):
            self.items = {1: 2}

        def clear(self):
            self.items.clear()

    cache = Cache()
    on_pressure(cache.clear)
    on_pressure(cache.clear)
    assert relieve(1.0, lambda: 0).shed == 1
    assert cache.items == {}
    gone = weakref.ref(cache)
    del cache
    gc.collect()
    assert gone() is None
    assert relieve(1.0, lambda: 0).shed == 0


def test_a_callback_that_fails_hurts_nobody():
    """What a callback raises ends neither the relief nor the callbacks after it; a coroutine is not left behind."""
    calls = []

    @on_pressure
    def fail():
        raise RuntimeError("no")

    @on_pressure
    async def cannot_be_awaited():
        calls.append("never")

    @on_pressure
    def works():
        calls.append("works")

    assert relieve(1.0, lambda: 0).shed == 1
    assert calls == ["works"]


def test_registering_in_a_request_is_no_leak():
    """However many functions are registered, the registry stays within its bound."""
    for _ in range(1000):
        on_pressure(lambda: None)
    assert len(relief._callbacks) == relief.MOST_CALLBACKS


def test_garbage_is_collected():
    """Cycles that wait for the collector are gone after relief, and counted."""

    class Node:
        pass

    gc.disable()
    try:
        node = Node()
        node.itself = node
        gone = weakref.ref(node)
        del node
        assert gone() is not None
        assert relieve(1.0, lambda: 0).collected >= 1
        assert gone() is None
    finally:
        gc.enable()


def test_free_memory_of_the_c_heap_goes_back():
    """A fragmented heap that leaks nothing becomes small again, and the record says by how much."""
    code = """
import random
from leakguard.probes.process import ProcessProbe
from leakguard.recycling.relief import relieve
kept = [b"x" * random.randrange(600, 4000) for _ in range(40_000)]
kept = kept[::100]
done = relieve(1.0, ProcessProbe().rss)
assert done.trimmed
print(done.rss_before - done.rss_after)
"""
    given_back = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert given_back > 20 * 1024 * 1024
    assert ProcessProbe().rss() > 0
