"""What goes wrong with files costs history, never a request and never somebody's data."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from journal_records import make_failure, make_finding, make_window, make_worker

from leakguard.errors import JournalError
from leakguard.journal import schema
from leakguard.journal.reading import read
from leakguard.journal.sqlite import MAX_WAITING, SqliteJournal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")

HERE = Path(__file__).parent


def _python(code: str, *arguments: object) -> subprocess.Popen[str]:
    head = f"import sys; sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent.parent)!r}]\n"
    head += (
        "from journal_records import *\nfrom leakguard.journal.sqlite import SqliteJournal\nfrom pathlib import Path\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", head + textwrap.dedent(code), *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("milliseconds", [3, 17, 60, 140])
def test_a_kill_in_the_middle_of_a_write_breaks_nothing(path, milliseconds):
    """After kill -9 every finished record is there, the file is whole, and the next worker goes on writing."""
    child = _python(
        """
        journal = SqliteJournal(Path(sys.argv[1]))
        journal.register(make_worker())
        print("begun", flush=True)
        for number in range(1_000_000):
            journal.window(make_window(number, count=1))
        """,
        path,
    )
    child.stdout.readline()
    time.sleep(milliseconds / 1000)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    journal = SqliteJournal(path)
    journal.register(make_worker())
    journal.window(make_window(0))
    journal.close()
    assert (journal.lost, journal.why) == (0, None)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    story = read(path)
    assert story.skipped == 0
    for each in story.workers:
        total = sum(route.count for window in each.windows for route in window.routes)
        assert not each.windows or total == each.windows[-1].requests


def test_a_kill_while_the_file_is_made_leaves_no_trap(path):
    """Whatever moment the first worker dies at, the next one gets a journal."""
    for milliseconds in range(0, 24, 3):
        each = path.with_name(f"{milliseconds}.sqlite3")
        child = _python(
            "print('go', flush=True); SqliteJournal(Path(sys.argv[1])).register(make_worker()); import time; time.sleep(9)",
            each,
        )
        child.stdout.readline()
        time.sleep(milliseconds / 1000)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        journal = SqliteJournal(each)
        journal.register(make_worker())
        journal.window(make_window(0))
        journal.close()
        assert (journal.lost, journal.why) == (0, None)
        assert read(each).windows == 1


@contextlib.contextmanager
def _tiny_disk(folder: Path, kibibytes: int):
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a tiny disk here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(disk: Path) -> Path:
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    return filler


def test_a_full_disk_costs_old_history_only(tmp_path):
    """On a full disk nothing raises, the newest windows replace the oldest, and with room again the journal goes on."""
    with _tiny_disk(tmp_path / "disk", 1024) as disk:
        path = disk / "journal.sqlite3"
        journal = SqliteJournal(path)
        journal.retry_seconds = 0.0
        journal.register(make_worker())
        journal.finding(make_finding())
        for number in range(20):
            journal.window(make_window(number))
        filler = _fill(disk)
        for number in range(20, 400):
            journal.window(make_window(number))
            assert len(journal._waiting) <= MAX_WAITING
        filler.unlink()
        journal.window(make_window(400))
        assert journal.why is None
        journal.close()
        story = read(path)
        assert story.workers[0].windows[-1].requests == 4010
        assert len(story.findings) == 1
        assert story.skipped == 0


def test_a_disk_that_is_full_from_the_start_costs_history_only(tmp_path):
    """No room even for an empty file: the worker lives, and the journal begins when there is room."""
    with _tiny_disk(tmp_path / "disk", 512) as disk:
        filler = _fill(disk)
        journal = SqliteJournal(disk / "journal.sqlite3")
        journal.retry_seconds = 0.0
        journal.register(make_worker())
        journal.window(make_window(0))
        for number in range(MAX_WAITING):
            journal.window(make_window(number))
        assert journal.why is not None
        assert journal.lost == 2  # only what no longer fits into the queue
        filler.unlink()
        journal.register(make_worker())
        assert journal.why is None
        journal.close()
        notes = [note.text for note in read(disk / "journal.sqlite3").notes]
        assert [note.partition(" (")[0] for note in notes] == ["3 entries of the journal were lost"]


def test_a_file_size_limit_costs_history_only(path):
    """Where the kernel refuses to let a file grow, nothing raises and nothing is killed; the reason is kept."""
    child = _python(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
        journal = SqliteJournal(Path(sys.argv[1]))
        journal.retry_seconds = 0.0
        journal.register(make_worker())
        for number in range(400):
            journal.window(make_window(number))
        journal.close()
        print(journal.lost, journal.why)
        """,
        path,
    )
    answer, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    lost, _, why = answer.strip().partition(" ")
    assert int(lost) > 0
    assert why != "None"
    assert read(path).windows > 10


