"""Where in this checkout a shortened file name of a finding lies: for annotations, code scanning and source lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from leakguard.records import Site

_FOREIGN = frozenset({"site-packages", "node_modules", "__pycache__", "build", "dist"})
SUFFIXES = frozenset({".py", ".pyx", ".pyw"})  # a journal names code; nothing else of this machine is ever shown


def find(site: Site, roots: Sequence[Path] = ()) -> Path | None:
    """Return the source file of a site: below the working directory, else on the import path; ``None`` if it is not here.

    Sites carry names relative to the import path of the worker that wrote them. A name that leaves its root, or that is no
    Python source, is never followed. Takes a millisecond, more where the working directory has thousands of folders.

    Args:
        site: as a worker wrote it down.
        roots: folders to look in first.
    """
    name = Path(site.file)
    if name.suffix not in SUFFIXES or ".." in name.parts:
        return None
    if name.is_absolute():
        return name if _is_file(name) else None
    for root in (*roots, Path.cwd(), *(Path(entry) for entry in sys.path if entry)):
        if _is_file(root / name):
            return root / name
    return _below(name)


def in_repository(site: Site) -> str:
    """Return the path that a code host knows: relative to the working directory if the file lies in it, else as written."""
    path = find(site)
    if path is not None and path.is_relative_to(Path.cwd()):
        return path.relative_to(Path.cwd()).as_posix()
    return site.file.replace(os.sep, "/")


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - a name that no file system could hold is no error here


def _below(name: Path) -> Path | None:
    """Return the only file of this name one or two folders below the working directory (``src/``, ``backend/app/``)."""
    first = _folders(Path.cwd())
    found = [folder / name for folder in (*first, *(f for parent in first for f in _folders(parent)))]
    here = [path for path in found if _is_file(path)]
    return here[0] if len(here) == 1 else None


def _folders(parent: Path) -> list[Path]:
    try:
        with os.scandir(parent) as entries:
            return [Path(entry.path) for entry in entries if entry.name not in _FOREIGN and _is_folder(entry)]
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
