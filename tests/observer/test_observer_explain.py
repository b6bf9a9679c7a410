"""The deep look's other answers: allocation sites, sizes, types, lost references; and bursts."""

import asyncio
import ctypes
import gc
import json
import os
import subprocess
import sys
import time
import tracemalloc
import weakref

import pytest
from observer_host import explain, make_host, make_observer

from leakguard.observer import Burst, Question
from leakguard.observer import explain as explain_module
from leakguard.probes.requests import Sentinel

HOST = """
    class Pending:
        def __init__(self, body):
            self.body = body
            self.fields = body.split(",")

    class Proud:
        def __init__(self, number):
            self.rows = [str(number) * 100]
        def __sizeof__(self):
            raise RuntimeError("nobody asks me")
        def __len__(self):
            raise RuntimeError("nor me")

    SHARED = ["x" * 1_000_000]
    pending = {}
    proud = []
    sharing = []
    tuples = set()

    def ingest(number):
        body = f"{number}," * 200
        pending[number] = Pending(body)

    def other(number):
        proud.append(Proud(number))
        sharing.append({"shared": SHARED, "own": "y" * (1000 + number)})
        tuples.add((number, f"{number}"))

    class Linked:
        def __init__(self, number):
            self.body = str(number) * 1000
            self.around = busy

    linked = {}
    busy = {"tasks": []}

    def link(number):
        linked[number] = Linked(number)
        busy["tasks"] = [list(linked.values())]

    def lose(lost, number):
        value = f"lost {number}".encode() * 50
        lost(value)
"""


@pytest.fixture
def game(tmp_path):
    """A fresh host module; that of the test before is gone."""
    gc.collect()
    yield make_host(tmp_path, HOST)
    del sys.modules["game"]


@pytest.fixture
def burst():
    """A burst that is stopped in any case."""
    one = Burst()
    yield one
    one.stop()


def test_allocation_site_is_the_hosts_line(game, burst):
    """With a burst before the look, the site is the application's own line and function, and the frames name the caller."""
    observer = make_observer()
    assert burst.start(8), burst.why
    for number in range(50):
        game.ingest(number)
    (answer,) = explain(observer, [Question("container", key=id(game.pending))])
    assert (answer.site.file, answer.site.function) == ("game.py", "ingest")
    assert "pending[number] = Pending(body)" in HOST.splitlines()[answer.site.line - 1]
    assert any(frame.function == "test_allocation_site_is_the_hosts_line" for frame in answer.frames)
    assert (answer.holder, answer.type) == ("game.pending", "game.Pending")
    assert "str" in answer.also_types


def test_allocation_site_of_a_sets_elements(game, burst):
    """A set has no end where the newest would be: those that the burst saw allocated are found among thousands of others."""
    for number in range(5000):
        game.other(number)
    assert burst.start(8), burst.why
    for number in range(5000, 5030):
        game.other(number)
    (answer,) = explain(make_observer(), [Question("container", key=id(game.tuples))])
    assert (answer.site.file, answer.site.function) == ("game.py", "other")
    assert "tuples.add" in HOST.splitlines()[answer.site.line - 1]


def test_without_a_burst_there_is_no_site(game):
    """Nothing is invented: without a burst the site is unknown."""
    for number in range(50):
        game.ingest(number)
    (answer,) = explain(make_observer(), [Question("container", key=id(game.pending))])
    assert answer.site is None
    assert answer.frames == ()


def test_size_is_what_one_more_costs(game):
    """What all elements share is not part of the size of each."""
    for number in range(50):
        game.other(number)
    (answer,) = explain(make_observer(), [Question("container", key=id(game.sharing))])
    assert 1_000 < answer.bytes_each < 3_000
    assert answer.retained_bytes == 50 * answer.bytes_each
    assert "pympler" in answer.size_method


def test_size_of_an_element_that_leads_to_all_others(game):
    """An element from which a way leads to the others (a connection, a task at work on them all) has its own size alone."""
    for number in range(50):
        game.link(number)
    (answer,) = explain(make_observer(), [Question("container", key=id(game.linked))])
    assert answer.bytes_each is not None
    assert 1_000 < answer.bytes_each < 4_000


def test_walk_is_no_questions_own_time(game, monkeypatch):
    """The walk over all names serves every question: where it takes long, the first one still gets its share for the search."""
    sentinels = [Sentinel() for _ in range(3)]
    game.pending.update((number, {"scope": {"leakguard": one}}) for number, one in enumerate(sentinels))
    clock, walked = time.thread_time, 0.0

    class SlowWalk(explain_module.Walk):
        def run(self, roots):
            nonlocal walked
            done = super().run(roots)
            walked = 150.0
            return done

    monkeypatch.setattr(explain_module, "Walk", SlowWalk)
    monkeypatch.setattr(time, "thread_time", lambda: clock() + walked)
    question = Question("request", refs=tuple(map(weakref.ref, sentinels)))
    sentinels.clear()
    first, second = explain(make_observer(deadline=300.0), [question, question])
    assert (first.holder, second.holder) == ("game.pending", "game.pending")


def test_pympler_is_not_let_near_a_class_with_opinions(game):
    """Where a class would be asked for its size or length, builtin sizes are summed up, and the method says so."""
    for number in range(50):
        game.other(number)
    (answer,) = explain(make_observer(), [Question("container", key=id(game.proud))])
    assert 100 < answer.bytes_each < 2_000
    assert "shallow" in answer.size_method