def test_a_locked_file_costs_patience_then_history(path):
    """Records wait for a locked file, a bounded number of them, and arrive when it is free again."""
    journal = SqliteJournal(path)
    journal.register(make_worker())
    journal.retry_seconds = 0.0
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    journal.window(make_window(0))
    journal.failures([make_failure(2)])
    assert time.monotonic() - began < 10
    assert journal.why == "database is locked"
    assert journal.lost == 0
    other.execute("ROLLBACK")
    other.close()
    journal.failures([make_failure(3)])
    assert journal.why is None
    journal.close()
    story = read(path)
    assert story.windows == 1
    assert [failure.count for failure in story.failures] == [5]


def test_after_a_failure_the_file_is_left_in_peace_for_a_while(path):
    """A stubborn file costs one attempt per pause, not one per record; what waits too long is lost, and counted."""
    journal = SqliteJournal(path)
    journal.register(make_worker())
    journal.retry_seconds = 3600.0
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    for number in range(MAX_WAITING + 10):
        journal.window(make_window(number))
    assert time.monotonic() - began < (MAX_WAITING + 10) * schema.BUSY_SECONDS / 2
    assert journal.lost == 10
    other.execute("ROLLBACK")
    other.close()
    journal.close()  # the last chance is taken at once
    story = read(path)
    assert sum(route.count for window in story.workers[0].windows for route in window.routes) == 10 * MAX_WAITING


def _damage(path: Path) -> bytes:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    for offset in range(4096, len(data)):
        data[offset] = 0xA5
    path.write_bytes(data)
    return bytes(data)


def test_a_corrupt_journal_is_set_aside_whole_and_a_new_one_begun(path):
    """Nothing is destroyed: the broken file keeps its bytes under a new name, the new journal tells, the worker goes on."""
    first = SqliteJournal(path)
    first.register(make_worker())
    for number in range(200):
        first.window(make_window(number))
    first.close()
    data = _damage(path)
    with pytest.raises(JournalError, match=r"cannot be read"):
        read(path)
    journal = SqliteJournal(path)
    journal.register(make_worker())
    journal.window(make_window(0))
    journal.close()
    assert (journal.lost, journal.why) == (0, None)
    (aside,) = [each for each in path.parent.iterdir() if "corrupt" in each.name]
    assert aside.read_bytes() == data
    story = read(path)
    assert story.windows == 1
    assert [aside.name in note.text for note in story.notes] == [True]


def test_a_journal_cut_short_is_set_aside(path):
    """A file whose end is missing is recognised as ours and treated as corrupt."""
    first = SqliteJournal(path)
    first.register(make_worker())
    for number in range(200):
        first.window(make_window(number))
    first.close()
    path.write_bytes(path.read_bytes()[:9000])
    journal = SqliteJournal(path)
    journal.register(make_worker())
    journal.close()
    assert journal.why is None
    assert len(read(path).workers) == 1


def test_of_several_workers_only_one_sets_a_corrupt_journal_aside(path):
    """Workers that stumble over the same broken file end up in the same new one."""
    first = SqliteJournal(path)
    first.register(make_worker())
    first.close()
    _damage(path)
    journals = [SqliteJournal(path) for _ in range(3)]
    for journal in journals:
        journal.register(make_worker())
    for journal in journals:
        journal.close()
    assert len([each for each in path.parent.iterdir() if "corrupt" in each.name]) == 1
    assert len(read(path).workers) == 3


@pytest.mark.parametrize("kind", ["text", "tiny", "database", "folder", "garbage"])
def test_a_foreign_file_is_never_touched(path, kind):
    """Whatever lies at the path and is not ours keeps every byte; writer and reader say so, and nothing raises."""
    path.parent.mkdir()
    if kind == "folder":
        path.mkdir()
    elif kind == "database":
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE precious (thing)")
            connection.commit()
    else:
        path.write_bytes({"text": b"dear diary, " * 400, "tiny": b"x", "garbage": bytes(range(256)) * 64}[kind])
    before = None if kind == "folder" else path.read_bytes()
    journal = SqliteJournal(path)
    journal.register(make_worker())
    journal.window(make_window(0))
    assert "is not" in journal.why or "another program" in journal.why or "left alone" in journal.why
    journal.close()
    assert journal.lost == 2
    with pytest.raises(JournalError, match=r"left alone|is not a file"):
        read(path)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert before is None or path.read_bytes() == before


