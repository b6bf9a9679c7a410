"""The supervisor: one process that serves, now and then a second one that is to succeed it, and the sockets they share.

A process that ends by itself ends the supervisor with its code, so that systemd, Docker or Kubernetes act: it starts a
process again only after one that said it would leave, and keeps the socket meanwhile.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence

from leakguard.supervisor.process import Process
from leakguard.supervisor.signals import Came, Signals
from leakguard.supervisor.sockets import Kept

KILL_AFTER = 10.0  # seconds that a successor gets to end when it is not wanted
GRACE = 30.0  # beyond the drain: lifespan, atexit hooks, the last window of the journal


class Supervisor:
    """Runs one command. Make it in the main thread of a process that has no other.

    Args:
        command: its words.
        environment: of the processes.
        kept: the sockets handed over by whoever started us; more come from the process.
        drain: seconds that requests in flight get, for the hard deadline.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], kept: Kept, *, drain: float) -> None:
        self._command = command
        self._environment = environment
        self._kept = kept
        self._drain = drain
        self._signals = Signals()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._signals, selectors.EVENT_READ)
        self._current: Process | None = None
        self._successor: Process | None = None
        self._unwanted: Process | None = None
        self._calls_early = False
        self._ending = 0  # how often we were told to end
        self._deadline: float | None = None
        self._code: int | None = None

    def run(self) -> int:
        """Return the exit code of the last process when it has ended (negative: the signal it died of).

        Raises:
            OSError: when the command cannot be started.
        """
        self._current = self._start()
        while self._code is None:
            for key, _ in self._selector.select(self._timeout()):
                if key.fileobj is self._signals:
                    for came in self._signals.take():
                        self._take(came)
                elif isinstance(key.fileobj, Process):
                    self._hear(key.fileobj)
            self._enforce_deadline()
        return self._code

    # ------------------------------------------------------------------------------------------------ processes

    def _start(self) -> Process:
        process = Process(self._command, self._environment, self._signals.mask)
        self._selector.register(process, selectors.EVENT_READ)
        return process

    def _reap(self) -> None:
        # All children, not only ours: as the first process of a container we inherit orphans.
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for process in (self._current, self._successor, self._unwanted):
                if process is not None and process.pid == pid:
                    self._listen_out(process)
                    self._ended(process, os.waitstatus_to_exitcode(status))

    def _listen_out(self, process: Process) -> None:
        """Hear what it said last, before it counts as gone."""
        while process.fileno() in self._selector.get_map() and self._hear(process):
            pass

    def _ended(self, process: Process, code: int) -> None:
        self._let_go(process)
        process.channel.close()
        if process is self._unwanted:
            self._unwanted = None
        elif process is self._successor:
            self._successor = None
            if self._current is None:
                self._code = code
            else:
                self._current.tell("lost", why=f"it ended with {_worded(code)} before it served")
        else:
            self._current = None
            self._succeed(process, code)
        if self._current is None and self._successor is None and self._code is None:
            self._code = code

    def _succeed(self, process: Process, code: int) -> None:
        if self._successor is not None:
            if not process.leaving and not self._ending:
                _say(
                    f"process {process.pid} ended with {_worded(code)}; its successor {self._successor.pid} takes over"
                )
            self._current, self._successor = self._successor, None
            if self._calls_early:
                self._calls_early = False
                self._call(self._current)
        elif process.leaving and not self._ending:
            try:
                self._current = self._start()
            except OSError as error:
                _say(f"the successor cannot be started: {error.strerror}")
                self._code = 1
        else:
            self._code = code

    # ------------------------------------------------------------------------------------------------- messages

    def _hear(self, process: Process) -> bool:
        heard = process.hear()
        if heard is None:
            self._let_go(process)
            return False
        message, descriptors = heard
        word = message.get("do")
        if word == "keep":
            process.listening = True
            for descriptor in descriptors:
                self._kept.add(str(message.get("key")), socket.socket(fileno=descriptor))
            descriptors = []
        for descriptor in descriptors:
            os.close(descriptor)
        if word == "hello":
            process.tell("sockets", self._kept.sockets, keys=self._kept.keys, given=self._kept.given)
        elif word == "ready":
            process.ready = True
            if process is self._successor and self._current is not None:
                self._current.tell("serves")
        elif word == "call":
            self._call(process)
        elif word == "dismiss" and self._successor is not None and process is self._current:
            self._dismiss()
        elif word == "leaving":
            process.leaving = True
        elif word == "stopped":
            self._kept.close()
            process.tell("closed")
        return bool(message)

    def _call(self, process: Process) -> None:
        if self._ending:
            process.tell("lost", why="the supervisor is about to end")
            return
        if process is not self._current:  # its own predecessor has not ended yet
            self._calls_early = True
            return
        if self._successor is None:
            try:
                self._successor = self._start()
            except OSError as error:
                process.tell("lost", why=f"it cannot be started: {error.strerror}")
                return
        if self._successor.ready:
            process.tell("serves")

    def _dismiss(self) -> None:
        self._unwanted, self._successor = self._successor, None
        if self._unwanted is not None:
            self._unwanted.signal(signal.SIGTERM)
            self._deadline = time.monotonic() + KILL_AFTER

    def _let_go(self, process: Process) -> None:
        if process.channel.fileno() != -1 and process.fileno() in self._selector.get_map():
            self._selector.unregister(process)

    # -------------------------------------------------------------------------------------------------- signals

    def _take(self, came: Came) -> None:
        if came.number == signal.SIGCHLD:
            self._reap()
        elif came.number == signal.SIGTERM and not came.shared:
            self._end()
        elif came.number == signal.SIGHUP and not came.shared and self._replaces():
            pass
        else:
            self._ending += came.number in {signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP}
            if not came.shared:
                self._pass_on(came.number)

    def _end(self) -> None:
        """Have everybody leave: who serves drains first, who boots is stopped at once; told twice, all at once."""
        self._ending += 1
        for process in (self._successor, self._current):
            if process is None:
                continue
            if self._ending == 1 and process.ready and process.tell("retire", why="told to end by SIGTERM"):
                self._deadline = time.monotonic() + self._drain + GRACE
            else:
                process.signal(signal.SIGTERM)

    def _replaces(self) -> bool:
        """Ask for a successor; ``False`` where no server of ours would hear of it."""
        serving = self._current
        if serving is None or not (serving.ready or serving.listening):
            return False
        return serving.tell("replace", why="asked for by SIGHUP")

    def _pass_on(self, number: int) -> None:
        for process in (self._successor, self._current):
            if process is not None:
                process.signal(number)

    def _timeout(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def _enforce_deadline(self) -> None:
        if self._deadline is None or time.monotonic() < self._deadline:
            return
        self._deadline = None
        late = (self._successor, self._current) if self._ending else (self._unwanted,)
        for process in late:
            if process is not None:
                process.signal(signal.SIGKILL)


def _worded(code: int) -> str:
    if code >= 0:
        return f"code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _say(text: str) -> None:
    print(f"leakguard: {text}", file=sys.stderr, flush=True)  # noqa: T201 - the supervisor's only voice
