"""The tables of a journal, how we know our own files, and every bound that keeps them small."""

from __future__ import annotations

import sqlite3

APPLICATION_ID = 0x4C6B4764
"""``LkGd`` in the header of the file: a SQLite file without it is somebody else's and never touched."""

VERSION = 1
"""``PRAGMA user_version``: a journal with a higher one was written by a newer leakguard."""

BUSY_SECONDS = 0.2  # the guard's thread waits so long for another worker's write; its own takes about a millisecond
PAGE_SIZE = 4096
MAX_PAGES = 16_384  # the file: 64 MiB
MAX_WAL = 8 << 20  # the write-ahead log is cut back to this after each checkpoint

WINDOWS_PER_TIER = 60  # per worker: 10 minutes in full detail at 10 s, then ever coarser (see ``ladder``)
MAX_TIER = 24
MAX_WINDOWS = 6_000  # of all workers: eight workers that live a week make about 4 800
MAX_WORKERS = 1_000
MAX_FINDINGS = 2_000  # rows: one per fingerprint and worker
MAX_FAILURES = 5_000  # rows: one per fingerprint and worker
MAX_EVENTS = {"recycle": 5_000, "relief": 1_000, "note": 1_000}
MAX_NOTE = 500  # characters

_TABLES = """
CREATE TABLE worker (boot TEXT PRIMARY KEY, pid INTEGER NOT NULL, started REAL NOT NULL, seen REAL NOT NULL, ready REAL,
                     payload TEXT NOT NULL, cost TEXT) WITHOUT ROWID;
CREATE INDEX worker_seen ON worker (seen);
CREATE TABLE window (id INTEGER PRIMARY KEY, boot TEXT NOT NULL, tier INTEGER NOT NULL, closed REAL NOT NULL,
                     payload TEXT NOT NULL);
CREATE INDEX window_ladder ON window (boot, tier, id);
CREATE INDEX window_closed ON window (closed);
CREATE TABLE finding (fingerprint TEXT NOT NULL, boot TEXT NOT NULL, first REAL NOT NULL, last REAL NOT NULL,
                      payload TEXT NOT NULL, PRIMARY KEY (fingerprint, boot)) WITHOUT ROWID;
CREATE TABLE failure (fingerprint TEXT NOT NULL, boot TEXT NOT NULL, last REAL NOT NULL, count INTEGER NOT NULL,
                      payload TEXT NOT NULL, PRIMARY KEY (fingerprint, boot)) WITHOUT ROWID;
CREATE TABLE event (id INTEGER PRIMARY KEY, boot TEXT NOT NULL, kind TEXT NOT NULL, at REAL NOT NULL, payload TEXT NOT NULL);
CREATE INDEX event_kind ON event (kind, id);
"""

WORKER = (
    "INSERT INTO worker (boot, pid, started, seen, ready, payload) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (boot) DO UPDATE "
    "SET seen = excluded.seen, ready = coalesce(worker.ready, excluded.ready), payload = excluded.payload"
)
SEEN = "UPDATE worker SET seen = ? WHERE boot = ?"
READY = "UPDATE worker SET ready = coalesce(ready, ?) WHERE boot = ?"
COST = "UPDATE worker SET cost = ? WHERE boot = ?"
WINDOW = "INSERT INTO window (boot, tier, closed, payload) VALUES (?, 0, ?, ?)"
FINDING = (
    "INSERT INTO finding (fingerprint, boot, first, last, payload) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (fingerprint, boot) DO UPDATE SET last = excluded.last, payload = excluded.payload"
)
WITHDRAW = "DELETE FROM finding WHERE fingerprint = ? AND boot = ?"
FAILURE = (
    "INSERT INTO failure (fingerprint, boot, last, count, payload) VALUES (?, ?, ?, ?, ?) ON CONFLICT (fingerprint, boot) "
    "DO UPDATE SET last = excluded.last, count = failure.count + excluded.count, payload = excluded.payload"
)
EVENT = "INSERT INTO event (boot, kind, at, payload) VALUES (?, ?, ?, ?)"


def create(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty file; nothing happens when another worker was faster.

    Done in SQLite's old journal mode and in one transaction, so that the header with our id is in the file itself and not
    in a write-ahead log: whoever looks at the file later sees whose it is, even after a kill in the middle.

    Raises:
        sqlite3.Error: when the file is locked or cannot be written.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("PRAGMA application_id").fetchone()[0] == 0:
            for statement in _TABLES.split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def trim(connection: sqlite3.Connection) -> None:
    """Drop what is beyond the bounds, oldest first; called now and then inside a write. Findings and recycles go last."""
    dropped = "SELECT boot FROM worker ORDER BY seen DESC LIMIT -1 OFFSET ?"
    for table in ("window", "failure"):
        connection.execute(f"DELETE FROM {table} WHERE boot IN ({dropped})", (MAX_WORKERS,))  # noqa: S608 - our own names
    connection.execute(f"DELETE FROM worker WHERE boot IN ({dropped})", (MAX_WORKERS,))  # noqa: S608
    connection.execute(
        "DELETE FROM window WHERE id IN (SELECT id FROM window ORDER BY closed DESC LIMIT -1 OFFSET ?)", (MAX_WINDOWS,)
    )
    for table, most in (("finding", MAX_FINDINGS), ("failure", MAX_FAILURES)):
        connection.execute(
            f"DELETE FROM {table} WHERE (fingerprint, boot) IN "  # noqa: S608
            f"(SELECT fingerprint, boot FROM {table} ORDER BY last DESC LIMIT -1 OFFSET ?)",
            (most,),
        )
    for kind, most in MAX_EVENTS.items():
        connection.execute(
            "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE kind = ? ORDER BY id DESC LIMIT -1 OFFSET ?)",
            (kind, most),
        )


def shrink(connection: sqlite3.Connection) -> None:
    """Drop the oldest quarter of all windows: the file has reached its cap."""
    connection.execute(
        "DELETE FROM window WHERE id IN "
        "(SELECT id FROM window ORDER BY closed LIMIT (SELECT (count(*) + 3) / 4 FROM window))"
    )


def nearly_full(connection: sqlite3.Connection) -> bool:
    """Return whether nine tenths of the file's cap are in use."""
    pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
    free: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    return pages - free > MAX_PAGES * 9 // 10
