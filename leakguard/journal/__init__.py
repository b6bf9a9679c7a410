"""What is remembered: one small interface with SQLite behind it; ``open_journal`` is where other journals find their place."""

from __future__ import annotations

import typing

from leakguard.journal.base import Journal, NullJournal

if typing.TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Journal", "NullJournal", "open_journal"]


def open_journal(path: Path | None) -> Journal:
    """Return the journal that lies at ``path``, or one that remembers nothing for ``None``. Touches no file yet."""
    if path is None:
        return NullJournal()
    from leakguard.journal.sqlite import SqliteJournal

    return SqliteJournal(path)
