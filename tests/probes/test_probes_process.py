"""Process memory and vitals: true, cheap, and never in the way of the host's descriptors."""

import fcntl
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from leakguard.probes.process import ProcessProbe

MIB = 1024 * 1024

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the Linux proc filesystem")


def descriptors() -> set[str]:
    """The numbers of the open descriptors, those that the listing itself takes left out."""
    return {name for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")}  # noqa: PTH208


def in_child(act) -> str:
    """What ``act`` returns in a forked child."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = str(act())
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(write_end, answer.encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return answer


def in_fresh_process(code: str) -> str:
    """What ``code`` prints in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def probe():
    """A probe, given back after the test."""
    probe = ProcessProbe()
    yield probe
    probe.close()


def test_rss_agrees_with_psutil(probe):
    """The resident memory is the kernel's own figure."""
    assert probe.rss() == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)


def test_rss_follows_memory_up_and_down(probe):
    """Memory that is taken shows at once, and so does its return."""
    before = probe.rss()
    taken = bytearray(os.urandom(1) * (64 * MIB))
    high = probe.rss()
    del taken
    assert high - before > 60 * MIB
    assert high - probe.rss() > 60 * MIB


def test_two_descriptors_however_often_it_reads(probe):
    """The probe keeps two descriptors, closed at exec, and gives them back."""
    before = descriptors()
    for _ in range(500):
        probe.rss()
    probe.read(uss=True)
    kept = descriptors() - before
    assert len(kept) == 2
    assert all(fcntl.fcntl(int(each), fcntl.F_GETFD) & fcntl.FD_CLOEXEC for each in kept)
    probe.close()
    probe.close()
    assert descriptors() == before


def test_child_reads_its_own_memory(probe):
    """After a fork the child does not go on reading its parent's memory, and still keeps one descriptor."""
    before = len(descriptors())
    parent = probe.rss()

    def act():
        taken = bytearray(b"x" * (96 * MIB))
        own = probe.rss()
        return f"{own} {len(taken)} {len(descriptors())}"

    own, _, count = (int(word) for word in in_child(act).split())
    assert own - parent > 60 * MIB
    # The pipe's writing end is the child's, and its reading end it inherited.
    assert count == before + 1 + 2


def test_child_of_a_fork_in_the_middle_of_opening_still_reads(probe):
    """A lock that another thread held at the fork cannot stop the child's reading."""
    with probe._statm._opening:
        assert int(in_child(probe.rss)) > MIB


def test_host_that_closes_everything_loses_nothing():
    """A daemon that closes all descriptors, and uses ours again, keeps its own file, and the probe reads on."""
    answer = in_fresh_process("""
        import os, tempfile
        from leakguard.probes.process import ProcessProbe
        probe = ProcessProbe()
        before = probe.rss()
        ours = probe._statm._opened[1]
        os.closerange(3, 256)
        host = tempfile.TemporaryFile()
        assert host.fileno() == ours, "the number was meant to be used again"
        host.write(b"1 2 3"); host.flush()
        probe.close()
        after = probe.rss()
        host.seek(0)
        print(host.read().decode(), after > 1024 * 1024, probe._statm._opened[1] != ours)
    """)
    assert answer == "1 2 3 True True"


def test_host_file_under_our_number_is_not_closed_when_reading_fails():
    """When the number has become a pipe of the host, the probe opens anew and leaves the pipe alone."""
    answer = in_fresh_process("""
        import os
        from leakguard.probes.process import ProcessProbe
        probe = ProcessProbe()
        probe.rss()
        os.closerange(3, 256)
        read_end, write_end = os.pipe()
        size = probe.rss()
        os.write(write_end, b"still mine")
        print(os.read(read_end, 99).decode(), size > 1024 * 1024)
    """)
    assert answer == "still mine True"


def test_threads_that_open_at_once_share_one_descriptor(probe):
    """However many threads find the probe closed at the same moment, one descriptor comes of it."""
    before = descriptors()
    start = threading.Barrier(8)
    sizes = []

    def read():
        start.wait(30)
        sizes.append(probe.rss())

    for _ in range(20):
        probe.close()
        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(descriptors() - before) == 1
    assert len(sizes) == 160
    assert min(sizes) > MIB


def test_reading_sees_a_thread_and_a_descriptor_come_and_go():
    """Threads and descriptors are counted as they are, the probe's own listing not among them."""
    answer = in_fresh_process("""
        import os, threading, time
        from leakguard.probes.process import ProcessProbe
        probe = ProcessProbe()
        probe.rss()
        before = probe.read()
        ended = threading.Event()
        thread = threading.Thread(target=ended.wait, args=(60,))
        thread.start()
        with open(os.devnull):
            during = probe.read()
        ended.set()
        thread.join()
        deadline = time.monotonic() + 30  # the kernel lets go of a thread a little later than Python
        while (after := probe.read()).threads != before.threads and time.monotonic() < deadline:
            time.sleep(0.01)
        print(during.threads - before.threads, during.fds - before.fds, after.threads - before.threads, after.fds - before.fds)
    """)
    assert answer == "1 1 0 0"


def test_descriptors_are_those_that_are_open(probe):
    """The count is that of the open descriptors, the probe's own among them; the kernel may count one that is being opened."""
    probe.rss()
    probe.read()
    assert 0 <= probe.read().fds - len(descriptors()) <= 1


def test_reading_sees_blocks_heap_and_processor_time(probe):
    """Python's blocks, the C heap and the processor time rise with what uses them."""
    before = probe.read()
    small = [object() for _ in range(50_000)]
    large = [b"%d" % number * 10_000 for number in range(100)]
    deadline = time.monotonic() + 30
    while time.process_time() - before.cpu < 0.02 and time.monotonic() < deadline:
        pass
    after = probe.read()
    assert after.blocks - before.blocks >= len(small)
    assert after.cpu > before.cpu
    assert before.heap is not None and after.heap - before.heap >= sum(map(len, large)) * 0.9
    assert abs(after.at - time.time()) < 60


def test_uss_is_read_only_when_asked_and_tasks_pass_through(probe):
    """The dear figure is there on request only; what the probe cannot know comes from the caller."""
    cheap = probe.read()
    dear = probe.read(uss=True, tasks=7)
    assert (cheap.uss, cheap.tasks) == (None, None)
    assert dear.tasks == 7
    assert 0 < dear.uss <= dear.rss * 1.1


def test_a_reading_survives_a_process_without_free_descriptors():
    """At the descriptor limit the fields that need one are unknown, and memory is still read."""
    answer = in_fresh_process("""
        import os, psutil, resource, threading
        from leakguard.probes.process import ProcessProbe
        probe = ProcessProbe()
        probe.read(uss=True)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        while True:
            try:
                os.dup(0)
            except OSError:
                break
        reading = probe.read(uss=True)
        print(reading.rss > 1024 * 1024, reading.uss, reading.fds in {None, 64}, reading.threads, reading.blocks > 0)
    """)
    assert answer == "True None True 1 True"
