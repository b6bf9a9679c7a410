"""The fence around each of our own steps: nothing of ours raises into the host, and what keeps failing is switched off."""

from __future__ import annotations

import logging
import typing
from collections import Counter
from collections.abc import Callable

log = logging.getLogger("leakguard")

MAX_FAILURES = 3  # a step that failed so often in a row is switched off: it will not get better by being repeated

_P = typing.ParamSpec("_P")
_R = typing.TypeVar("_R")


class Fence:
    """Runs our own steps one by one; each may fail without stopping the others.

    ``notes`` collects one sentence per step that was switched off, for the journal.
    """

    def __init__(self) -> None:
        self._failures: Counter[str] = Counter()
        self.notes: list[str] = []

    def run(self, name: str, step: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R | None:
        """Return what ``step`` returns, or ``None`` when it failed or is switched off."""
        if self._failures[name] >= MAX_FAILURES:
            return None
        try:
            result = step(*args, **kwargs)
        except Exception as error:
            self._note(name, error)
            return None
        self._failures[name] = 0
        return result

    def _note(self, name: str, error: Exception) -> None:
        self._failures[name] += 1
        log.debug("leakguard: %s failed", name, exc_info=error)
        if self._failures[name] == MAX_FAILURES:
            # The type only: a message may hold values of the host.
            note = f"{name} failed {MAX_FAILURES} times in a row ({type(error).__name__}) and is switched off"
            self.notes.append(note)
            log.warning("leakguard: %s", note)
