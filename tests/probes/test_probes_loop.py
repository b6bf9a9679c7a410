"""The event loop's lag and load, measured from another thread."""

import asyncio
import threading
import time

import pytest

from leakguard.probes.loop import LoopProbe


class CountingLoop(asyncio.SelectorEventLoop):
    """A real loop that counts what other threads put into it."""

    def __init__(self):
        super().__init__()
        self.called = 0

    def call_soon_threadsafe(self, callback, *args, **kwargs):
        self.called += 1
        return super().call_soon_threadsafe(callback, *args, **kwargs)


class Runner:
    """A loop in a thread of its own."""

    def __init__(self):
        self.loop = CountingLoop()
        self.started = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        assert self.started.wait(30)

    def run(self):
        self.loop.call_soon(self.started.set)
        self.loop.run_forever()

    def call(self, function, *args):
        asyncio.SelectorEventLoop.call_soon_threadsafe(self.loop, function, *args)

    def stop(self):
        if self.thread.is_alive():
            self.call(self.loop.stop)
            self.thread.join(30)


@pytest.fixture
def runner():
    """A loop in a thread of its own, closed after the test."""
    runner = Runner()
    yield runner
    runner.stop()
    runner.loop.close()


@pytest.fixture
def probe(runner):
    """A probe of the runner's loop."""
    return LoopProbe(runner.loop, runner.thread.ident)


def until(condition, seconds=30.0):
    """Poll until ``condition`` holds; whether it did."""
    deadline = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return held


def test_a_beat_that_arrived_tells_its_lag(runner, probe):
    """An idle loop answers a beat, and what was taken once is not told again."""
    probe.beat()
    assert until(lambda: probe._sent is None)
    assert 0 < probe.take().lag < 30
    assert probe.take().lag == 0.0


def test_a_blocked_loop_shows_while_it_blocks(runner, probe):
    """The lag of a beat that still waits counts, grows, and is told in full once it arrives."""
    released = threading.Event()
    runner.call(released.wait, 60)
    probe.beat()
    time.sleep(0.2)
    first = probe.take().lag
    time.sleep(0.1)
    second = probe.take().lag
    released.set()
    assert until(lambda: probe._sent is None)
    assert 0.2 <= first < second <= probe.take().lag


def test_beats_never_pile_up(runner, probe):
    """However often the guard beats at a loop that hangs, one callback waits in it."""
    released = threading.Event()
    runner.call(released.wait, 60)
    for _ in range(1000):
        probe.beat()
    assert runner.loop.called == 1
    released.set()
    assert until(lambda: probe._sent is None)
    probe.beat()
    assert until(lambda: probe._sent is None)
    assert runner.loop.called == 2


def test_a_busy_loop_is_told_from_an_idle_one(runner, probe):
    """The busy share is the processor time of the loop's thread, not of the process."""

    def burn():
        ends = time.thread_time() + 0.2
        while time.thread_time() < ends:
            pass

    probe.take()
    spent = time.thread_time() + 0.2
    while time.thread_time() < spent:  # this thread is busy, the loop is not
        pass
    idle = probe.take().busy
    finished = threading.Event()
    runner.call(burn)
    runner.call(finished.set)
    assert finished.wait(60)
    busy = probe.take().busy
    assert 0.0 <= idle < busy <= 1.0


def test_a_closed_loop_is_survived(runner, probe):
    """Beats at a loop that has been closed do nothing; a beat it never answered is not lag."""
    entered, released = threading.Event(), threading.Event()

    def hang_and_stop():
        entered.set()
        released.wait(60)
        runner.loop.stop()

    runner.call(hang_and_stop)
    assert entered.wait(30)
    probe.beat()
    released.set()
    runner.thread.join(30)
    assert probe._sent is not None
    runner.loop.close()
    for _ in range(3):
        probe.beat()
        assert probe.take().lag == 0.0


def test_a_loop_that_closes_between_question_and_beat():
    """A loop that is closed just after it was asked whether it runs does no harm either."""

    class Late(asyncio.SelectorEventLoop):
        says_running = False

        def is_running(self):
            return self.says_running

    loop = Late()
    loop.close()
    loop.says_running = True
    probe = LoopProbe(loop, threading.get_ident())
    probe.beat()
    assert probe.take().lag == 0.0


def test_a_loop_that_was_stopped_for_a_while_is_not_slow():
    """Between two runs of a loop time passes that nobody waited for."""
    loop = asyncio.new_event_loop()
    try:
        probe = LoopProbe(loop, threading.get_ident())
        probe.beat()
        assert probe.take().lag == 0.0  # it does not run yet

        async def beat_and_leave():
            probe.beat()
            loop.stop()

        kept = loop.create_task(beat_and_leave())
        loop.run_forever()
        assert kept.done() and probe._sent is not None
        probe.take()
        time.sleep(0.3)
        probe.take()
        loop.run_until_complete(asyncio.sleep(0.01))
        assert probe.take().lag < 0.3
    finally:
        loop.close()


def test_an_ended_thread_has_no_load(runner, probe):
    """Asking for the processor time of a thread that is gone answers "unknown", at once and later."""
    probe.take()
    runner.stop()
    assert until(lambda: probe.take().busy is None)
    assert LoopProbe(runner.loop, runner.thread.ident).take().busy is None
