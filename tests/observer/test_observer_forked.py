"""What the copy must never do: each invariant of the forked look, kept by a test that fails without it."""

import cProfile
import gc
import mmap
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest
from observer_host import census, make_host, make_observer

from leakguard.observer import forked
from leakguard.observer.forked import Copy

HERE = Path(__file__).resolve().parent


def finish(copy, seconds=60):
    """Wait for a copy's answer."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answer = copy.poll()
        if answer is not None:
            return answer
        time.sleep(0.005)
    raise AssertionError("no answer")


def run(work, seconds=30.0):
    """Run ``work`` in a copy and return what it answered."""
    answer = finish(Copy.begin(work, seconds))
    assert answer.why is None, answer.why
    return answer.sections


@pytest.fixture
def shared():
    """Memory that the copy shares with us: the only way in which it could tell on itself."""
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        yield page


class Leaver:
    """An object that says goodbye on a shared socket when it is finalized, as a database connection does."""

    def __init__(self, sock):
        self.sock = sock

    def __del__(self):
        self.sock.send(b"goodbye")


def patient():
    """Work that keeps a copy alive until it is killed."""
    while True:
        signal.pause()


def test_client_gets_its_eof_while_a_copy_lives():
    """A client still gets its EOF while a copy lives: the copy closed the connection it had inherited."""
    client, server = socket.socketpair()
    copy = Copy.begin(patient, 60)
    try:
        server.close()
        client.settimeout(30)
        assert client.recv(1) == b""
        assert copy.poll() is None
    finally:
        copy.kill()
        client.close()


def test_only_the_answer_stays_open():
    """In the copy no descriptor is open but the one for its answer."""
    probe = os.open(os.devnull, os.O_RDONLY)
    try:
        (listed,) = run(lambda: [repr([fd for fd in range(4096) if is_open(fd)]).encode()])
    finally:
        os.close(probe)
    assert len(eval(listed)) == 1


def is_open(fd):
    """Tell whether a descriptor is open."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_no_finalizer_of_another_threads_locals_runs():
    """What another thread keeps in a threading.local is not finalized in the copy (os.fork() would)."""
    ours, theirs = socket.socketpair()
    ready, stop = threading.Event(), threading.Event()
    local = threading.local()

    def serve():
        local.connection = Leaver(ours)
        ready.set()
        stop.wait(60)
        ours.setblocking(False)
        del local.connection

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        ready.wait(30)
        assert run(lambda: [b"done"]) == (b"done",)
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(100)
        stop.set()
        thread.join(30)
        assert theirs.recv(100) == b"goodbye"  # the finalizer does work, in its own time
    finally:
        stop.set()
        thread.join(30)
        ours.close()
        theirs.close()


def test_no_finalizer_of_garbage_runs(shared):
    """Garbage that waits for the collector is not collected in the copy, even when a library asks for a collection."""

    class Garbage:
        def __init__(self):
            self.itself = self

        def __del__(self):
            if os.getpid() != host:
                shared[0] = 1

    host = os.getpid()
    threshold = gc.get_threshold()
    gc.collect()
    gc.disable()
    try:
        Garbage()
        gc.set_threshold(20_000)
        gc.enable()

        def work():
            gc.collect()  # as objgraph does before every search
            return [str(len([[] for _ in range(100_000)])).encode()]

        assert run(work) == (b"100000",)
        assert shared[0] == 0
    finally:
        gc.set_threshold(*threshold)
        gc.collect()


def test_at_fork_hooks_of_a_library_never_run():
    """A library that starts threads in its at-fork hook, before or after ours was imported, does not do so in the copy."""
    source = """
        import os, sys, threading, mmap
        page = mmap.mmap(-1, 4096)

        def hook():
            page[0] = 1
            threading.Thread(target=lambda: page.write_byte(1), daemon=True).start()

        def before():
            page[1] = 1

        os.register_at_fork(before=before, after_in_child=hook)
        sys.path[:0] = [{here!r}, {top!r}]
        from observer_host import census, make_observer
        os.register_at_fork(before=before, after_in_child=hook)
        census(make_observer(), 1)
        print(page[0], page[1])
    """
    source = textwrap.dedent(source).format(here=str(HERE), top=str(HERE.parent.parent))
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == ["0", "0"], done.stderr


