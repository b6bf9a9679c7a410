"""Temporary files that were made and not removed, with the line that made each.

``tempfile`` announces what it makes to the interpreter's audit hooks (``tempfile.mkstemp``, ``tempfile.mkdtemp``), so nothing
is searched and no other process's files are counted. We listen at ``tempfile`` itself while somebody records: a hook of our own
would stay for ever, and cost a microsecond for each event of any kind, of which every ``id()`` is one.
"""

from __future__ import annotations

import collections
import os
import sys
import tempfile
import typing
from collections.abc import Callable, Iterator

if typing.TYPE_CHECKING:
    from leakguard.records import Site

_EVENTS = frozenset({"tempfile.mkstemp", "tempfile.mkdtemp"})
_DEEPEST = 64
_MOST_FRESH = 100

_TEMPFILE: typing.Any = tempfile


class _Sys:
    """Stands for ``sys`` in ``tempfile``: what is announced there is passed on, and told to us."""

    def __init__(self, note: Callable[[str, tuple[object, ...]], None]) -> None:
        self._note = note

    def audit(self, event: str, *arguments: object) -> None:
        sys.audit(event, *arguments)
        self._note(event, arguments)

    def __getattr__(self, name: str) -> object:
        return getattr(sys, name)


class TempFiles:
    """Records the temporary files and directories made while it is on. Keeps at most ``MOST`` of those that still exist."""

    MOST = 20_000

    def __init__(self) -> None:
        self._users = 0
        self._ears = _Sys(self._note)
        self._made: dict[str, Site | None] = {}
        # Nearly all are gone before anybody asks for the line, which costs imports.
        self._fresh: dict[str, tuple[tuple[str, int, str], ...]] = {}

    def __enter__(self) -> TempFiles:
        """Begin to record; several may, and recording ends with the last of them."""
        self._users += 1
        _TEMPFILE._sys = self._ears
        return self

    def __exit__(self, *_error: object) -> None:
        """End recording for one of those who began it, and forget everything with the last."""
        self._users -= 1
        if not self._users:
            _TEMPFILE._sys = sys
            self._made.clear()
            self._fresh.clear()

    def left(self) -> int:
        """Return how many still exist. Costs one system call for each that does; those that are gone are forgotten."""
        made = self._made
        if self._fresh:
            self._look_up()
        for path in [path for path in made if not os.path.lexists(path)]:
            made.pop(path, None)
        return len(made)

    def where(self) -> Site | None:
        """Return the line that made most of those that still exist; ``None`` when none does."""
        self.left()
        counted = collections.Counter(site for site in self._made.values() if site is not None)
        return counted.most_common(1)[0][0] if counted else None

    def names(self) -> frozenset[str]:
        """Return the paths of those that still exist, to compare later."""
        self.left()
        return frozenset(self._made)

    def places(self, names: frozenset[str]) -> list[Site | None]:
        """Return the lines that made these."""
        return [self._made.get(name) for name in names]

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._users or event not in _EVENTS or len(self._made) >= self.MOST:
            return
        path = arguments[0]
        if isinstance(path, str | bytes):
            if len(self._fresh) >= _MOST_FRESH:  # before, for this one is only about to be made
                self._look_up()
            self._fresh[os.fsdecode(path)] = tuple(_stack())

    def _look_up(self) -> None:
        """Find the lines that made the files that still exist; imports what it takes only then."""
        while self._fresh:
            try:
                path, stack = self._fresh.popitem()
            except KeyError:  # another thread took the last one
                return
            if os.path.lexists(path):
                from leakguard.probes.code import own_first

                self._made[path] = own_first(stack)


FILES = TempFiles()
"""The one recorder of the process, for audit hooks stay."""


def _stack() -> Iterator[tuple[str, int, str]]:
    frame = sys._getframe(3)
    for _ in range(_DEEPEST):
        yield frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
        if frame.f_back is None:
            return
        frame = frame.f_back
