"""Progress is for terminals, for what takes long, and leaves nothing behind."""

from __future__ import annotations

import io

from leakguard.cli import progress
from leakguard.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_takes_long_is_told_on_a_terminal(monkeypatch):
    """After a second there is one line that is overwritten, and cleared at the end."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    stream = Terminal()
    with Progress("reading the journal", stream) as shown:
        shown(0, 400)
        assert stream.getvalue() == ""
        clock[0] = 1.5
        shown(100, 400)
        shown(101, 400)
        clock[0] = 2.0
        shown(300, 400)
    assert stream.getvalue() == "\r\x1b[Kreading the journal: 25 %\r\x1b[Kreading the journal: 75 %\r\x1b[K"


def test_a_file_gets_no_progress(monkeypatch):
    """Piped stderr stays free of it, however long it takes."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    stream = io.StringIO()
    with Progress("reading the journal", stream) as shown:
        clock[0] = 60.0
        shown(1, 2)
    assert stream.getvalue() == ""