HOSTILE = """
    class Meta(type):
        def __getattribute__(cls, name):
            told("Meta.__getattribute__")
            return super().__getattribute__(name)
        def __hash__(cls):
            told("Meta.__hash__")
            return super().__hash__()
        def __eq__(cls, other):
            told("Meta.__eq__")
            return super().__eq__(other)
        def __instancecheck__(cls, other):
            told("Meta.__instancecheck__")
            return False

    def tell(name):
        def method(self, *args):
            told(name)
            raise RuntimeError(name)
        return method

    class Properties(metaclass=Meta):
        __class__ = property(tell("__class__"))
        __module__ = property(tell("__module__"))
        maxsize = property(tell("maxsize"))
        capacity = property(tell("capacity"))
        _fields = property(tell("_fields"))

    class Hostile(Properties):
        def __init__(self):
            self.rows = list(range(10))

    class Container(dict, Properties):
        pass

    NAMES = ["__repr__", "__str__", "__len__", "__eq__", "__hash__", "__bool__", "__iter__", "__getattribute__",
             "__getattr__", "__sizeof__", "__contains__", "__getitem__", "__reversed__", "__dir__", "__format__",
             "keys", "items", "values", "get", "__call__", "__length_hint__", "__reduce_ex__", "__missing__"]
    instance = Hostile()
    container = Container((i, [i]) for i in range(20))
    kept = []
    mapping = {}

    def grow(n):
        for _ in range(n):
            kept.append(Hostile())
            mapping[len(mapping)] = Container({1: Hostile()})

    def arm():
        for kind in (Hostile, Container):
            for name in NAMES:
                type.__setattr__(kind, name, tell(name))
"""


def test_no_line_of_the_hosts_code_runs(tmp_path, shared):
    """A look at objects whose every method, property and metaclass tells on us runs none of them."""
    from observer_host import explain

    from leakguard.observer import Burst, Question

    host = os.getpid()

    def told(name):
        if os.getpid() != host:
            place = f"{name} {sys._getframe(2).f_code.co_filename}:{sys._getframe(2).f_lineno}".encode()[-1000:]
            shared[: len(place)] = place

    path = make_host(tmp_path, "def told(name): pass\n" + textwrap.dedent(HOSTILE), "hostile")
    observer, burst = make_observer(), Burst()
    try:
        path.grow(20)
        path.told = told
        path.arm()
        census(observer, 20)
        burst.start()
        list.extend(path.kept, [])
        for _ in range(30):
            path.kept.append(object.__new__(path.Hostile))
        seen = census(observer, 50, [id(path.kept), id(path.mapping)])
        burst.stop()
        assert {"hostile.kept", "hostile.mapping"} <= {container.path for container in seen.containers}
        answers = explain(
            observer, [Question("container", key=id(path.kept)), Question("container", key=id(path.mapping))]
        )
        assert [answer.holder for answer in answers] == ["hostile.kept", "hostile.mapping"]
        assert shared[:1000].rstrip(b"\0") == b""
    finally:
        burst.stop()
        observer.close()
        path.kept.clear()
        path.mapping.clear()
        del sys.modules["hostile"]


def test_no_trace_function_of_a_debugger_runs(shared):
    """A debugger or a coverage tool of the host is not called in the copy."""
    host = os.getpid()

    def tracer(frame, event, argument):
        if os.getpid() != host:
            shared[0] = 1
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        run(lambda: [str(sorted(range(3))).encode()])
    finally:
        sys.settrace(before)
    assert shared[0] == 0


