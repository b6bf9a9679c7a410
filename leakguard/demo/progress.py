"""Progress on a stream: lines that stay, and one status line that a terminal overwrites and a file gets now and then."""

from __future__ import annotations

import time
import typing

EVERY_TERMINAL = 0.25
EVERY_FILE = 5.0


class Progress:
    """Writes to ``stream``: standard error, so that standard output carries the report alone. A closed pipe is no error."""

    def __init__(self, stream: typing.TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._every = EVERY_TERMINAL if self._terminal else EVERY_FILE
        self._last = 0.0
        self._open = False  # a status line stands without its newline

    def step(self, text: str) -> None:
        """Write a line that stays."""
        self._write(("\r\x1b[K" if self._open else "") + text + "\n")
        self._open = False
        self._last = time.monotonic()

    def status(self, text: typing.Callable[[], str]) -> None:
        """Show how things stand, not more often than the stream can bear; ``text`` is called only when it is written."""
        now = time.monotonic()
        if now - self._last < self._every:
            return
        self._last = now
        self._open = self._terminal
        self._write(f"\r\x1b[K  {text()}" if self._terminal else f"  {text()}\n")

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            pass
