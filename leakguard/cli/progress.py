"""One line on stderr for what takes longer than a second; on a terminal only, and gone when it is done."""

from __future__ import annotations

import sys
import time
import typing

PATIENCE = 1.0  # seconds before anything is said
EVERY = 0.2


class Progress:
    """Shows how far a command is.

    Args:
        what: what is being done, such as ``reading the journal``.
        stream: stderr by default.
    """

    def __init__(self, what: str, stream: typing.TextIO | None = None) -> None:
        self._what = what
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._next = time.monotonic() + PATIENCE
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        """Say how much is done; costs a look at the clock until there is something to show."""
        if not self._terminal or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        self._shown = True
        self._write(f"\r\x1b[K{self._what}: {done * 100 // max(total, 1)} %")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._terminal = False