def test_profiler_written_in_c_goes_on():
    """Under cProfile a look works, and the profile of the host goes on after it."""
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        run(lambda: [b"seen"])
        str.upper("after")
    finally:
        profiler.disable()
    assert any("upper" in str(entry.code) for entry in profiler.getstats())


def test_copy_is_last_in_the_queue():
    """The copy has the lowest priority, and is the first that the kernel's OOM killer takes."""

    def work():
        mark = Path("/proc/self/oom_score_adj").read_bytes()
        return [str(os.getpriority(os.PRIO_PROCESS, 0)).encode(), mark.strip()]

    assert run(work) == (b"19", b"1000")
    assert os.getpriority(os.PRIO_PROCESS, 0) < 19


def test_signals_of_the_host_do_nothing_in_the_copy():
    """A signal to the process group runs no handler of the host in the copy, and blocks nothing."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    caught = signal.signal(signal.SIGUSR1, lambda *_: None)
    woken = signal.set_wakeup_fd(writer)
    try:

        def work():
            status = Path("/proc/self/status").read_bytes()
            lines = dict(line.split(b":", 1) for line in status.splitlines())
            return [lines[b"SigCgt"].strip(), lines[b"SigBlk"].strip()]

        caught_mask, blocked = run(work)
        internal = 1 << 31 | 1 << 32  # signals 32 and 33 are the C library's own
        assert int(caught_mask, 16) & ~internal == 0
        assert int(blocked, 16) == 0
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()  # and the host's own mask is as it was
    finally:
        signal.set_wakeup_fd(woken)
        signal.signal(signal.SIGUSR1, caught)
        os.close(reader)
        os.close(writer)


def test_copy_past_its_deadline_is_killed():
    """A copy that hangs is killed at its deadline, counted, and backed off from."""
    copy = Copy.begin(patient, 0.2)
    pid = copy.pid
    answer = finish(copy)
    assert "deadline" in answer.why
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_copy_that_hangs_is_killed_at_once():
    """A copy that waits for a lock whose owner it does not have is seen to sleep, and is not waited for until its deadline."""
    locked = threading.Lock()
    locked.acquire()

    def work():
        locked.acquire()
        return [b""]

    began = time.monotonic()
    answer = finish(Copy.begin(work, 60))
    assert "hung" in answer.why
    assert time.monotonic() - began < 20


def test_copy_that_works_is_not_taken_for_one_that_hangs():
    """A copy that computes for longer than one that hangs is given answers, however seldom it has the processor."""

    def work():
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            pass
        return [b"done"]

    assert run(work) == (b"done",)


def test_copy_dies_by_itself_when_the_host_cannot_kill_it():
    """A copy whose host never comes back to it ends by its own alarm."""
    copy = Copy.begin(patient, 0.1)
    try:
        _, status = os.waitpid(copy.pid, 0)  # blocks until it is dead, and nobody killed it
        assert os.WTERMSIG(status) == signal.SIGALRM
    finally:
        copy.kill()


def test_copy_dies_with_its_host():
    """When the host is killed, so is its copy."""
    source = """
        import sys, time, signal
        sys.path[:0] = [{top!r}]
        from leakguard.observer.forked import Copy
        copy = Copy.begin(lambda: signal.pause(), 60)
        print(copy.pid, flush=True)
        time.sleep(60)
    """
    source = textwrap.dedent(source).format(top=str(HERE.parent.parent))
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as host:
        pid = int(host.stdout.readline())
        host.kill()
        host.wait()
    until = time.monotonic() + 30
    while time.monotonic() < until and is_alive(pid):
        time.sleep(0.01)
    assert not is_alive(pid)


def is_alive(pid):
    """Tell whether a process runs; one that is dead and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return False


