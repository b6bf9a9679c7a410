"""Late imports of ours: a worker imports what explains a leak when there is one, and that must not count as growth of its own.

The blocks of an import stay for good. Where it is short and in the guard's own thread they are the difference around it. What
the deep look needs takes longer, and the host allocates meanwhile: there the lowest level before it and the lowest after it
are compared, for garbage comes and goes between.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator

from leakguard.records import Window


class LateImports:
    """How many of the allocated blocks are those of late imports; lives in the guard's thread."""

    def __init__(self) -> None:
        self._short = 0
        self._deep: int | None = None
        self._deep_began: int | None = None

    @property
    def blocks(self) -> int:
        """The blocks that are known so far."""
        return self._short + (self._deep or 0)

    @contextlib.contextmanager
    def short(self) -> Iterator[None]:
        """Count what is imported while the block runs, if anything is."""
        loaded, before = len(sys.modules), sys.getallocatedblocks()
        try:
            yield
        finally:
            if len(sys.modules) != loaded:
                self._short += max(sys.getallocatedblocks() - before, 0)

    def deep(self, windows: int) -> None:
        """Take note that what the deep look needs is imported, after so many windows; once per worker."""
        if self._deep_began is None:
            self._deep_began = windows

    def without(self, window: Window, windows: int, latest: Window | None, usual: float) -> Window:
        """Return a closed window without the deep look's imports, which are measured in the first one that began after them.

        Args:
            window: just closed.
            windows: how many were closed before it.
            latest: the last of those.
            usual: blocks per request by which the level rises anyway.
        """
        if self._deep is not None or self._deep_began is None or latest is None or windows <= self._deep_began:
            return window  # none, known already, or a window whose lowest level is of before
        rise = window.blocks_low - latest.blocks_low - usual * (window.requests_at_low - latest.requests_at_low)
        self._deep = max(round(rise), 0)
        return dataclasses.replace(window, blocks_low=window.blocks_low - self._deep)
