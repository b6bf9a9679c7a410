"""SIGTERM, held back until the close was announced: a deploy, a reload of the server, a roll.

Servers answer SIGTERM by closing idle connections at once, on which a client may just be sending (0.1 requests lost per
worker that uvicorn rolls, none when the close was announced first, measured). So the signal is noted, the worker announces
that it leaves, and then the server's own handler has it, unchanged. Whoever sets a handler after us simply replaces ours.
"""

from __future__ import annotations

import functools
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any


class Term:
    """The SIGTERM of this process.

    Attributes:
        told: set once the signal came.
    """

    def __init__(self) -> None:
        self.told = threading.Event()
        self._pid = 0
        self._invited = 0
        self._open = False
        self._original: Callable[..., Any] | None = None
        # Reentrant: a signal handler may put while the main thread holds any other lock.
        self._came: queue.SimpleQueue[None] = queue.SimpleQueue()

    @property
    def held(self) -> object:
        """The handler that was there before ours."""
        return self._original

    @property
    def installed(self) -> bool:
        """Whether the signal of this process comes to us first."""
        return self._pid == os.getpid()

    def install(self, on_told: Callable[[], None], own: Callable[[], Any] | None = None) -> bool:
        """Put ourselves before the server's handler; only in the main thread and where there is one of Python's.

        Args:
            on_told: called once when the signal comes, in a thread of its own; it must end with ``pass_on``.
            own: what the server does at the signal, where it gave that to an event loop that does not tell (uvloop).
        """
        if self.installed:
            return True
        if threading.current_thread() is not threading.main_thread():
            return False
        # Whoever is to answer is there before the signal comes to us: one that nobody answers would never arrive.
        threading.Thread(target=self._wait, args=(on_told,), name="leakguard-term", daemon=True).start()
        self._pid = os.getpid()
        if self._in_loop(own) or self._plain():
            return True
        self._pid = 0
        self._came.put(None)
        return False

    def invite(self, on_told: Callable[[], None]) -> None:
        """Let ``call`` do the installing later: in a worker that boots, before the server has set its handlers.

        Handlers can be set in the main thread only, and granian's WSGI workers give it nothing to do for us but to take
        signals: SIGURG, which nobody uses and which is ignored by default, brings us there once.
        """
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGURG) is signal.SIG_DFL:
            self._invited = os.getpid()
            signal.signal(signal.SIGURG, functools.partial(self._come, on_told))

    def call(self) -> None:
        """Have the main thread install us, if it was invited to; from any thread, when the server serves."""
        if self._invited == os.getpid() and not self.installed:
            self._invited = 0
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGURG)

    def _come(self, on_told: Callable[[], None], *_: object) -> None:
        signal.signal(signal.SIGURG, signal.SIG_DFL)
        self.install(on_told)

    def open(self) -> None:
        """Let the signal through from now on."""
        self._open = True

    def pass_on(self) -> None:
        """Give the server the signal that was held back."""
        self._open = True
        os.kill(os.getpid(), signal.SIGTERM)

    def _in_loop(self, own: Callable[[], Any] | None) -> bool:
        """Take the place of a handler that the running event loop has; asyncio's loop can be asked which, uvloop cannot."""
        asyncio = sys.modules.get("asyncio")
        loop = asyncio._get_running_loop() if asyncio is not None else None
        if loop is None:
            return False
        handle = (getattr(loop, "_signal_handlers", None) or {}).get(signal.SIGTERM)
        if handle is None and getattr(signal.getsignal(signal.SIGTERM), "__self__", None) is not loop:
            return False
        original = own if handle is None else handle._run
        if original is None:
            return False
        self._original = original
        loop.add_signal_handler(signal.SIGTERM, self._handle)
        return True

    def _plain(self) -> bool:
        handler = signal.getsignal(signal.SIGTERM)
        if not callable(handler) or hasattr(getattr(handler, "__self__", None), "add_signal_handler"):
            return False  # an event loop's, which hears of the signal whatever we put over its handler
        self._original = handler
        signal.signal(signal.SIGTERM, self._handle)
        return True

    def _handle(self, *arguments: Any) -> None:
        if self._open or os.getpid() != self._pid:
            if self._original is not None:
                self._original(*arguments)
        else:
            self._came.put(None)

    def _wait(self, on_told: Callable[[], None]) -> None:
        self._came.get()
        if not self.installed:
            return
        self.told.set()
        try:
            on_told()
        except Exception:  # whatever fails in us, the server gets its signal
            self.pass_on()


def unwrapped(handler: object) -> object:
    """Return the server's own handler, where ours lies over it."""
    owner = getattr(handler, "__self__", None)
    return owner.held if type(owner) is Term else handler
