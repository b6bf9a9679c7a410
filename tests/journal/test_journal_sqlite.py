"""The journal writes and reads what workers saw."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import sqlite3
import stat
import sys
import time

import pytest
from journal_records import make_failure, make_finding, make_recycle, make_window, make_worker

from leakguard.errors import JournalError
from leakguard.journal import NullJournal, open_journal, schema
from leakguard.journal.reading import read
from leakguard.journal.sqlite import SqliteJournal
from leakguard.records import Cost, Relief, Status

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")


def test_everything_written_is_read_back(path):
    """What a worker writes comes back equal, put together as one story."""
    journal = open_journal(path)
    worker = make_worker(ceiling=400 << 20)
    journal.register(worker)
    journal.ready(worker.started + 1)
    windows = [make_window(number) for number in range(5)]
    for window in windows:
        journal.window(window)
    finding = make_finding()
    journal.finding(finding)
    journal.failures([make_failure(3)])
    journal.failures([make_failure(4)])
    relief = Relief(1.0, 10, 5, 1, 2, True)
    journal.relief(relief)
    journal.recycle(make_recycle(time.time()))
    journal.note("hello")
    journal.cost(Cost(hot_path_us=1.5))
    journal.close()
    assert (journal.lost, journal.why) == (0, None)

    story = read(path)
    (told,) = story.workers
    assert told.worker == worker
    assert [dataclasses.replace(w, routes=()) for w in told.windows] == [
        dataclasses.replace(w, routes=()) for w in windows
    ]
    assert told.windows[-1] == windows[-1]  # with its routes apart; those of the others are added up:
    assert told.windows[0].routes == (dataclasses.replace(windows[0].routes[0], route="(all)"),)
    assert [(each.route, each.count, each.errors) for each in story.routes] == [("GET /a", 50, 5)]
    assert told.ready == worker.started + 1
    assert told.cost == Cost(hot_path_us=1.5)
    assert story.findings == (finding,)
    assert [failure.count for failure in story.failures] == [7]
    assert story.reliefs == (relief,)
    assert [recycle.reason for recycle in story.recycles] == ["RSS above the ceiling"]
    assert [note.text for note in story.notes] == ["hello"]
    assert story.skipped == 0


def test_no_journal_remembers_nothing():
    """``journal='off'`` gives a journal that takes everything and keeps nothing."""
    journal = open_journal(None)
    assert isinstance(journal, NullJournal)
    journal.register(make_worker())
    journal.window(make_window())
    journal.close()
    assert journal.recall() == ()


@posix
def test_only_the_owner_can_read_it(path):
    """File and folder are closed to everybody else, whatever the umask, and so are SQLite's side files."""
    before = os.umask(0)
    try:
        journal = SqliteJournal(path)
        journal.register(make_worker())
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
        folder = stat.S_IMODE(path.parent.stat().st_mode)
    finally:
        os.umask(before)
    journal.close()
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3
    assert folder == 0o700


def test_nothing_is_touched_before_the_first_record(path):
    """Making a journal opens no file: that is for the worker's own thread, after the fork."""
    SqliteJournal(path)
    assert not path.parent.exists()


def test_records_before_registration_are_counted_as_lost(path):
    """A record that belongs to no worker is lost, and said so."""
    journal = SqliteJournal(path)
    journal.window(make_window())
    assert journal.lost == 1
    assert journal.why == "no worker has registered"


def test_a_foreign_object_is_refused_without_raising(path):
    """What is not a record never gets into the file, and the caller never hears of it."""
    journal = SqliteJournal(path)
    journal.register(make_worker())
    journal.finding(make_finding(reasons=(object(),)))
    assert journal.lost == 1
    journal.window(make_window())
    journal.close()
    assert read(path).windows == 1


def test_a_confirmed_finding_is_recalled_by_the_next_worker(path):
    """What one worker found out, its successor knows; suspicions are each worker's own."""
    first = SqliteJournal(path)
    first.register(make_worker())
    first.finding(make_finding("aa"))
    first.finding(make_finding("bb", status=Status.SUSPECT))
    first.close()
    second = SqliteJournal(path)
    assert [finding.fingerprint for finding in second.recall()] == ["aa"]
    second.close()
    assert SqliteJournal(path.with_name("none")).recall() == ()


def _write_many(path, windows):
    journal = SqliteJournal(path)
    journal.register(make_worker())
    for number in range(windows):
        journal.window(make_window(number))
        journal.failures([make_failure()])
    while journal.why is not None:  # four busy writers: the last entries may still wait for their turn
        time.sleep(0.05)
        journal.retry_seconds = 0.05
        journal.note("again")
    journal.close()
    os._exit(0 if journal.lost == 0 else 1)


