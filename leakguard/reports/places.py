"""Where in this checkout a shortened file name of a finding lies: for annotations, code scanning and source lines."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from leakguard.records import Site

_FOREIGN = frozenset({"site-packages", "node_modules", "__pycache__", "build", "dist"})
LARGEST = 4 << 20  # bytes of a source file that is looked into
SUFFIXES = frozenset({".py", ".pyx", ".pyw"})  # a journal names code; nothing else of this machine is ever shown


def find(site: Site, roots: Sequence[Path] = ()) -> Path | None:
    """Return the source file of a site: below the working directory, else on the import path; ``None`` if it is not here.

    Sites carry names relative to the import path of the worker that wrote them. Another project's file of the same name is
    not taken for it: the site's function must lie at its line. Only where the name fits exactly, in ``roots`` or the working
    directory, may the file have changed since. A name that leaves its root, or that is no Python source, is never followed.
    Takes some milliseconds, more where the working directory has thousands of folders.

    Args:
        site: as a worker wrote it down.
        roots: folders to look in first.
    """
    name = Path(site.file)
    if name.suffix not in SUFFIXES or ".." in name.parts:
        return None
    if name.is_absolute():
        return name if _is_file(name) else None
    near = [root / name for root in (*roots, Path.cwd()) if _is_file(root / name)]
    far = [Path(entry) / name for entry in sys.path if entry and _is_file(Path(entry) / name)]
    fitting = [path for path in (*near, *far) if fits(path, site)]
    below = [] if near or fitting else [path for path in _below(name) if fits(path, site)]
    if len(below) == 1:
        return below[0]
    return next(iter((*fitting, *near)), None)


def fits(path: Path, site: Site) -> bool:
    """Return whether the site's function lies at its line in this file."""
    name = site.function.rpartition(".")[2]
    try:
        if path.stat().st_size > LARGEST:
            return False
        text = path.read_bytes()
        if (
            name.startswith("<") or path.suffix == ".pyx"
        ):  # a module's own line, a lambda, a language that ast cannot read
            return site.line <= text.count(b"\n") + 1
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and node.name == name
        and min([node.lineno, *(each.lineno for each in node.decorator_list)]) <= site.line <= (node.end_lineno or 0)
        for node in ast.walk(tree)
    )


def in_repository(site: Site) -> str:
    """Return the path that a code host knows: relative to the working directory if the file lies in it, else as written."""
    path = find(site)
    if path is not None and path.is_relative_to(Path.cwd()):
        return path.relative_to(Path.cwd()).as_posix()
    return site.file.replace(os.sep, "/")


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - a name that no file system could hold is no error here


def _below(name: Path) -> list[Path]:
    """Return the files of this name one or two folders below the working directory (``src/``, ``backend/app/``)."""
    first = _folders(Path.cwd())
    found = [folder / name for folder in (*first, *(f for parent in first for f in _folders(parent)))]
    return [path for path in found if _is_file(path)]


def _folders(parent: Path) -> list[Path]:
    try:
        with os.scandir(parent) as entries:
            return [Path(entry.path) for entry in entries if entry.name not in _FOREIGN and _is_folder(entry)]
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