def test_failure_in_the_copy_is_told_without_values():
    """What goes wrong in the copy is told by type and place; the message could hold a value and stays behind."""

    def work():
        raise KeyError("a customer's name")

    answer = finish(Copy.begin(work, 30))
    assert "KeyError at test_observer_forked.py:" in answer.why
    assert "customer" not in answer.why


def test_copy_that_crashes_is_told():
    """A copy that dies of a segmentation fault costs the look, and leaves no core file behind."""

    def work():
        os.kill(os.getpid(), signal.SIGSEGV)
        return [b""]

    assert "died without an answer" in finish(Copy.begin(work, 30)).why


def test_looks_leave_nothing_behind():
    """After looks, failed ones too, the host has as many descriptors and threads as before, and no child."""

    def wrong():
        raise ValueError

    finish(Copy.begin(wrong, 30))

    def held():
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), psutil.Process().children()

    before = held()
    for work in (lambda: [b"x" * 100_000], wrong):
        finish(Copy.begin(work, 30))
    killed = Copy.begin(patient, 30)
    killed.kill()
    killed.kill()
    assert held() == before


def test_look_survives_threads_that_fight_for_the_lock():
    """With threads that compute and others that wait for the interpreter lock, every copy answers."""
    stop = threading.Event()

    def compute():
        while not stop.is_set():
            sum(range(5_000))
            if threading.current_thread().name.endswith("0"):
                time.sleep(0.0005)

    threads = [threading.Thread(target=compute, name=f"compute-{number % 2}") for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(25):
            (answer,) = run(lambda: [str(sum(len(str(n)) for n in range(20_000))).encode()], 20)
            assert answer == b"88890"
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_look_survives_a_fork_longer_than_a_time_slice():
    """Threads that wait for the lock while a big process is copied ask for it; the copy must not obey, for nobody takes it."""
    filler = b"x" * (700 << 20)  # the kernel copies page tables for this long: two or three usual time slices
    stop = threading.Event()

    def wait_and_compute():
        while not stop.is_set():
            sum(range(500))
            time.sleep(0.0005)

    threads = [threading.Thread(target=wait_and_compute) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            copy = Copy.begin(lambda: [str(sum(len(str(n)) for n in range(20_000))).encode()], 10, len(filler))
            assert finish(copy).why is None
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_frozen_objects_are_seen(tmp_path):
    """While gc.freeze() is in force in the host, a census still sees frozen containers and the host stays frozen."""
    host = make_host(
        tmp_path, "class Store: pass\nstore = Store()\nstore.rows = [[n] for n in range(50)]", "frozen_host"
    )
    gc.freeze()
    observer = make_observer()
    try:
        seen = census(observer, 1, [id(host.store.rows)])
        assert [c.path for c in seen.containers if c.key == id(host.store.rows)] == ["frozen_host.store.rows"]
        assert seen.types["list"] > 50
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        observer.close()
        del sys.modules["frozen_host"]


def test_host_is_as_before_after_a_fork():
    """The fork changes nothing in the host: collector, switch interval, signal mask."""
    before = gc.isenabled(), sys.getswitchinterval(), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    run(lambda: [b""])
    assert (gc.isenabled(), sys.getswitchinterval(), signal.pthread_sigmask(signal.SIG_BLOCK, ())) == before


def test_answer_larger_than_any_pipe_arrives():
    """An answer of megabytes arrives whole, though the host only polls."""
    (answer,) = run(lambda: [b"0123456789" * 500_000])
    assert answer == b"0123456789" * 500_000


def test_child_reaped_by_somebody_else_is_no_failure():
    """A host that waits for any child may take ours; the answer is read all the same."""
    copy = Copy.begin(lambda: [b"answer"], 30)
    os.waitpid(-1, 0)
    assert finish(copy).sections == (b"answer",)


def test_no_fork_where_it_is_not_safe(monkeypatch):
    """On other platforms there is no forked look, and the reason is given."""
    assert forked.impossible() is None
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "darwin" in forked.impossible()