@posix
def test_workers_write_at_once_and_a_reader_reads_meanwhile(path):
    """Four processes lose nothing to each other, and every look in between is consistent."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_many, args=(path, 60)) for _ in range(4)]
    for worker in workers:
        worker.start()
    looks = 0
    while any(worker.is_alive() for worker in workers):
        try:
            story = read(path)
        except JournalError as error:
            assert "no journal" in str(error) or "empty" in str(error) or "locked" in str(error)
            continue
        looks += 1
        for each in story.workers:
            assert [window.requests for window in each.windows] == [10 * (n + 1) for n in range(len(each.windows))]
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    story = read(path)
    assert looks > 0
    assert [len(each.windows) for each in story.workers] == [60] * 4
    assert [failure.count for failure in story.failures] == [240]


def test_reading_leaves_the_folder_as_it_was(path):
    """A reader changes nothing: no new files, no other bytes."""
    journal = SqliteJournal(path)
    journal.register(make_worker())
    journal.close()
    before = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    read(path)
    assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == before


def test_since_leaves_older_things_out(path):
    """``since`` keeps what happened later, and a finding seen before it is not new."""
    journal = SqliteJournal(path)
    journal.register(make_worker())
    for number in range(10):
        journal.window(make_window(number))
    journal.finding(make_finding("old"))
    moment = time.time()
    journal.finding(make_finding("old", retained_bytes=2000))
    journal.finding(make_finding("young"))
    journal.close()
    story = read(path, since=1050.0)
    assert [window.closed for window in story.workers[0].windows] == [1050.0, 1060.0, 1070.0, 1080.0, 1090.0, 1100.0]
    story = read(path, since=moment)
    assert {finding.fingerprint: finding.new for finding in story.findings} == {"old": False, "young": True}


def test_a_newer_journal_is_read_as_newer_not_as_broken(path):
    """A journal of a later version is refused by its name and left alone."""
    journal = SqliteJournal(path)
    journal.register(make_worker())
    journal.close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    with pytest.raises(JournalError, match="newer leakguard"):
        read(path)
    journal.window(make_window())
    assert "newer leakguard" in journal.why


@pytest.mark.parametrize(("seconds", "gap"), [(0.25, 250.0), (None, None)])
def test_the_gap_of_a_recycle_comes_from_its_successor(path, seconds, gap):
    """With one worker the gap lasts until its successor is ready; without a successor it is not known."""
    now = time.time()
    old = SqliteJournal(path)
    old.register(make_worker(pid=10, started=now - 100, parent=5))
    old.ready(now - 99)
    old.recycle(make_recycle(now, pid=10))
    old.close()
    if seconds is not None:
        new = SqliteJournal(path)
        new.register(make_worker(pid=11, started=now + 0.1, parent=5))
        new.ready(now + seconds)
        new.close()
    (recycle,) = read(path).recycles
    assert recycle.gap_ms == (None if gap is None else pytest.approx(gap, abs=1))


def test_there_is_no_gap_while_a_sibling_serves(path):
    """With two workers somebody always answers: the gap is zero, though the successor needs its time."""
    now = time.time()
    for pid, ready in ((10, now - 99), (12, now - 98), (11, now + 3)):
        journal = SqliteJournal(path)
        journal.register(make_worker(pid=pid, started=ready - 1, parent=5))
        journal.ready(ready)
        if pid == 10:
            journal.recycle(make_recycle(now - 0.1, pid=10))
        journal.close()
    (recycle,) = read(path).recycles
    assert recycle.gap_ms == 0


def test_a_finding_of_an_earlier_run_is_not_new(path):
    """After a restart of the server the known leak is still there, not new; one that two siblings find is new."""
    now = time.time()
    earlier, first, second = SqliteJournal(path), SqliteJournal(path), SqliteJournal(path)
    earlier.register(make_worker(started=now - 500, parent=5))
    earlier.finding(make_finding("aa", retained_bytes=70))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE finding SET first = first - 400, last = last - 400")
    connection.commit()
    connection.close()
    for journal in (first, second):
        journal.register(make_worker(started=now - 20, parent=6))
        journal.finding(make_finding("aa", retained_bytes=50))
        journal.finding(make_finding("bb"))
    for journal in (earlier, first, second):
        journal.close()
    story = read(path)
    assert {finding.fingerprint: finding.new for finding in story.findings} == {"aa": False, "bb": True}
    assert story.found_by == {"aa": 3, "bb": 2}
    assert story.findings[1].retained_bytes == 70 or story.findings[0].retained_bytes == 70


def test_a_finding_in_a_hurry_gives_way_to_the_explained_one(path):
    """What one worker wrote without a holder is not told beside what another found out about the same leak."""
    hurried = make_finding(fingerprint="aaaa", holder=None, site=None, chain=())
    explained = make_finding(fingerprint="bbbb")
    journal = SqliteJournal(path)
    journal.register(make_worker())
    journal.finding(hurried)
    journal.finding(explained)
    journal.finding(dataclasses.replace(hurried, fingerprint="cccc", route="GET /else"))
    journal.close()
    assert {f.fingerprint for f in read(path).findings} == {"bbbb", "cccc"}


def test_a_withdrawn_finding_is_gone_for_its_worker_only(path):
    """What a worker takes back is gone; what another worker still sees stays."""
    first, second = SqliteJournal(path), SqliteJournal(path)
    first.register(make_worker())
    second.register(dataclasses.replace(make_worker(), boot="another", pid=2))
    for journal in (first, second):
        journal.finding(make_finding(fingerprint="aaaa"))
    first.finding(make_finding(fingerprint="bbbb", holder="app.cache"))
    first.withdraw("aaaa")
    first.withdraw("bbbb")
    first.withdraw("never told")
    first.close()
    second.close()
    assert [f.fingerprint for f in read(path).findings] == ["aaaa"]


def test_what_one_worker_leaves_open_another_fills_in(path):
    """A confirmed finding without line or route gets them from the suspect that knows them, and stays confirmed."""
    first, second = SqliteJournal(path), SqliteJournal(path)
    first.register(make_worker())
    second.register(dataclasses.replace(make_worker(), boot="another", pid=2))
    first.finding(make_finding(fingerprint="aaaa", site=None, route=None))
    second.finding(make_finding(fingerprint="aaaa", status=Status.SUSPECT, type="Submission"))
    first.close()
    second.close()
    (finding,) = read(path).findings
    assert finding.status is Status.CONFIRMED
    assert (finding.route, str(finding.site), finding.type) == ("POST /telemetry", "game.py:88", "Submission")
