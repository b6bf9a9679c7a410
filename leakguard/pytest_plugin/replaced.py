"""What earlier tests left alive, referred to weakly: a test that lets one go and leaves one has only replaced it.

The last request of a client, a limiter for each event loop, a value in the context: one is always there, and each test makes
a new one. Without this every such test would be repeated to see that nothing grows.
"""

from __future__ import annotations

import typing
import weakref

from leakguard.testing.survivors import references

_MOST = 20  # of one class: what is replaced is few
_MOST_NAMES = 1000


class Replaced:
    """Remembers what stayed, by the name of its class, and tells how many of them went. Holds nothing alive."""

    def __init__(self) -> None:
        self._left: dict[str, list[weakref.ref[typing.Any]]] = {}
        self._before: dict[str, int] = {}

    def begin(self) -> None:
        """Note who is alive, before a test or its repetition. What goes between two tests replaces nothing."""
        for name, left in list(self._left.items()):
            left[:] = [reference for reference in left if reference() is not None]
            if not left:
                del self._left[name]
        self._before = {name: len(left) for name, left in self._left.items()}

    def gone(self, name: str) -> int:
        """Return how many objects of the class have gone since ``begin``; 0 where that is not known."""
        before = self._before.get(name, 0)
        return before and before - sum(reference() is not None for reference in self._left[name][:before])

    def remember(self) -> None:
        """Take what is alive now and not frozen. What was noted by ``begin`` goes on counting."""
        if len(self._left) < _MOST_NAMES:
            for name, found in references(_MOST).items():
                left = self._left.setdefault(name, [])
                left.extend(found[: _MOST - len(left)] if len(left) < _MOST else ())
