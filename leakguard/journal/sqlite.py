"""The journal of one host: a SQLite file in WAL mode that all its workers write and anyone may read meanwhile.

Every call puts its rows into a short queue and then tries to write the whole queue in one transaction. A locked file, a full
disk or a missing folder therefore cost patience first and history later, never a request: what does not fit into the queue
any more is counted in ``lost``. Rows are JSON made by ``records.encode``; nothing is pickled.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from leakguard.errors import JournalError
from leakguard.journal import files, forks, ladder, schema, windows
from leakguard.records import Cost, Failure, Finding, Recycle, Relief, Status, Window, Worker, decode, encode

MAX_WAITING = 64  # entries that wait for a better moment, about ten minutes of windows
RETRY_SECONDS = 5.0  # after a failure: a stubborn disk is not asked with every call
MAX_ASIDE = 3  # broken journals that one worker sets aside; then it is the disk that is broken
TRIM_EVERY = 50  # writes
MAX_RECALLED = 100

Row = tuple[str, tuple[object, ...]]


class SqliteJournal:
    """Writes what one worker saw into the journal file; see ``journal.base.Journal``.

    Args:
        path: the file; made with mode 0600, its folder with 0700, when it is first written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path).absolute()
        self.lost = 0
        self.why: str | None = None
        self.retry_seconds = RETRY_SECONDS
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Row, ...]] = deque()
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._worker: Worker | None = None
        self._ready: float | None = None
        self._retry_at = 0.0
        self._given_up = False
        self._aside = 0
        self._writes = 0
        self._lost_said = 0
        forks.follow(self)

    # ------------------------------------------------------------------------------------------ the interface

    def register(self, worker: Worker) -> None:
        """Introduce this worker; first of all calls, and again when something about it became known."""
        self._worker = worker
        self._submit(lambda: [self._worker_row(worker)])

    def ready(self, at: float) -> None:
        """Remember when this worker began to serve."""
        if self._ready is None:
            self._ready = at
        self._submit(lambda: [(schema.READY, (at, self._boot()))])

    def window(self, window: Window) -> None:
        """Write down one closed window; older ones are merged (see ``ladder``)."""
        self._submit(lambda: [(schema.WINDOW, (self._boot(), window.closed, windows.write(window)))])

    def finding(self, finding: Finding) -> None:
        """Write down a finding as it stands now; this worker's own of the same fingerprint is replaced."""
        now = time.time()
        self._submit(lambda: [(schema.FINDING, (finding.fingerprint, self._boot(), now, now, _text(finding)))])

    def withdraw(self, fingerprint: str) -> None:
        """Take a finding of this worker's back: what grew has stopped growing."""
        self._submit(lambda: [(schema.WITHDRAW, (fingerprint, self._boot()))])

    def failures(self, failures: Iterable[Failure]) -> None:
        """Add up failures: each brings its count since the last call."""
        now, new = time.time(), tuple(failures)
        if new:  # nearly never: an empty transaction costs as much as one with a row
            self._submit(lambda: [(schema.FAILURE, (f.fingerprint, self._boot(), now, f.count, _text(f))) for f in new])

    def recycle(self, recycle: Recycle) -> None:
        """Write down that this worker is being replaced."""
        self._submit(lambda: [self._event("recycle", recycle.at, _text(recycle))])

    def relief(self, relief: Relief) -> None:
        """Write down what relief gave back."""
        self._submit(lambda: [self._event("relief", relief.at, _text(relief))])

    def note(self, text: str) -> None:
        """Write down one sentence for whoever reads the report."""
        self._submit(lambda: [self._event("note", time.time(), _note(text))])

    def cost(self, cost: Cost) -> None:
        """Write down what leakguard itself cost this worker so far."""
        self._submit(lambda: [(schema.COST, (_text(cost), self._boot()))])

    def recall(self) -> tuple[Finding, ...]:
        """Return the confirmed findings that the workers of this journal have made so far, newest first, at most 100."""
        try:
            with self._lock:
                if self._given_up or not self.path.exists():
                    return ()
                rows = self._connected().execute(
                    "SELECT payload FROM finding ORDER BY last DESC LIMIT ?", (MAX_RECALLED,)
                )
                findings = [decode(Finding, json.loads(payload)) for (payload,) in rows]
        except Exception as error:
            self.why = files.reason(error)
            return ()
        return tuple(finding for finding in findings if finding.status is Status.CONFIRMED)

    def close(self) -> None:
        """Write what still waits and let go of the file; a later call opens it again."""
        try:
            with self._lock:
                self._retry_at = 0.0
                if self._waiting:
                    self._write_waiting()
                self.lost += len(self._waiting)
                self._waiting.clear()
                self._let_go()
        except Exception as error:
            self.why = files.reason(error)

    # ------------------------------------------------------------------------------------------------- writing

    def _submit(self, rows: Callable[[], list[Row]]) -> None:
        try:
            with self._lock:
                self._waiting.append(tuple(rows()))
                self._drop(len(self._waiting) - MAX_WAITING)
                if self._given_up:
                    self._drop(len(self._waiting))
                elif time.monotonic() >= self._retry_at:
                    self._write_waiting()
        except Exception as error:  # never into the caller: that is a worker's guard
            self.lost += 1
            self.why = files.reason(error)

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._waiting.popleft()
            self.lost += 1

    def _write_waiting(self) -> None:
        for attempt in (1, 2):
            try:
                self._write_all(self._connected())
            except (JournalError, OSError, sqlite3.Error, sqlite3.Warning) as error:
                if attempt == 1 and isinstance(error, sqlite3.Error) and self._mend(error):
                    continue
                self.why = files.reason(error)
                self._retry_at = time.monotonic() + self.retry_seconds
            else:
                self.why = None
            return

    def _write_all(self, connection: sqlite3.Connection) -> None:
        self._writes += 1
        lost = self.lost
        connection.execute("BEGIN IMMEDIATE")
        try:
            for entry in self._waiting:
                for statement, values in entry:
                    connection.execute(statement, values)
            if lost > self._lost_said:
                connection.execute(*self._lost_row(lost - self._lost_said))
            if self._worker is not None:
                connection.execute(schema.SEEN, (time.time(), self._worker.boot))
                ladder.climb(connection, self._worker.boot)
            if self._writes % TRIM_EVERY == 1:
                schema.trim(connection)
                if schema.nearly_full(connection):
                    schema.shrink(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._waiting.clear()
        self._lost_said = lost

    def _mend(self, error: sqlite3.Error) -> bool:
        """Do what can be done about an error; return whether it is worth another try at once."""
        code = files.primary(error)
        if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR} and self._connection is not None:
            # Our own cap or the disk's end: folding the log back and dropping old windows makes room in both, if anything does.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                if code == sqlite3.SQLITE_FULL:
                    schema.shrink(self._connection)
                return True
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} and self._aside < MAX_ASIDE:
            self._aside += 1
            self._let_go()
            aside = files.set_aside(self.path, self._inode)
            if aside is not None and self._worker is not None:
                text = f"the journal was corrupt; it was set aside as {aside.name} and a new one begun"
                self._waiting.append((self._event("note", time.time(), _note(text)),))
            return True
        return False

    # ---------------------------------------------------------------------------------------------- connecting

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None:
            if files.inode(self.path) == self._inode:
                return self._connection
            self._let_go()  # somebody moved or deleted the file: what we wrote there would be seen by nobody
        files.prepare(self.path)
        self._inode = files.inode(self.path)
        ours = files.recognise(self.path)
        connection = sqlite3.connect(
            files.address(self.path, mode="rw"),
            uri=True,
            timeout=schema.BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # the lock sees to it: the guard's thread and the recycler's both write
            cached_statements=32,
        )
        try:
            self._set_up(connection, ours)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _set_up(self, connection: sqlite3.Connection, ours: bool) -> None:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cache_size = -64")  # KiB: a cache that fills is growth, and we only append
        connection.execute("PRAGMA temp_store = MEMORY")
        if not ours:
            connection.execute(f"PRAGMA page_size = {schema.PAGE_SIZE}")
            schema.create(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        # A kill loses nothing; a power cut may lose the last seconds, never the file.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {schema.MAX_WAL}")
        connection.execute(f"PRAGMA max_page_count = {schema.MAX_PAGES}")
        if self._worker is not None:
            connection.execute(*self._worker_row(self._worker))

    def _let_go(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _start_over(self, inherited: bool) -> object | None:
        connection, self._connection = self._connection, None
        self._lock = threading.Lock()
        self._waiting = deque()  # the parent writes it
        self._worker = self._ready = None
        self.lost = self._lost_said = 0
        self._given_up = inherited
        self.why = "this process was forked while its parent was writing the journal" if inherited else None
        return connection

    # ----------------------------------------------------------------------------------------------------- rows

    def _boot(self) -> str:
        if self._worker is None:
            raise JournalError("no worker has registered")
        return self._worker.boot

    def _worker_row(self, worker: Worker) -> Row:
        return schema.WORKER, (worker.boot, worker.pid, worker.started, time.time(), self._ready, _text(worker))

    def _event(self, kind: str, at: float, payload: str) -> Row:
        return schema.EVENT, (self._boot(), kind, at, payload)

    def _lost_row(self, count: int) -> Row:
        because = f" ({self.why})" if self.why else ""
        return self._event("note", time.time(), _note(f"{count} entries of the journal were lost{because}"))


def _text(record: object) -> str:
    return json.dumps(encode(record), separators=(",", ":"))


def _note(text: str) -> str:
    return json.dumps(text[: schema.MAX_NOTE])
