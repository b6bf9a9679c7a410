"""Resident memory that is the process's own and belongs to no file, exactly: what a leak outside malloc shows in."""

from __future__ import annotations

import os
import re
from pathlib import Path

_ROLLUP = Path("/proc/self/smaps_rollup")
_ANONYMOUS = re.compile(rb"^Anonymous: +(\d+) kB", re.MULTILINE)
_STATM = "/proc/self/statm"
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def anonymous() -> int | None:
    """Return the resident bytes that belong to no file; ``None`` where the kernel does not tell.

    The kernel walks the page tables for it: 0.2 ms in a small process, 10 to 20 ms in one of 400 MB. Its cheaper counters lag
    behind by up to some hundred pages.
    """
    try:
        found = _ANONYMOUS.search(_ROLLUP.read_bytes())
    except OSError:
        return None
    return None if found is None else int(found[1]) * 1024


def mapped() -> int:
    """Return the bytes of private memory that the process has asked the kernel for, touched or not. 5 microseconds."""
    descriptor = os.open(_STATM, os.O_RDONLY)
    try:
        return int(os.read(descriptor, 128).split()[5]) * _PAGE
    finally:
        os.close(descriptor)
