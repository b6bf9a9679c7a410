"""Signals as events: who sent them counts, for what the terminal sends (Ctrl-C) every process of the group has already got."""

from __future__ import annotations

import signal
import socket
import struct
import threading
from dataclasses import dataclass

FORWARDED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)
_FORM = "ii"


@dataclass(frozen=True, slots=True)
class Came:
    """One signal that came; ``shared``: the kernel sent it to the whole process group, so children have it too."""

    number: int
    shared: bool


class Signals:
    """Blocks the signals in this process and makes them readable. Children need ``mask``, the mask from before."""

    def __init__(self) -> None:
        # What was ignored by whoever started us (nohup, a shell's background job) stays ignored.
        wanted = {number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN} | {signal.SIGCHLD}
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
        self.reader, self._writer = socket.socketpair()
        self.reader.setblocking(False)
        threading.Thread(target=self._wait, args=(wanted,), name="leakguard-signals", daemon=True).start()

    def fileno(self) -> int:
        """Return the descriptor that is readable when a signal came."""
        return self.reader.fileno()

    def take(self) -> list[Came]:
        """Return what came since the last time."""
        came = []
        size = struct.calcsize(_FORM)
        try:
            while data := self.reader.recv(size):
                number, code = struct.unpack(_FORM, data)
                came.append(Came(number, code > 0))
        except BlockingIOError:
            pass
        return came

    def _wait(self, wanted: set[signal.Signals]) -> None:
        while True:
            info = signal.sigwaitinfo(wanted)
            # si_code is above zero (SI_KERNEL) for what a terminal sends, zero or below for kill and its like.
            self._writer.send(struct.pack(_FORM, info.si_signo, info.si_code))


def die_like(code: int) -> int:
    """End as a child did that ended with ``code`` (negative: by that signal), or return the exit code to end with.

    A child that died of SIGTERM was told to: so do we, for systemd takes the signal, not the code 143, as a clean end. The
    first process of a container cannot: it returns, with 128 and the signal's number, as shells have it.
    """
    if code >= 0:
        return code
    if -code in {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
        signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
        signal.pthread_kill(threading.get_ident(), -code)  # to this thread: another one waits for what the process gets
    return 128 - code
