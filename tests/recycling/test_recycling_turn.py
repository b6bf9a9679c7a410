"""How the workers of one server see each other."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leakguard.recycling import turn
from leakguard.recycling.turn import Group

SIBLING = """
import sys, time
from pathlib import Path
from leakguard.recycling.turn import Group
group = Group(Path(sys.argv[1]))
for word in sys.argv[2:]:
    print(word, getattr(group, word)(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def directory(tmp_path):
    """The directory of one group, under one that only this user may enter."""
    return tmp_path / "leakguard" / "1-1"


@pytest.fixture
def sibling(directory):
    """Start other workers of the group; they say what each method returned and stay until the test ends."""
    started = []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-c", SIBLING, str(directory), *words], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        answers = [process.stdout.readline().split()[1] for _ in words]
        return process, answers

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def group(directory):
    """This process as a worker of the group."""
    group = Group(directory)
    yield group
    group.close()


def test_only_living_workers_that_said_so_serve(group, sibling):
    """A worker counts from its announcement to its death, also by SIGKILL, and leaves nothing behind."""
    assert group.serving() == frozenset()
    group.announce()
    other, _ = sibling("announce")
    sibling("take_turn")
    assert group.serving() == {group.pid, other.pid}
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert group.serving() == {group.pid}
    assert not (group.directory / f"ready-{other.pid}").exists()


def test_one_has_the_turn_until_it_dies(group, sibling):
    """Two workers never have the turn at once, and a dead worker's turn is free."""
    other, answers = sibling("take_turn")
    assert answers == ["True"]
    assert not group.take_turn()
    other.kill()
    other.wait()
    assert group.take_turn()
    assert sibling("take_turn")[1] == ["False"]
    group.give_turn()
    assert sibling("take_turn")[1] == ["True"]


def test_a_forked_child_does_not_hold_its_parents_locks(group, directory):
    """A child that the app forks does not keep the turn after the worker that had it is gone."""
    read, write = os.pipe()
    worker = os.fork()
    if worker == 0:
        mine = Group(directory)
        mine.announce()
        mine.take_turn()
        if os.fork() == 0:
            time.sleep(60)
        else:
            os.write(write, b"x")
            time.sleep(60)
        os._exit(0)
    os.close(write)
    os.read(read, 1)
    os.close(read)
    children = subprocess.run(["ps", "--ppid", str(worker), "-o", "pid="], capture_output=True, text=True).stdout
    assert not group.take_turn()
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    try:
        assert Path(f"/proc/{children.strip()}").exists()
        assert group.take_turn()
        assert group.serving() == frozenset()
    finally:
        os.kill(int(children), signal.SIGKILL)


def test_the_history_outlives_the_worker(group, directory):
    """The daily cap counts the recycles of all workers, whoever is gone, and forgets those older than a day."""
    now = time.time()
    group.remember(now - turn.DAY - 5)
    group.remember(now - 100)
    group.remember(now - 7)
    group.close()
    count, since = Group(directory).recent(now)
    assert count == 2
    assert since == pytest.approx(7, abs=0.01)


def test_the_history_is_bounded(group):
    """A year of recycling leaves one small file."""
    (group.directory / "recycles").write_text("1.0\n" * 100_000 + "not a number\n")
    group.remember(2.0)
    assert len(group.history()) == turn.MOST_RECYCLES + 1
    assert sorted(path.name for path in group.directory.iterdir()) == ["recycles"]


def test_groups_of_servers_that_are_gone_are_removed(tmp_path):
    """The directory does not grow: what a dead server left is removed, a living one's is kept."""
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    dead = subprocess.Popen(["sleep", "0"])
    dead.wait()
    gone = Group(turn.base(environment) / f"{dead.pid}-{turn.started(os.getpid())}")
    gone.announce()
    reused = Group(turn.base(environment) / f"{os.getpid()}-1")
    living = Group(turn.base(environment) / f"{os.getpid()}-{turn.started(os.getpid())}")
    mine = Group.of_parent(environment)
    assert mine.directory.name == f"{os.getppid()}-{turn.started(os.getppid())}"
    assert not gone.directory.exists()
    assert not reused.directory.exists()
    assert living.directory.exists()
    assert mine.directory.exists()


def test_another_users_directory_is_not_used(tmp_path):
    """A directory that others may write to is refused: whoever made it could plant files."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(PermissionError, match="mode 0700"):
        Group(tmp_path / "open" / "1-1")
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(PermissionError):
        Group(tmp_path / "link" / "1-1")


def test_files_are_this_users_only(group):
    """Nobody else on the host can read or hold these files."""
    group.announce()
    group.take_turn()
    for path in (group.directory, *group.directory.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_what_a_cleaner_removed_comes_back(group, sibling):
    """A worker is seen again after a cleaner of temporary directories removed its files."""
    group.announce()
    for path in group.directory.iterdir():
        path.unlink()
    group.directory.rmdir()
    group.keep()
    assert group.serving() == {group.pid}
    _, answers = sibling("serving")
    assert str(group.pid) in answers[0]


def test_a_call_whose_caller_died_is_owed(group, sibling):
    """A worker too many is noticed exactly when the worker that asked for it is gone."""
    other, _ = sibling("announce", "owe")
    group.announce()
    assert not group.is_owed()
    assert group.is_oldest()
    other.kill()
    other.wait()
    assert group.is_owed()
    group.settle()
    assert not group.is_owed()


def test_the_later_worker_is_not_the_oldest(group, sibling):
    """The oldest is the one that the server would take back first."""
    group.announce()
    assert sibling("announce", "is_oldest")[1][1] == "False"
