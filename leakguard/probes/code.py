"""Whose code is it: the application's own, an installed package's, the standard library's, or leakguard's.

Findings and failures point at the application's own line where there is one, for that is where the cure goes.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from leakguard.records import Site

_HERE = str(Path(__file__).resolve().parent.parent) + os.sep
# Where the standard library's own modules are; sysconfig says the same, but reads the whole build configuration for it.
_STDLIB = str(Path(os.__file__).parent) + os.sep


@functools.lru_cache(maxsize=4096)
def origin(filename: str) -> str:
    """Return whose file it is: ``own``, ``package``, ``stdlib`` or ``leakguard``. Cached; about 100 ns once seen."""
    path = filename if filename.startswith(("<", os.sep)) else str(Path(filename).absolute())
    if path.startswith("<"):
        return "stdlib"  # frozen importlib, exec'd text: nobody's line to mend
    if path.startswith(_HERE) and not path.startswith(_HERE + "demo" + os.sep + "game_server"):
        return "leakguard"
    if f"{os.sep}site-packages{os.sep}" in path or f"{os.sep}dist-packages{os.sep}" in path:
        return "package"
    return "stdlib" if path.startswith(_STDLIB) else "own"


def package(filename: str) -> str | None:
    """Return the top of the import path of a file in an installed package, ``None`` for any other file."""
    if origin(filename) != "package":
        return None
    _, found, inside = filename.rpartition(f"{os.sep}site-packages{os.sep}")
    if not found:
        _, found, inside = filename.rpartition(f"{os.sep}dist-packages{os.sep}")
    return inside.partition(os.sep)[0].removesuffix(".py") if found else None


@functools.lru_cache(maxsize=4096)
def shorten(filename: str) -> str:
    """Return the file name as a reader knows it: relative to the import path or working directory that it lies under."""
    if filename.startswith("<"):
        return filename
    path = str(Path(filename).absolute())
    roots = sorted({os.path.abspath(entry or os.curdir) for entry in [*sys.path, os.curdir]}, key=len, reverse=True)  # noqa: PTH100
    for root in roots:
        if root != os.sep and path.startswith(root + os.sep):
            return path[len(root) + 1 :]
    return Path(path).name


def site(filename: str, line: int, function: str) -> Site:
    """Return the record of one place in the code, its file name shortened."""
    return Site(shorten(filename), line, function)


def own_first(places: Iterable[tuple[str, int, str]]) -> Site | None:
    """Return the first of ``places`` (innermost first) in the application's own code.

    Without one, the first in an installed package, then the first at all; leakguard's own lines never count.
    """
    fallback: Site | None = None
    rank = 0
    for filename, line, function in places:
        whose = origin(filename)
        if whose == "own":
            return site(filename, line, function)
        worth = {"package": 2, "stdlib": 1, "leakguard": 0}[whose]
        if worth > rank:
            fallback, rank = site(filename, line, function), worth
    return fallback
