"""Stillness for measuring: whatever grows because one watches, or by the interpreter's whim, is held still."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

# Python 3.12 starts with some 375 frozen objects of its own; an application that freezes has at least 5 000.
_INTERPRETER_FROZEN = 2000


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Let output, warnings and log records of the measured calls go nowhere while the block runs.

    The test runner keeps all three for its report, so a callable that prints, warns or logs would grow with every call and
    look like a leak of its own. The first call of all is made outside, so that each shows up once as usual.
    """
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(),
    ):
        quieted = _quieted()
        # Replacing this function, and not adding a filter, keeps a user's "error" filters in force.
        warnings.showwarning = _drop
        try:
            yield
        finally:
            for logger, handlers in quieted:
                logger.handlers[:] = handlers


def _quieted() -> list[tuple[logging.Logger, list[logging.Handler]]]:
    """Take the handlers that keep records off every logger and return what each had.

    Not only off the root: pytest 9 listens to the loggers that do not propagate as well, such as uvicorn's.
    """
    root = logging.getLogger()
    loggers = [each for each in list(root.manager.loggerDict.values()) if isinstance(each, logging.Logger)]
    quieted = [(each, each.handlers[:]) for each in (root, *loggers) if any(map(_keeps_records, each.handlers))]
    for logger, handlers in quieted:
        # A handler must remain: without any, logging falls back to writing to stderr.
        logger.handlers[:] = [h for h in handlers if not _keeps_records(h)] or [logging.NullHandler()]
    return quieted


@contextlib.contextmanager
def frozen() -> Iterator[None]:
    """Switch automatic collection off and put everything that exists out of the collector's sight while the block runs.

    A collection then takes half a millisecond instead of one per 10 000 objects of the test session. Nothing may be asked
    about holders inside: ``gc.get_referrers`` does not see frozen ones. Both switches are put back as they were found; where
    the application has frozen objects itself they stay frozen, and nothing is added to them, for they could not be told apart.
    """
    automatic, theirs = gc.isenabled(), gc.get_freeze_count() > _INTERPRETER_FROZEN
    collect()
    gc.disable()
    if not theirs:
        gc.freeze()
    try:
        yield
    finally:
        if not theirs:
            gc.unfreeze()
        if automatic:
            gc.enable()


@contextlib.contextmanager
def roomy() -> Iterator[None]:
    """Allow as many descriptors as the system lets us while the block runs.

    A callable that leaks one per call would else meet the usual limit of 1024 before it is judged.
    """
    try:
        import resource
    except ImportError:  # no such limit here
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def settle() -> None:
    """Bring the interpreter's own memory to a fixed point: buffers and caches empty, garbage collected. 0.5 ms when frozen.

    linecache stays as it is, unlike in regrtest and psleak: what it holds for generated code (attrs, dataclasses, doctest)
    cannot be read again, and a class built per call, which fills it for ever, is a leak that must be seen.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):  # none, closed or full: the callable's own doing
            stream.flush()
    _clear_type_cache()
    re.purge()
    collect()


def collect() -> None:
    """Collect until nothing more comes free, three times at most: a finalizer may let go of the next cycle."""
    for _ in range(3):
        if not gc.collect():
            return


def collect_young() -> None:
    """Collect what came lately, as the interpreter would by itself; between calls, where a full collection is too dear."""
    gc.collect(1)


def _drop(*_args: object, **_keywords: object) -> None:
    """Take a warning and forget it."""


def _clear_type_cache() -> None:
    clear = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache  # the old name warns since 3.13
    clear()


def _keeps_records(handler: logging.Handler) -> bool:
    # pytest's handlers for caplog and for the report's "Captured log" section, and logging's own memory buffer.
    return type(handler).__name__ in {"LogCaptureHandler", "_LiveLoggingNullHandler", "MemoryHandler"}
