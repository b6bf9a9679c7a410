"""Where the figures come from: processor, cores, kernel, versions, date. Figures without these are hearsay."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path

PACKAGES = ("starlette", "uvicorn", "flask", "psutil", "objgraph", "pympler")


def describe() -> str:
    """Return one paragraph on this machine and the versions that run on it."""
    cores = len(os.sched_getaffinity(0))
    found = ", ".join(f"{name} {version}" for name in PACKAGES if (version := _version(name)))
    return (
        f"{cores} cores ({_processor()}), {_memory()} of memory, {platform.system()} {platform.release().partition('-')[0]}, "
        f"CPython {platform.python_version()}; {found}; {datetime.datetime.now(datetime.UTC).date():%d %B %Y}; "
        f"load average at the start {os.getloadavg()[0]:.1f}."
    )


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB"
