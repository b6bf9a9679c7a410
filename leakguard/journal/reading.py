"""Reads a journal while workers write it: one read transaction, no lock that a writer would wait for, nothing changed."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import sqlite3
import typing
from collections.abc import Iterator
from pathlib import Path

from leakguard.errors import JournalError
from leakguard.journal import files
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
from leakguard.records import Cost, Failure, Finding, Recycle, Relief, Window, Worker, decode

READ_SECONDS = 2.0  # a reader may wait a little for a checkpoint; only a writer must be quick

_Record = typing.TypeVar("_Record")


def read(path: Path, since: float | None = None) -> Story:
    """Return what the journal at ``path`` tells, from ``since`` (seconds since the epoch) on if given.

    Takes about 0.2 ms per window (of a dozen routes); a journal holds at most 6 000.

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
            return _Reader(connection, since).story(str(path))
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
    def __init__(self, connection: sqlite3.Connection, since: float | None) -> None:
        self.connection = connection
        self.since = since
        self.from_then = float("-inf") if since is None else since
        self.skipped = 0

    def story(self, path: str) -> Story:
        self.connection.execute("BEGIN")
        workers = tuple(sorted(self._workers(), key=lambda each: each.worker.started))
        found = list(self._findings())
        fresh_since = run_began(workers) if self.since is None else self.since
        first_seen: dict[str, float] = {}
        found_by: dict[str, int] = {}
        for each in found:
            key = each.finding.fingerprint
            first_seen[key] = min(each.first, first_seen.get(key, each.first))
            found_by[key] = found_by.get(key, 0) + 1
        return Story(
            path=path,
            since=self.since,
            workers=tuple(each for each in workers if each.seen >= self.from_then),
            findings=tuple(
                finding
                for finding in merge_findings(found, fresh_since)
                if max(each.last for each in found if each.finding.fingerprint == finding.fingerprint) >= self.from_then
            ),
            first_seen=first_seen,
            found_by=found_by,
            failures=merge_failures(self._failures(), workers),
            recycles=self._recycles(workers),
            reliefs=tuple(relief for _, _, relief in self._events("relief", Relief)),
            notes=tuple(self._notes(workers)),
            skipped=self.skipped,
        )

    def _decoded(self, cls: type[_Record], payload: str) -> _Record | None:
        try:
            return decode(cls, json.loads(payload))
        except ValueError:
            self.skipped += 1
            return None

    def _workers(self) -> Iterator[WorkerStory]:
        windows: dict[str, list[Window]] = {}
        for boot, payload in self.connection.execute(
            "SELECT boot, payload FROM window WHERE closed >= ? ORDER BY closed", (self.from_then,)
        ):
            window = self._decoded(Window, payload)
            if window is not None:
                windows.setdefault(boot, []).append(window)
        for boot, seen, ready, payload, cost in self.connection.execute(
            "SELECT boot, seen, ready, payload, cost FROM worker"
        ):
            worker = self._decoded(Worker, payload)
            if worker is not None:
                spent = None if cost is None else self._decoded(Cost, cost)
                yield WorkerStory(worker, tuple(windows.get(boot, ())), ready, seen, spent)

    def _findings(self) -> Iterator[FoundBy]:
        for boot, first, last, payload in self.connection.execute("SELECT boot, first, last, payload FROM finding"):
            finding = self._decoded(Finding, payload)
            if finding is not None:
                yield FoundBy(finding, boot, first, last)

    def _failures(self) -> Iterator[Failure]:
        for count, payload in self.connection.execute(
            "SELECT count, payload FROM failure WHERE last >= ? ORDER BY last", (self.from_then,)
        ):
            failure = self._decoded(Failure, payload)
            if failure is not None:
                yield dataclasses.replace(failure, count=count)

    def _events(self, kind: str, cls: type[_Record]) -> Iterator[tuple[str, float, _Record]]:
        for boot, at, payload in self.connection.execute(
            "SELECT boot, at, payload FROM event WHERE kind = ? AND at >= ? ORDER BY at, id", (kind, self.from_then)
        ):
            record = self._decoded(cls, payload)
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
