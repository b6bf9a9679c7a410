"""What lies between two calls of a test's body with the same fixtures: recorders emptied, patches undone, files removed.

pytest's own fixtures are made for one call: ``monkeypatch`` remembers every patch, ``caplog``, ``capsys`` and ``recwarn`` every
line, ``tmp_path`` keeps every file. Without this they would grow with each call, or make the second one fail.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import typing
import warnings
from pathlib import Path

import pytest

_PATCHES = ("_setattr", "_setitem")
_STATES = ("_cwd", "_savesyspath")


class Between:
    """Entered and left with every call of the body, one at a time. The first call's traces are left for the test's report."""

    def __init__(self, item: pytest.Function) -> None:
        values = list(item.funcargs.values())
        self._monkeypatches = [value for value in values if isinstance(value, pytest.MonkeyPatch)]
        self._captures = [value for value in values if isinstance(value, pytest.CaptureFixture)]
        self._logs = [value for value in values if isinstance(value, pytest.LogCaptureFixture)]
        self._recorders = [value for value in values if isinstance(value, pytest.WarningsRecorder)]
        paths = [value for name, value in item.funcargs.items() if name in {"tmp_path", "tmpdir"}]
        self._directory = Path(str(paths[0])) if paths else None
        self._streams = sys.stdout, sys.stderr
        self._show = warnings.showwarning
        self._filters = warnings.catch_warnings()
        self._quiet: tuple[typing.Any, ...] = ()
        self._patched: list[tuple[pytest.MonkeyPatch, list[typing.Any]]] = []
        self._files: frozenset[str] = frozenset()

    def __enter__(self) -> None:
        """Give the recording fixtures their channels back, which are silent while one measures."""
        self._quiet = sys.stdout, sys.stderr, warnings.showwarning
        if self._captures:
            sys.stdout, sys.stderr = self._streams
        if self._recorders:
            # Entering makes the interpreter forget which warnings it has shown already.
            self._filters = warnings.catch_warnings()
            self._filters.__enter__()
            warnings.showwarning = self._show
        connect(self._logs)
        for patch in self._monkeypatches:
            self._patched.append((patch, [_take(patch, name) for name in (*_PATCHES, *_STATES)]))
        if self._directory is not None:
            self._files = frozenset(path.name for path in self._directory.iterdir())

    def __exit__(self, kind: object, *_error: object) -> None:
        """Undo what the call did to the fixtures, and forget what they recorded."""
        while self._patched:
            patch, before = self._patched.pop()
            patch.undo()
            for name, value in zip((*_PATCHES, *_STATES), before, strict=True):
                setattr(patch, name, value)
        if kind is None:
            self._empty()
        if self._recorders:
            self._filters.__exit__(None, None, None)
        sys.stdout, sys.stderr, warnings.showwarning = self._quiet
        self._quiet = ()

    def _empty(self) -> None:
        for capture in self._captures:
            capture.readouterr()
        disconnect(self._logs)
        for recorder in self._recorders:
            recorder.clear()
        if self._directory is not None:
            for path in self._directory.iterdir():
                if path.name not in self._files:
                    remove(path)


def connect(logs: list[pytest.LogCaptureFixture]) -> None:
    """Empty what ``caplog`` holds and let it hear the log again, which is silent while one measures."""
    for log in logs:
        log.clear()
        if log.handler not in logging.getLogger().handlers:
            logging.getLogger().addHandler(log.handler)


def disconnect(logs: list[pytest.LogCaptureFixture]) -> None:
    """Empty what ``caplog`` holds."""
    for log in logs:
        log.clear()


def remove(path: Path) -> None:
    """Remove a file or a directory, or leave it where that cannot be."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _take(patch: pytest.MonkeyPatch, name: str) -> typing.Any:
    """Take a list or a state out of the fixture, so that its ``undo`` undoes only what comes later."""
    value = getattr(patch, name, None)
    setattr(patch, name, [] if name in _PATCHES else None)
    return value
