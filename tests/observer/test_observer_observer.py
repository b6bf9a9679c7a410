"""The observer in its owner's hands: refusals with a reason, headroom, slices, failures, a host that forks."""

import os
import signal
import sys
import time

import pytest
from observer_host import PLENTY, census, make_host, make_observer

from leakguard.observer import Question
from leakguard.observer import census as census_module
from leakguard.records import Census


def broken(*_):
    """Stands for whatever may go wrong in a copy."""
    raise ValueError("a value")


def endless(*_):
    """Stands for a lock that nobody in the copy will ever release."""
    while True:
        signal.pause()


def test_no_copy_without_headroom():
    """Where the copy might need more memory than is left, nothing is forked; the census is sliced and says so."""
    observer = make_observer(available=lambda: 300 << 20, rss=lambda: 280 << 20)
    seen = census(observer, 3)
    assert seen.how == "sliced"
    assert "300 MiB are left" in observer.why
    assert not observer.start_explain([Question("type", name="dict")])
    assert "300 MiB are left" in observer.why
    assert observer.looks == 1


def test_no_copy_when_the_headroom_is_unknown():
    """Unknown is not plenty."""
    observer = make_observer(available=lambda: None)
    assert census(observer, 0).how == "sliced"
    assert "not known" in observer.why


def test_sliced_census_finds_what_grows(tmp_path):
    """Without a copy, growing containers of the host's modules are still found, with path and bound, a little at a time."""
    host = make_host(tmp_path, "rows = []\nimport collections\nring = collections.deque(maxlen=90)", "sliced_host")
    observer = make_observer(available=lambda: 0)
    try:
        for number in range(60):
            if number == 20:
                first = census(observer, 20)
                assert not [c for c in first.containers if c.path.startswith("sliced_host")]
            host.rows.append(str(number))
            host.ring.append(number)
        seen = census(observer, 60)
        found = {c.path: (c.length, c.bound) for c in seen.containers if c.path.startswith("sliced_host")}
        assert found == {"sliced_host.rows": (60, None), "sliced_host.ring": (60, 90)}
        assert 0 < seen.stall <= observer.stalls
    finally:
        del sys.modules["sliced_host"]


def test_sliced_census_is_done_in_many_polls():
    """A sliced census never does everything at once."""
    observer = make_observer(available=lambda: 0)
    assert observer.start_census(1)
    polls = 0
    while observer.busy:
        observer.poll()
        polls += 1
    assert polls > 3


def test_one_look_at_a_time(monkeypatch):
    """While a look is under way a second one is refused, and polling does not wait for the first."""
    monkeypatch.setattr(census_module, "take", endless)
    observer = make_observer()
    assert observer.start_census(1)
    assert observer.busy
    assert observer.poll() is None
    assert not observer.start_census(2)
    assert not observer.start_explain([Question("type", name="dict")])
    assert observer.why == "a look is under way"
    observer.close()
    assert not observer.busy


def test_failed_look_is_counted_and_backed_off_from(monkeypatch):
    """After a failed look the next one waits; when a look succeeds again, all is as before."""
    observer = make_observer()
    with monkeypatch.context() as patch:
        patch.setattr(census_module, "take", broken)
        assert observer.start_census(1)
        assert observer.wait(60) is None
    assert observer.failed == 1
    assert "ValueError at test_observer_observer.py" in observer.why
    assert not observer.start_census(1)
    assert "waiting after 1 failed" in observer.why
    observer._not_before = time.monotonic()  # the pause is over
    assert isinstance(census(observer, 1), Census)
    assert not observer.busy


def test_hanging_look_is_killed(monkeypatch):
    """A copy that waits for a lock which nobody holds there is killed at the deadline, and the host goes on."""
    monkeypatch.setattr(census_module, "take", endless)
    observer = make_observer(deadline=0.03)  # and ten times as long by the clock
    assert observer.start_census(1)
    pid = observer._copy.pid
    assert observer.wait(60) is None
    assert observer.failed == 1
    assert "deadline" in observer.why
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_host_that_forks_leaves_the_look_to_the_parent(monkeypatch):
    """In a worker forked while a look was under way, the observer starts anew and leaves the parent's copy alone."""
    observer = make_observer()
    with monkeypatch.context() as patch:
        patch.setattr(census_module, "take", endless)
        assert observer.start_census(1)
    copy = observer._copy.pid
    worker = os.fork() if sys.version_info < (3, 12) else fork_quietly()
    if worker == 0:
        fine = observer.poll() is None and not observer.busy and observer.start_census(1) and observer.wait(60)
        os._exit(0 if fine else 1)
    _, status = os.waitpid(worker, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    os.kill(copy, 0)  # still there
    observer.close()


def fork_quietly():
    """Fork without the warning about threads: the child of this test does not use any."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def test_what_the_observer_keeps_is_bounded(monkeypatch):
    """From look to look only packed lengths are kept, the longest containers', and never more than the bound says."""
    from leakguard.observer import containers

    monkeypatch.setattr(containers, "MOST_KEPT", 50)
    observer = make_observer()
    longest = list(range(1_000_000))
    census(observer, 1)
    kept = observer._before.unpack()
    assert len(kept) == 50
    assert kept[id(longest)] == 1_000_000
    for _ in range(3):
        census(observer, 1)
    assert len(observer._before.keys) == 50 * 8


def test_growth_is_found_while_memory_is_plenty_again():
    """A look that had to be sliced and one that was forked speak of the same containers."""
    room = [0]
    observer = make_observer(available=lambda: room[0])
    first = census(observer, 1)
    room[0] = PLENTY
    second = census(observer, 2)
    assert (first.how, second.how) == ("sliced", "fork")
    observer.close()
