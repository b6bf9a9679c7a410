"""The journal as a file: made with the right modes, recognised without being touched, set aside when it is broken."""

from __future__ import annotations

import contextlib
import datetime
import os
import sqlite3
import time
import urllib.parse
from pathlib import Path

from leakguard.errors import JournalError
from leakguard.journal.schema import APPLICATION_ID, PAGE_SIZE, VERSION, create

SIDE_FILES = ("-wal", "-shm")
_MAKING = ".new"
_LEFT_BEHIND = 60.0  # seconds: making a journal takes milliseconds


def address(path: Path, **parameters: str) -> str:
    """Return the SQLite URI of a file; any character may occur in its name."""
    return f"file:{urllib.parse.quote(str(path))}?{urllib.parse.urlencode(parameters)}"


def prepare(path: Path) -> None:
    """Make the folder (0700) and the journal (0600) if they are not there; an existing file keeps its mode.

    The journal is made under another name and linked into place whole: a worker that is killed in the middle leaves
    nothing that the next one could take for somebody else's file.

    Raises:
        OSError: when the folder cannot be made or written.
        sqlite3.Error: when there is no room for the tables.
    """
    if not path.parent.exists():
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.exists():
        return
    _sweep(path)
    making = path.with_name(f".{path.name}.{os.getpid()}{_MAKING}")
    try:
        os.close(os.open(making, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        with contextlib.closing(
            sqlite3.connect(address(making, mode="rw"), uri=True, isolation_level=None)
        ) as connection:
            connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
            create(connection)
        try:
            os.link(making, path)
        except FileExistsError:
            pass  # another worker was faster
        except OSError:  # a file system without links
            if not path.exists():
                making.rename(path)
    finally:
        for suffix in ("", "-journal"):
            making.with_name(making.name + suffix).unlink(missing_ok=True)


def _sweep(path: Path) -> None:
    """Remove what killed workers left half made."""
    for left in path.parent.glob(f".{path.name}.*{_MAKING}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _LEFT_BEHIND:
                left.unlink()


def inode(path: Path) -> tuple[int, int] | None:
    """Return what tells this file from another of the same name; ``None`` when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def recognise(path: Path) -> bool:
    """Return whether the file is a journal of ours (True) or still empty (False), without changing or locking anything.

    SQLite itself looks, with ``immutable``: opening and closing the file by hand would drop this process's own locks on it
    (POSIX advisory locks go with the first descriptor that is closed).

    Raises:
        JournalError: when it is somebody else's file, or ours from a newer version, or cannot be read.
    """
    if not path.is_file():
        raise JournalError(f"{path} is not a file")
    if path.stat().st_size == 0:  # first of all: another worker may be about to make it a journal
        return False
    try:
        connection = sqlite3.connect(address(path, mode="ro", immutable="1"), uri=True, isolation_level=None)
        try:
            # A file that was cut short does not even show its header otherwise.
            connection.execute("PRAGMA writable_schema = ON")
            application: int = connection.execute("PRAGMA application_id").fetchone()[0]
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        raise JournalError(f"{path} cannot be read ({reason(error)})") from error
    except sqlite3.DatabaseError as error:
        if primary(error) == sqlite3.SQLITE_NOTADB:
            raise JournalError(f"{path} is not a leakguard journal and is left alone") from error
        raise JournalError(f"{path} is damaged so that nobody can tell whose it is, and is left alone") from error
    if application != APPLICATION_ID:
        raise JournalError(f"{path} is another program's database and is left alone")
    if version > VERSION:
        raise JournalError(
            f"{path} was written by a newer leakguard (journal version {version}, this one knows {VERSION})"
        )
    return True


def set_aside(path: Path, known: tuple[int, int] | None) -> Path | None:
    """Rename a broken journal, its side files with it, and return its new name; nothing is destroyed.

    Only the file that the caller knows (by ``inode``) is moved, under a lock on that very file: when several workers find it
    broken at once, one moves it and the others get ``None`` and open the new one.

    Raises:
        OSError: when it cannot be renamed.
    """
    import fcntl

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        status = os.fstat(descriptor)
        if known != (status.st_dev, status.st_ino) or known != inode(path):
            return None
        stamp = datetime.datetime.now(tz=datetime.UTC).strftime("%Y%m%dT%H%M%S")
        aside = next(
            name
            for number in range(1000)
            if not (name := path.with_name(f"{path.name}.corrupt-{stamp}" + (f"-{number}" if number else ""))).exists()
        )
        for suffix in SIDE_FILES:
            side = path.with_name(path.name + suffix)
            if side.exists():
                side.rename(aside.with_name(aside.name + suffix))
        path.rename(aside)
        return aside
    finally:
        os.close(descriptor)


def primary(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code of an error, 0 when it has none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def reason(error: BaseException) -> str:
    """Return what went wrong in a few words, without the values that a message may carry."""
    if isinstance(error, JournalError):
        return str(error)
    if isinstance(error, OSError):
        return os.strerror(error.errno).lower() if error.errno else type(error).__name__
    if isinstance(error, sqlite3.Error):
        return str(error) or type(error).__name__
    return type(error).__name__
