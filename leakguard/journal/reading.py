"""Reads a journal while workers write it: one read transaction, no lock that a writer would wait for, nothing changed."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import sqlite3
import typing
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from leakguard.errors import JournalError
from leakguard.journal import files
from leakguard.journal.part import Part
from leakguard.journal.story import (
    FoundBy,
    Note,
    Story,
    WorkerStory,
    fill_gap,
    merge_failures,
    merge_findings,
    run_began,
)
from leakguard.journal.windows import Windows
from leakguard.records import Cost, Failure, Finding, Recycle, Relief, Worker, decode

READ_SECONDS = 2.0  # a reader may wait a little for a checkpoint; only a writer must be quick

_Record = typing.TypeVar("_Record")


Tell = typing.Callable[[int, int], None]
"""Told how many windows of how many are read."""

TELL_EVERY = 100


def read(path: Path, since: float | None = None, *, part: Part | None = None, tell: Tell | None = None) -> Story:
    """Return what the journal at ``path`` tells.

    Takes about 0.2 ms per window (of a dozen routes); a journal holds at most 6 000.

    Args:
        path: the journal's file.
        since: seconds since the epoch from which on to read; short for a ``part`` with nothing else.
        part: the part that is meant; everything by default.
        tell: called now and then while it is read.

    Raises:
        JournalError: when there is none, when it is not ours, cannot be read or is corrupt; the message says which.
    """
    path = Path(path).absolute()
    try:
        if not path.exists():
            raise JournalError(f"there is no journal at {path}")
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, "permission denied")
        if not files.recognise(path):
            raise JournalError(f"the journal {path} is empty")
        with contextlib.closing(_connect(path)) as connection:
            return _Reader(connection, part or Part(since), tell).story(str(path))
    except PermissionError as error:
        raise JournalError(f"{path} cannot be read (permission denied); read it as its workers' user") from error
    except (OSError, sqlite3.Error) as error:
        raise JournalError(f"{path} cannot be read ({files.reason(error)})") from error


def _connect(path: Path) -> sqlite3.Connection:
    """Open the journal for reading, in the way that disturbs least of those that work.

    A WAL file cannot be read without its side files. Whoever may write the folder lets SQLite make them and clear them away
    again (``mode=ro`` would leave them behind); whoever may not uses those of the workers; and where there are none, nobody
    writes, and the file can be read as it lies.
    """
    may_write = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    in_use = any(path.with_name(path.name + suffix).exists() for suffix in files.SIDE_FILES)
    how = {"mode": "rw"} if may_write else {"mode": "ro"} if in_use else {"mode": "ro", "immutable": "1"}
    connection = sqlite3.connect(files.address(path, **how), uri=True, timeout=READ_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
    except BaseException:
        connection.close()
        raise
    return connection


class _Reader:
    def __init__(self, connection: sqlite3.Connection, part: Part, tell: Tell | None) -> None:
        self.connection = connection
        self.tell = tell
        self.part = part
        self.boots: frozenset[str] | None = None  # whose rows count; None: everybody's, also of workers long forgotten
        self.skipped = 0

    def story(self, path: str) -> Story:
        self.connection.execute("BEGIN")
        windows = Windows(self.part)
        workers = tuple(sorted(self._workers(windows), key=lambda each: each.worker.started))
        part = tuple(each for each in workers if self._has(each))
        if self.part.workers:
            self.boots = frozenset(each.worker.boot for each in part)
        rows = list(self._findings())
        found = [
            each
            for each in rows
            if self._of(each.boot) and each.last >= self.part.began and each.first <= self.part.ended
        ]
        fresh_since = run_began(workers) if self.part.since is None else self.part.since
        findings = merge_findings(found, fresh_since)
        first_seen: dict[str, float] = {}
        for each in rows:
            key = each.finding.fingerprint
            first_seen[key] = min(each.first, first_seen.get(key, each.first))
        return Story(
            path=path,
            since=self.part.since,
            workers=part,
            routes=windows.totals(),
            findings=tuple(finding for finding in findings if self.part.has_route(finding.route)),
            left_out=tuple(finding for finding in findings if not self.part.has_route(finding.route)),
            first_seen=first_seen,
            found_by=dict(Counter(each.finding.fingerprint for each in found)),
            failures=merge_failures(self._failures(), part),
            recycles=self._recycles(workers),
            reliefs=tuple(relief for _, _, relief in self._events("relief", Relief)),
            notes=tuple(self._notes(workers)),
            skipped=self.skipped,
        )

    def _of(self, boot: str) -> bool:
        return self.boots is None or boot in self.boots

    def _has(self, each: WorkerStory) -> bool:
        return (
            self.part.has_worker(each.worker.pid)
            and each.seen >= self.part.began
            and each.worker.started <= self.part.ended
        )

    def _decoded(self, cls: type[_Record], payload: str) -> _Record | None:
        try:
            return decode(cls, json.loads(payload))
        except ValueError:
            self.skipped += 1
            return None

    def _workers(self, windows: Windows) -> Iterator[WorkerStory]:
        rows = self.connection.execute("SELECT boot, pid, seen, ready, payload, cost FROM worker").fetchall()
        theirs = {boot for boot, pid, *_ in rows if self.part.has_worker(pid)}
        span = (self.part.began, self.part.ended)
        total = self.connection.execute("SELECT count(*) FROM window WHERE closed BETWEEN ? AND ?", span).fetchone()[0]
        found = self.connection.execute(
            "SELECT boot, payload FROM window WHERE closed BETWEEN ? AND ? ORDER BY closed", span
        )
        for done, (boot, payload) in enumerate(found):
            if self.tell is not None and done % TELL_EVERY == 0:
                self.tell(done, total)
            if boot in theirs:
                try:
                    windows.add(boot, payload)
                except ValueError:
                    self.skipped += 1
        for boot, _, seen, ready, payload, cost in rows:
            worker = self._decoded(Worker, payload)
            if worker is not None:
                spent = None if cost is None else self._decoded(Cost, cost)
                yield WorkerStory(worker, windows.of(boot), ready, seen, spent)

    def _findings(self) -> Iterator[FoundBy]:
        for boot, first, last, payload in self.connection.execute("SELECT boot, first, last, payload FROM finding"):
            finding = self._decoded(Finding, payload)
            if finding is not None:
                yield FoundBy(finding, boot, first, last)

    def _failures(self) -> Iterator[Failure]:
        for boot, count, payload in self.connection.execute(
            "SELECT boot, count, payload FROM failure WHERE last >= ? "
            "AND boot NOT IN (SELECT boot FROM worker WHERE started > ?) ORDER BY last",
            (self.part.began, self.part.ended),
        ):
            failure = self._decoded(Failure, payload)
            if failure is not None and self._of(boot) and self.part.has_route(failure.route):
                yield dataclasses.replace(failure, count=count)

    def _events(self, kind: str, cls: type[_Record]) -> Iterator[tuple[str, float, _Record]]:
        for boot, at, payload in self.connection.execute(
            "SELECT boot, at, payload FROM event WHERE kind = ? AND at BETWEEN ? AND ? ORDER BY at, id",
            (kind, self.part.began, self.part.ended),
        ):
            record = self._decoded(cls, payload) if self._of(boot) else None
            if record is not None:
                yield boot, at, record

    def _recycles(self, workers: tuple[WorkerStory, ...]) -> tuple[Recycle, ...]:
        recycles = [(boot, recycle) for boot, _, recycle in self._events("recycle", Recycle)]
        left = {boot: recycle.at for boot, recycle in recycles}
        return tuple(fill_gap(recycle, boot, workers, left) for boot, recycle in recycles)

    def _notes(self, workers: tuple[WorkerStory, ...]) -> Iterator[Note]:
        pids = {each.worker.boot: each.worker.pid for each in workers}
        for boot, at, text in self._events("note", str):
            yield Note(at, pids.get(boot, 0), text)
