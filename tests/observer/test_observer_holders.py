"""Every kind of holder a web application can have is named, planted here as retained requests."""

import asyncio
import ctypes
import sys
import threading
import weakref

import pytest
from observer_host import explain, make_host, make_observer

from leakguard.observer import Question
from leakguard.probes.requests import Sentinel

HOST = """
    import collections, contextvars, functools, threading

    class Request:
        def __init__(self, scope):
            self.scope = scope

    class Store:
        kept = []                         # class attribute

        def __init__(self):
            self.rows = {}                # instance attribute

        @functools.lru_cache(maxsize=None)
        def of(self, request):            # lru_cache on a method
            return 1

    store = Store()
    pending = {}
    names = []
    errors = []
    callbacks = []
    watchers = []
    ring = collections.deque(maxlen=50)
    last = None
    CURRENT = contextvars.ContextVar("CURRENT")
    LOCAL = threading.local()

    @functools.lru_cache(maxsize=None)
    def lookup(request):
        return 1

    def make():
        seen = []
        def remember(request):
            seen.append(request)
        return remember

    remember = make()

    def fail(request):
        try:
            raise KeyError("missing")
        except KeyError as error:
            errors.append(error)

    def subscribe(request):
        callbacks.append(lambda: request)

    class Thing:
        pass

    THINGS = []

    def watch(request):
        thing = Thing()
        THINGS.append(thing)
        watchers.append(__import__("weakref").ref(thing, lambda _: request))

    async def wait_for_ever(request, event):
        await event.wait()

    def work(request, started, stop):
        started.set()
        stop.wait()
"""

EACH = 3


def keep_in(game, kind, event, cleanup):
    """Make one request and let it be held in the way that ``kind`` says; return a weak reference to its sentinel."""
    sentinel = Sentinel()
    request = game.Request({"type": "http", "leakguard": sentinel})
    number = len(game.pending)
    if kind == "dict":
        game.pending[number] = request
    elif kind == "list":
        game.names.append(request)
    elif kind == "deque":
        game.ring.append(request)
    elif kind == "attribute":
        game.last = request
    elif kind == "class":
        game.Store.kept.append(request)
    elif kind == "instance":
        game.store.rows[len(game.store.rows)] = request
    elif kind == "closure":
        game.remember(request)
    elif kind == "lru_cache":
        game.lookup(request)
    elif kind == "lru_cache on a method":
        game.store.of(request)
    elif kind == "contextvar":
        if game.CURRENT.get(None) is None:
            game.CURRENT.set([])
        game.CURRENT.get().append(request)
    elif kind == "thread-local":
        game.LOCAL.__dict__.setdefault("rows", []).append(request)
    elif kind == "exception":
        game.fail(request)
    elif kind == "callback":
        game.subscribe(request)
    elif kind == "weakref callback":
        game.watch(request)
    elif kind == "task":
        cleanup["tasks"].append(event.create_task(game.wait_for_ever(request, asyncio.Event())))
    elif kind == "thread":
        started, stop = threading.Event(), threading.Event()
        thread = threading.Thread(target=game.work, args=(request, started, stop))
        thread.start()
        started.wait(10)
        cleanup["threads"].append((thread.ident, stop))  # not the thread itself: it would be one holder more
    elif kind == "outside Python":
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(request))
        cleanup["references"].append(id(request))
    elif kind == "cycle":
        request.itself = request
    return weakref.ref(sentinel)


HOLDERS = {
    "dict": "game.pending",
    "list": "game.names",
    "deque": "game.ring",
    "attribute": "game.last",
    "class": "game.Store.kept",
    "instance": "game.store.rows",
    "closure": "game.remember.<closure>.seen",
    "lru_cache": "game.lookup.lru_cache",
    "lru_cache on a method": "game.Store.of.lru_cache",
    "contextvar": "context variable CURRENT",
    "thread-local": "game.LOCAL.rows",
    "exception": "game.errors",
    "callback": "game.callbacks",
    "weakref callback": "game.watchers",
    "task": "task game.wait_for_ever",
    "thread": "thread game.work",
    "outside Python": "outside Python",
    "cycle": None,
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What one deep look says about requests held in every way at once."""
    import gc

    game = make_host(tmp_path_factory.mktemp("host"), HOST)
    loop = asyncio.new_event_loop()
    cleanup = {"tasks": [], "threads": [], "references": []}
    gc.collect()
    gc.disable()  # the planted cycle must live until the look
    observer = make_observer()
    try:
        refs = {kind: tuple(keep_in(game, kind, loop, cleanup) for _ in range(EACH)) for kind in HOLDERS}
        loop.run_until_complete(asyncio.sleep(0))
        questions = [Question("request", refs=held) for held in refs.values()]
        tasks = cleanup.pop("tasks")
        tasks_held = weakref.WeakSet(tasks)
        tasks.clear()
        yield dict(zip(refs, explain(observer, questions), strict=True))
    finally:
        gc.enable()
        observer.close()
        for task in list(tasks_held):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        for ident, stop in cleanup["threads"]:
            thread = threading._active.get(ident)
            stop.set()
            thread.join(10)
        for address in cleanup["references"]:
            ctypes.pythonapi.Py_DecRef(ctypes.cast(address, ctypes.py_object))
        del sys.modules["game"]


@pytest.mark.parametrize("kind", HOLDERS)
def test_holder_is_named(answers, kind):
    """Whatever holds a request, the deep look names it by the application's own names."""
    answer = answers[kind]
    assert answer is not None
    assert answer.holder == HOLDERS[kind], answer


@pytest.mark.parametrize("kind", sorted(set(HOLDERS) - {"cycle", "outside Python"}))
def test_chain_leads_from_a_root_to_the_scope(answers, kind):
    """A chain begins at a root and ends at what was to be explained, one entry per object."""
    chain = answers[kind].chain
    assert chain[0].startswith(("module game", "task game.wait_for_ever", "thread game.work", "context"))
    assert any("game.Request" in entry or "function" in entry for entry in chain), chain
    assert "leakguard" not in " ".join(chain)


def test_cycle_is_garbage(answers):
    """An island that only refers to itself is garbage, not a leak; nothing else is called so."""
    assert [kind for kind, answer in answers.items() if answer.garbage] == ["cycle"]


@pytest.mark.parametrize("kind", ["dict", "list", "instance", "lru_cache", "closure"])
def test_element_is_the_request(answers, kind):
    """The type and the size are of what the container keeps, not of the container."""
    assert answers[kind].type == "game.Request"
    assert 100 < answers[kind].bytes_each < 5_000
    assert answers[kind].retained_bytes == EACH * answers[kind].bytes_each
