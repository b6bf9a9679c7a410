"""Where tasks and threads hang, and the tasks that outlive their request."""

import asyncio
import contextvars
import gc
import inspect
import sys
import threading
import time
import weakref

import pytest

from leakguard.probes import tasks

REQUEST = contextvars.ContextVar("REQUEST")
OTHER = contextvars.ContextVar("OTHER")


def line_of(function, text):
    """The line of ``function`` in this file that holds ``text``."""
    lines, first = inspect.getsourcelines(function)
    return next(first + number for number, line in enumerate(lines) if text in line)


async def _leaf():
    await asyncio.sleep(3600)  # the leaf waits here


async def _numbers():
    while True:
        await asyncio.sleep(3600)  # the generator waits here
        yield 1


class Awaitable:
    def __await__(self):
        return _leaf().__await__()


class Iterator:
    """An awaitable of the host whose every method would give the probe away."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return None

    def __len__(self):
        raise AssertionError("asked")

    def __eq__(self, other):
        raise AssertionError("compared")

    __hash__ = None

    @property
    def __class__(self):
        raise AssertionError("asked")


async def _directly():
    await _leaf()


async def _through_an_object():
    await Awaitable()


async def _through_a_generator():
    async for _ in _numbers():
        pass


async def _through_anext():
    await anext(_numbers())


async def _through_a_task():
    await asyncio.ensure_future(_leaf())


async def _through_shield():
    await asyncio.shield(_leaf())  # shielded


async def _through_gather():
    await asyncio.gather(_leaf(), _leaf())  # gathered


async def _through_a_strange_awaitable():
    await Iterator()  # strange


async def _on_a_bare_future():
    await asyncio.get_running_loop().create_future()  # bare


WAITS = [
    (_directly, _leaf, "the leaf waits here"),
    (_through_an_object, _leaf, "the leaf waits here"),
    (_through_a_generator, _numbers, "the generator waits here"),
    (_through_anext, _numbers, "the generator waits here"),
    (_through_a_task, _leaf, "the leaf waits here"),
    (_through_shield, _through_shield, "# shielded"),
    (_through_gather, _through_gather, "# gathered"),
    (_through_a_strange_awaitable, _through_a_strange_awaitable, "# strange"),
    (_on_a_bare_future, _on_a_bare_future, "# bare"),
]


class Loop:
    """A loop that runs in a thread of its own, as in a server; the tests look at it from outside."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def start(self, function, *args, value=None):
        """A task of ``function`` that waits by now, in a context where ``REQUEST`` is ``value``."""

        async def begin():
            if value is not None:
                REQUEST.set(value)
            task = asyncio.create_task(function(*args))
            for _ in range(5):
                await asyncio.sleep(0)
            return task

        return self.run(begin())

    def close(self):
        async def cancel():
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await self.loop.shutdown_asyncgens()

        self.run(cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(60)
        self.loop.close()


@pytest.fixture
def loop():
    """A loop in a thread of its own, left without tasks."""
    loop = Loop()
    yield loop
    loop.close()


@pytest.mark.parametrize(("function", "place", "text"), WAITS, ids=lambda value: getattr(value, "__name__", None))
def test_where_a_task_waits(loop, function, place, text):
    """The innermost own line is named, through whatever the coroutines await each other by."""
    where = tasks.where_task(loop.start(function))
    assert (where.line, where.function) == (line_of(place, text), place.__name__)
    assert where.file.endswith("test_probes_tasks.py")


def test_where_a_task_runs(loop):
    """A task that computes instead of waiting is shown at the line of the plain function that it is in."""
    entered, released = threading.Event(), threading.Event()

    def compute():
        entered.set()
        released.wait(60)  # computes here

    async def handler():
        compute()

    started = []
    loop.loop.call_soon_threadsafe(lambda: started.append(loop.loop.create_task(handler())))
    assert entered.wait(30)
    where = None
    while where is None or where.line != line_of(compute, "# computes here"):  # the event is set one line before
        where = tasks.where_task(started[0])
    released.set()
    assert (where.line, where.function) == (line_of(compute, "# computes here"), "compute")


def test_where_a_finished_task_was_is_unknown(loop):
    """There is no place for a task that has ended."""

    async def nothing():
        pass

    assert tasks.where_task(loop.start(nothing)) is None


def test_a_foreign_task_does_no_harm():
    """What only looks like a task gives no place and no exception."""

    class Foreign:
        def get_coro(self):
            raise RuntimeError("not yours")

    assert tasks.where_task(Foreign()) is None
    assert tasks.task_context_value(Foreign(), REQUEST) is None


def test_looking_keeps_no_locals_alive(loop):
    """After a look at a waiting task its locals die with it: no frame was kept."""

    class Local:
        pass

    alive = []

    async def holds():
        local = Local()
        alive.append(weakref.ref(local))
        await _leaf()

    task = loop.start(holds)
    assert tasks.where_task(task) is not None
    assert alive[0]() is not None

    async def end(task):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    loop.run(end(task))
    del task
    gc.collect()
    assert alive[0]() is None


def test_where_a_thread_is():
    """A thread is shown at its innermost own line, and a thread that has ended nowhere."""
    entered, released = threading.Event(), threading.Event()

    def works():
        entered.set()
        released.wait(60)  # waits here

    thread = threading.Thread(target=works)
    thread.start()
    assert entered.wait(30)
    # The event is set one step before the wait begins.
    deadline = time.monotonic() + 30
    while (where := tasks.where_thread(thread.ident)).line != line_of(works, "# waits here"):
        assert time.monotonic() < deadline
    assert where.function == "works"
    released.set()
    thread.join()
    assert tasks.where_thread(thread.ident) is None


def test_all_tasks_are_those_of_one_loop_and_unfinished(loop):
    """Only the unfinished tasks of the loop that was asked about come back."""
    other = Loop()
    try:
        mine, foreign = loop.start(_leaf), other.start(_leaf)
        finished = loop.start(asyncio.sleep, 0)
        loop.run(asyncio.wait_for(finished, 30))
        found = tasks.all_tasks(loop.loop)
        assert any(task is mine for task in found)
        assert not any(task is foreign or task is finished for task in found)
    finally:
        other.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_all_tasks_has_eager_tasks(loop):
    """A task that was started eagerly is there in its first step already, and when it waits."""
    entered, released = threading.Event(), threading.Event()

    async def eager():
        entered.set()
        released.wait(60)
        await _leaf()

    loop.loop.call_soon_threadsafe(lambda: asyncio.eager_task_factory(loop.loop, eager()))
    assert entered.wait(30)
    (running,) = tasks.all_tasks(loop.loop)
    released.set()
    loop.run(asyncio.sleep(0))
    assert any(found is running for found in tasks.all_tasks(loop.loop))
    assert tasks.where_task(running).line == line_of(_leaf, "the leaf waits here")


def test_all_tasks_while_the_loop_makes_and_ends_tasks(loop):
    """From another thread, with the set of tasks changing all the time, nothing is missed and nothing raises."""
    waiting = {id(loop.start(_leaf)): None for _ in range(50)}
    stop = threading.Event()

    async def churn():
        while not stop.is_set():
            await asyncio.gather(*(asyncio.sleep(0) for _ in range(50)))

    churning = asyncio.run_coroutine_threadsafe(churn(), loop.loop)
    for _ in range(300):
        found = {id(task) for task in tasks.all_tasks(loop.loop)}
        assert waiting.keys() <= found
    stop.set()
    churning.result(60)


def test_a_tasks_context_is_its_own_and_not_its_callbacks(loop):
    """The value is that inside the task, even when a callback with another context hangs on it."""
    task = loop.start(_leaf, value="mine")

    def hang():
        REQUEST.set("another's")
        task.add_done_callback(lambda _: None)

    contextvars.Context().run(hang)
    assert tasks.task_context_value(task, REQUEST) == "mine"
    assert tasks.task_context_value(task, OTHER) is None


def ended(value):
    """The route of a request that has ended, as the guard would tell."""
    return value["route"] if value["ended"] else None


def test_tasks_that_outlive_their_request_are_found_and_gone_when_cancelled(loop):
    """Planted: tasks left behind by ended requests are counted by route and place; cured: nothing is found."""
    left = [loop.start(_directly, value={"route": "POST /a", "ended": True, "age": age}) for age in (3.0, 9.0)]
    left.append(loop.start(_on_a_bare_future, value={"route": "POST /b", "ended": True, "age": 1.0}))
    loop.start(_leaf, value={"route": "POST /a", "ended": False, "age": 0.0})
    loop.start(_leaf)

    found = tasks.surviving_tasks(loop.loop, REQUEST, ended, age=lambda value: value["age"])
    first, second = found
    assert (first.route, first.count, first.age, first.kind) == ("POST /a", 2, 9.0, "task")
    assert first.where.line == line_of(_leaf, "the leaf waits here")
    assert (second.route, second.count, second.where.function) == ("POST /b", 1, "_on_a_bare_future")

    async def cure():
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    loop.run(cure())
    assert tasks.surviving_tasks(loop.loop, REQUEST, ended) == ()


def test_beyond_the_limit_tasks_are_counted_without_their_place(loop):
    """The dear part is bounded, the count stays whole."""
    for _ in range(5):
        loop.start(_leaf, value={"route": "GET /", "ended": True})
    found = tasks.surviving_tasks(loop.loop, REQUEST, ended, limit=2)
    assert {(stuck.count, stuck.where is None) for stuck in found} == {(2, False), (3, True)}
