"""The cyclic collector: its pauses counted in every thread, its hooks harmless."""

import gc
import threading
import time

import pytest

from leakguard.probes.collector import CollectorProbe
from leakguard.records import Pauses


@pytest.fixture
def probe():
    """A probe, given back after the test."""
    probe = CollectorProbe()
    probe.install()
    gc.disable()
    yield probe
    gc.enable()
    probe.remove()


def test_pauses_are_counted_with_full_ones_apart(probe):
    """Every collection is one pause; only those of the oldest generation are full."""
    gc.collect(0)
    gc.collect(1)
    gc.collect(2)
    pauses = probe.take()
    assert (pauses.count, pauses.full) == (3, 1)
    assert 0 < pauses.longest <= pauses.total
    assert probe.fulls == 1


def test_take_begins_anew(probe):
    """What was taken once is not told again; the count of full collections goes on."""
    gc.collect()
    probe.take()
    assert probe.take() == Pauses()
    gc.collect()
    assert probe.take().full == 1
    assert probe.fulls == 2


def test_a_pause_lasts_as_long_as_its_collection(probe):
    """Everything between the start and the end of a collection counts, the finalizers that it runs included."""

    class Slow:
        def __init__(self):
            self.cycle = self

        def __del__(self):
            time.sleep(0.05)

    Slow()
    gc.collect()
    pauses = probe.take()
    assert pauses.count == 1
    assert pauses.total == pauses.longest >= 0.05


def test_share_is_of_the_time_that_passed(probe):
    """The share is pause time over elapsed time, never above one, and nothing of nothing is nothing."""
    gc.collect()
    total = probe.share(1.0)
    assert total > 0
    assert probe.share(100.0) == pytest.approx(total / 100)
    assert probe.share(1e-9) == 1.0
    assert probe.share(0.0) == 0.0
    assert probe.take().total == pytest.approx(total)
    assert probe.share(1.0) == 0.0


def test_last_full_is_the_moment_it_ended(probe):
    """The guard may ask how long ago garbage was surely gone."""
    assert probe.last_full == 0.0
    before = time.perf_counter()
    gc.collect()
    assert before < probe.last_full < time.perf_counter()
    ended = probe.last_full
    gc.collect(1)
    assert probe.last_full == ended


def test_hooks_run_around_full_collections_only(probe):
    """What is hung before and after runs once per full collection, in that order, and not for young ones."""
    seen = []
    probe.before_full.append(lambda: seen.append("before"))
    probe.after_full.append(lambda: seen.append(f"after {probe.fulls}"))
    gc.collect(1)
    assert seen == []
    gc.collect()
    assert seen == ["before", "after 1"]


def test_a_hook_that_raises_is_dropped_and_harms_nobody(probe):
    """A broken hook runs once; the others, the count and the host's collection go on."""
    seen = []

    def broken():
        seen.append("broken")
        raise RuntimeError("not the host's problem")

    probe.before_full.extend([broken, lambda: seen.append("sound")])
    gc.collect()
    gc.collect()
    assert seen == ["broken", "sound", "sound"]
    assert probe.dropped == 1
    assert probe.take().full == 2


def test_install_and_remove_leave_the_hosts_callbacks_alone():
    """Installing twice counts once, removing twice does nothing, and no callback of the host is even compared."""

    class Host:
        __hash__ = None

        def __eq__(self, other):
            raise AssertionError("compared")

        def __call__(self, phase, info):
            pass

    host = Host()
    gc.callbacks.insert(0, host)
    try:
        probe = CollectorProbe()
        before = len(gc.callbacks)
        probe.install()
        probe.install()
        assert len(gc.callbacks) == before + 1
        gc.collect()
        assert probe.take().full == 1
        probe.remove()
        probe.remove()
        assert len(gc.callbacks) == before
        gc.collect()
        assert probe.take() == Pauses()
    finally:
        gc.callbacks[:] = [callback for callback in gc.callbacks if callback is not host]


def test_installed_in_the_middle_of_a_collection():
    """A finalizer that installs the probe does not make it count half a collection."""
    probe = CollectorProbe()

    class Installs:
        def __init__(self):
            self.cycle = self

        def __del__(self):
            probe.install()

    Installs()
    gc.collect()
    assert probe.take() == Pauses()
    gc.collect()
    assert probe.take().count == 1
    probe.remove()


def test_no_pause_is_lost_between_threads(probe):
    """Collections in many threads, taken all the while by another, add up to the interpreter's own count."""
    before = sum(generation["collections"] for generation in gc.get_stats())
    threads = [threading.Thread(target=lambda: [gc.collect(0) for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    counted = 0
    while any(thread.is_alive() for thread in threads):
        counted += probe.take().count
    for thread in threads:
        thread.join()
    counted += probe.take().count
    assert counted == sum(generation["collections"] for generation in gc.get_stats()) - before
    assert counted > 0