def test_both_ways_of_sizing_agree(game):
    """The sum of shallow sizes is within a quarter of what pympler says."""
    from leakguard.observer import elements, sizes
    from leakguard.observer.forked import Copy

    for number in range(50):
        game.ingest(number)
        game.other(number)
    explain_module.prepare()

    def work():  # in a copy, for pympler keeps every class that it has met
        rows = []
        for container in (game.pending, game.sharing, game.tuples):
            newest = elements.newest(container)
            groups = sizes._reach(newest, (), time.monotonic() + 30)
            summed = [sum(sizes.shallow(value) for value in group) for group in groups]
            rows.append([sizes._median(sizes._pympler(newest, ())), sizes._median(summed)])
        return [json.dumps(rows).encode()]

    copy = Copy.begin(work, 60)
    while (answer := copy.poll()) is None:
        time.sleep(0.01)
    assert answer.why is None, answer.why
    for one, other in json.loads(answer.sections[0]):
        assert one == pytest.approx(other, rel=0.25)


def test_type_is_explained_by_its_newest_objects(game):
    """A question about a type finds the container that its objects are in."""
    for number in range(50):
        game.ingest(number)
    (answer,) = explain(make_observer(), [Question("type", name="game.Pending")])
    assert answer.holder == "game.pending"


def test_lost_reference_is_found_by_its_allocation(game, burst):
    """Blocks that nobody in Python refers to are named by the line that allocated them; held ones are not among them."""
    addresses = []

    def lose(value):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))
        addresses.append(id(value))

    assert burst.start(8), burst.why
    for number in range(100):
        game.lose(lose, number)
        game.ingest(number)
    observer = make_observer()
    answers = explain(observer, [Question("allocations", requests=100), Question("allocations", key=7, requests=100)])
    for address in addresses:
        ctypes.pythonapi.Py_DecRef(ctypes.cast(address, ctypes.py_object))
    answer = answers[0]
    assert (answer.holder, answer.site.function) == ("outside Python", "lose")
    assert answer.bytes_each > 250
    assert "100 blocks in 100 requests" in answer.note
    assert answers[1] is None


def test_look_does_not_touch_what_asyncio_keeps_for_later(game, burst):
    """Futures that asyncio keeps dead for later, and shows the collector, do not kill a look that asks everything."""

    async def wait_for(many):
        loop = asyncio.get_running_loop()
        for future in [loop.create_future() for _ in range(many)]:
            loop.call_soon(future.set_result, None)
            await future

    explain_module.prepare()
    assert burst.start(8), burst.why
    asyncio.run(wait_for(100))
    for number in range(100):
        game.ingest(number)
    (answer,) = explain(make_observer(), [Question("allocations", requests=100)])
    assert answer is None or answer.holder != "outside Python"


def test_what_is_gone_is_said_to_be_gone(game):
    """A container or a request that was freed before the look is no riddle."""
    answers = explain(make_observer(), [Question("container", key=12345), Question("request", refs=(lambda: None,))])
    assert [answer.note for answer in answers] == ["the container is gone", "the objects are gone"]


def test_burst_never_takes_a_tracer_from_its_owner(burst):
    """While the host itself traces, no burst begins, and none ends the host's."""
    tracemalloc.start(1)
    try:
        assert not burst.start()
        assert "tracemalloc is already on" in burst.why
        burst.stop()
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()
    assert burst.start()
    assert burst.active
    burst.stop()
    assert not tracemalloc.is_tracing()


@pytest.mark.skipif(sys.version_info < (3, 13), reason="the object tracer's single place is from 3.13 on")
def test_burst_never_takes_the_object_tracers_place(burst):
    """Since 3.13 tracemalloc would silently replace another tool's object tracer: no burst begins then."""
    nobody = ctypes.cast(
        ctypes.CDLL(None).getpid, ctypes.c_void_p
    )  # a C function outside the interpreter, and harmless
    ctypes.pythonapi.PyRefTracer_SetTracer.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    ctypes.pythonapi.PyRefTracer_SetTracer(nobody, None)
    try:
        assert not burst.start()
        assert "object tracer" in burst.why
    finally:
        ctypes.pythonapi.PyRefTracer_SetTracer(None, None)
    assert burst.start()


SERVER = """
    class Request:
        def __init__(self, scope):
            self.scope = scope

    class Cycle:
        __module__ = "uvicorn.protocols.http.h11_impl"
        def __init__(self, request):
            self.request = request

    connections = set()
    pending = []
"""


def test_last_request_of_an_idle_connection_is_the_weakest_explanation(tmp_path):
    """What a server keeps of idle connections explains nothing as long as one of the requests has another holder."""
    host = make_host(tmp_path, SERVER, "serving")

    def serve(keep):
        sentinel = Sentinel()
        keep(host.Request({"type": "http", "leakguard": sentinel}))
        return weakref.ref(sentinel)

    try:
        idle = tuple(serve(lambda request: host.connections.add(host.Cycle(request))) for _ in range(3))
        leaked = tuple(serve(host.pending.append) for _ in range(2))
        both = Question("request", refs=leaked + idle[:2])
        mixed, only = explain(make_observer(), [both, Question("request", refs=idle)])
        assert (mixed.holder, mixed.note) == ("serving.pending", None)
        assert only.note == "only a server's own objects hold it"
    finally:
        del sys.modules["serving"]


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_saturated_machine_does_not_keep_a_holder_from_being_named(game):
    """Last in the queue, the copy gets a hundredth of a core where others want all of each, and is given the time it needs."""
    for number in range(50):
        game.ingest(number)
    observer = make_observer(deadline=30.0)
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        assert observer.start_explain([Question("container", key=id(game.pending))])
        result = observer.wait(300)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    assert result is not None, observer.why
    assert result[0].holder == "game.pending"