def test_an_unwritable_folder_costs_history_only(tmp_path):
    """A folder that cannot be made or written is reported in words."""
    file = tmp_path / "file"
    file.write_text("")
    journal = SqliteJournal(file / "below" / "journal.sqlite3")
    journal.register(make_worker())
    journal.close()
    assert journal.lost == 1
    assert journal.why is not None
    if os.geteuid() == 0:
        return  # root writes everywhere
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    journal = SqliteJournal(closed / "journal.sqlite3")
    journal.register(make_worker())
    journal.close()
    assert journal.why == "permission denied"


@pytest.mark.parametrize("gone", ["deleted", "moved", "deleted with its side files"])
def test_a_journal_that_disappears_is_begun_anew(path, gone):
    """Somebody tidies up under a running worker: it opens a new file and introduces itself again."""
    journal = SqliteJournal(path)
    worker = make_worker()
    journal.register(worker)
    journal.ready(5.0)
    journal.window(make_window(0))
    if gone == "moved":
        path.rename(path.with_name("backup"))
    else:
        for each in list(path.parent.iterdir()):
            if each == path or gone.endswith("files"):
                each.unlink()
    journal.window(make_window(1))
    journal.close()
    assert (journal.lost, journal.why) == (0, None)
    (told,) = read(path).workers
    assert (told.worker, told.ready) == (worker, 5.0)
    assert told.windows[-1].requests == 20


def test_a_read_only_folder_is_read_all_the_same(path):
    """A journal copied to where nothing can be written (an evidence folder) can still be read."""
    journal = SqliteJournal(path)
    journal.register(make_worker())
    journal.finding(make_finding())
    journal.close()
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        assert len(read(path).findings) == 1
    finally:
        path.parent.chmod(0o700)


def test_a_missing_and_an_empty_journal_are_told_apart(path):
    """The reader says which it is, and creates neither."""
    with pytest.raises(JournalError, match="there is no journal"):
        read(path)
    assert not path.parent.exists()
    path.parent.mkdir()
    path.touch()
    with pytest.raises(JournalError, match="is empty"):
        read(path)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_never_uses_its_parents_journal(path):
    """After a fork the child opens its own connection, and neither loses a record to the other."""
    journal = SqliteJournal(path)
    journal.register(make_worker())
    journal.window(make_window(0))
    pid = os.fork()
    if pid == 0:
        try:
            assert journal._connection is None
            journal.window(make_window(1))  # the parent's worker is not ours to speak for
            assert journal.lost == 1
            journal.register(make_worker())
            for number in range(50):
                journal.window(make_window(number))
            journal.close()
            os._exit(0 if (journal.lost, journal.why) == (1, None) else 1)
        except BaseException:
            os._exit(2)
    for number in range(1, 50):
        journal.window(make_window(number))
    _, status = os.waitpid(pid, 0)
    journal.close()
    assert os.waitstatus_to_exitcode(status) == 0
    assert journal.lost == 0
    assert [len(each.windows) for each in read(path).workers] == [50, 50]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_in_the_middle_of_a_write_gives_the_childs_journal_up(path, monkeypatch):
    """When the parent is writing at that very moment, the child does without, says why, and the parent is unharmed."""
    from leakguard.journal import forks

    monkeypatch.setattr(forks, "LOCK_SECONDS", 0.01)
    journal = SqliteJournal(path)
    journal.register(make_worker())
    with journal._lock:
        journal._connection.execute("BEGIN IMMEDIATE")
        pid = os.fork()
        if pid == 0:
            journal.register(make_worker())
            os._exit(0 if journal.lost == 1 and "forked" in journal.why else 1)
        _, status = os.waitpid(pid, 0)
        journal._connection.execute("COMMIT")
    journal.window(make_window(0))
    journal.close()
    assert os.waitstatus_to_exitcode(status) == 0
    assert (journal.lost, journal.why) == (0, None)
    assert read(path).windows == 1
