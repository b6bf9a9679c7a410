"""The hooks through which exceptions surface outside a request: threads, tasks, finalizers, the process itself.

Each hook is chained: ours records, then the one that was there before runs, always. ``HookSet.remove`` puts the old ones
back where ours is still the one installed.
"""

from __future__ import annotations

import sys
import threading
import types
import typing
from collections.abc import Callable

from leakguard.probes.failures import Cause, cause_of

if typing.TYPE_CHECKING:
    import asyncio

Recorder = Callable[[Cause], object]


def _forget(cause: Cause) -> None:
    """Record nothing."""


class HookSet:
    """Every exception hook of one process, chained in front of those that were there.

    Args:
        record: called with the cause of each exception; whatever it raises is swallowed, for it runs in the host's hooks.
    """

    def __init__(self, record: Recorder) -> None:
        self._record = record
        self._installed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def install(self) -> None:
        """Put the hooks of threads, finalizers and the process in; a second call does nothing."""
        if self._installed:
            return
        self._installed = True
        self._before_thread = threading.excepthook
        self._before_unraisable = sys.unraisablehook
        self._before_process = sys.excepthook
        threading.excepthook = self._on_thread
        sys.unraisablehook = self._on_unraisable
        sys.excepthook = self._on_process

    def install_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Chain the loop's exception handler: exceptions of tasks that nobody awaited. Call it in the loop's thread."""
        if self._loop is loop:
            return
        self._loop = loop
        before = loop.get_exception_handler()

        def on_loop(loop: asyncio.AbstractEventLoop, context: dict[str, typing.Any]) -> None:
            self._note(context.get("exception"), "task")
            if before is None:
                loop.default_exception_handler(context)
            else:
                before(loop, context)

        loop.set_exception_handler(on_loop)

    def remove(self) -> None:
        """Put back the hooks that were there before, where nobody chained theirs in front of ours."""
        if not self._installed:
            return
        self._installed = False
        # A bound method is a new object at every look-up: compare by equality.
        if threading.excepthook == self._on_thread:
            threading.excepthook = self._before_thread
        if sys.unraisablehook == self._on_unraisable:
            sys.unraisablehook = self._before_unraisable
        if sys.excepthook == self._on_process:
            sys.excepthook = self._before_process

    def mute(self) -> None:
        """Record nothing from now on but stay in the chain: for a forked child that inherits the hooks."""
        self._record = _forget

    def _note(self, error: BaseException | None, source: str) -> None:
        if error is None:
            return
        try:
            self._record(cause_of(error, source))
        except Exception:  # the host's own hook must still run
            pass

    def _on_thread(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit:
            self._note(args.exc_value, "thread")
        self._before_thread(args)

    def _on_unraisable(self, args: sys.UnraisableHookArgs) -> None:
        self._note(args.exc_value, "unraisable")
        self._before_unraisable(args)

    def _on_process(
        self, kind: type[BaseException], error: BaseException, traceback: types.TracebackType | None
    ) -> None:
        if issubclass(kind, Exception):
            self._note(error, "process")
        self._before_process(kind, error, traceback)
