"""The app in a process of its own, watched over: it may print, hang, crash or end itself, and the check still has an end."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import io
import os
import pickle
import re
import select
import signal
import sys
import tempfile
import time
import traceback
import typing
from collections.abc import Callable, Sequence
from pathlib import Path

from leakguard.check.board import DONE, MEASURING, PHASES, Board
from leakguard.check.drive import drive
from leakguard.check.plan import Plan
from leakguard.check.result import Result
from leakguard.errors import ConfigError, LeakGuardError, NotMeasuredError
from leakguard.probes.code import origin, own_first
from leakguard.records import Site

POLL = 0.2  # seconds between two looks at the board
GRACE = 1.5  # seconds that the process with the app is given to notice by itself what the one that watches sees as well
STOP = 2.5  # seconds in which the app must have shut down

_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$')
_PR_SET_PDEATHSIG = 1

Show = Callable[[int, int], None]
"""Is shown the phase and the round trips made, now and then."""


def check(plan: Plan, show: Show) -> Result:
    """Check an app in a process that is forked off for it; in this one where there is no fork.

    Raises:
        ConfigError: the target is no app, or gives no requests.
        NotMeasuredError: it does not start up, hangs, crashes, or was not answered.
    """
    board = Board(plan.concurrency)
    if not hasattr(os, "fork"):
        return drive(plan, board, lambda _message: None)
    with tempfile.TemporaryFile() as traces:
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _be_driven(plan, board, writing, traces)  # never returns
        os.close(writing)
        try:
            return _Watch(plan, board, child, reading, traces).until_done(show)
        finally:
            os.close(reading)


def _be_driven(plan: Plan, board: Board, writing: int, traces: typing.IO[bytes]) -> typing.NoReturn:
    """Drive the app and answer through the pipe, then leave without any more of the app's code."""
    code = 0
    try:
        os.dup2(2, 1)  # what the app prints must not get between the lines of the report
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # nor may it wait for somebody to type
        _die_with_parent()
        os.environ["LEAKGUARD_LEVEL"] = "off"  # a middleware of ours in the app would measure, and grow, beside us
        os.environ.update(plan.environment)
        faulthandler.enable(traces, all_threads=True)
        faulthandler.register(signal.SIGQUIT, traces, all_threads=True)
        try:
            drive(plan, board, lambda message: _write(writing, pickle.dumps(message)))
        except LeakGuardError as error:
            _write(writing, pickle.dumps(_Failed(isinstance(error, ConfigError), str(error))))
        board.enter(DONE)
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        with contextlib.suppress(BaseException):
            _write(writing, pickle.dumps(_Broken(traceback.format_exc())))
    finally:
        os._exit(code)


class _Failed(typing.NamedTuple):
    """An error of ours on its way from one process to the other."""

    usage: bool
    said: str


class _Broken(typing.NamedTuple):
    """A mistake of ours, likewise."""

    trace: str


class _Watch:
    """Watches the process with the app: reads what it answers, ends it when it hangs, says what became of it."""

    def __init__(self, plan: Plan, board: Board, child: int, reading: int, traces: typing.IO[bytes]) -> None:
        self._plan = plan
        self._board = board
        self._child = child
        self._reading = reading
        self._traces = traces
        self._began = time.monotonic()
        self._answer = bytearray()

    def until_done(self, show: Show) -> Result:
        """Return the result.

        Raises:
            LeakGuardError: what the other process raised, or what became of it.
        """
        status: int | None = None
        try:
            while status is None:
                self._listen()
                if self._messages()[1] is not None:
                    break
                show(self._board.phase, self._board.trips)
                status = self._ended()
                said = self._overdue() if status is None else None
                if said is not None:
                    raise NotMeasuredError(said)
            self._listen()
        finally:
            status = self._end() if status is None else status
        return self._result(status)

    def _listen(self) -> None:
        """Read what there is, or wait a moment. Others may hold the pipe open: its end is not waited for."""
        ready, _, _ = select.select([self._reading], [], [], POLL)
        while ready:
            piece = os.read(self._reading, 65536)
            self._answer += piece
            ready = select.select([self._reading], [], [], 0)[0] if piece else []

    def _ended(self) -> int | None:
        """Return how the process ended, ``None`` while it runs."""
        pid, status = os.waitpid(self._child, os.WNOHANG)
        return status if pid else None

    def _overdue(self) -> str | None:
        """Return what hangs, if something does."""
        now = time.monotonic()
        phase = self._board.phase
        waiting = self._board.oldest()
        if waiting is not None and now - waiting[0] > self._plan.patience + GRACE:
            return f"{self._name(waiting[1])} hangs: no answer within {self._plan.patience:g} s{self._place()}"
        if now - self._began <= self._plan.deadline:
            return None
        doing = "" if phase == MEASURING else f" while {PHASES[phase]}{self._place()}"
        return f"the deadline of {self._plan.deadline:g} s passed{doing}; give it more time: --deadline"

    def _place(self) -> str:
        """Return where the app is at this moment: its own interpreter writes that down even if nothing else runs any more."""
        with contextlib.suppress(OSError):
            os.kill(self._child, signal.SIGQUIT)
            time.sleep(0.3)
        site = self._traced()
        return f"; it is at {site} in {site.function}" if site else ""

    def _traced(self) -> Site | None:
        self._traces.seek(0)
        text = self._traces.read(1_000_000).decode("utf-8", "replace")
        return place_in(text)

    def _end(self) -> int:
        """Make sure that the process is gone, and return how it ended. One that has answered may shut its app down first."""
        until = time.monotonic() + (STOP if self._messages()[1] is not None else 0.0)
        while (status := self._ended()) is None and time.monotonic() < until:
            time.sleep(POLL / 10)
        if status is not None:
            return status
        with contextlib.suppress(OSError):
            os.kill(self._child, signal.SIGKILL)
        return os.waitpid(self._child, 0)[1]

    def _result(self, status: int) -> Result:
        _, answer = self._messages()
        if isinstance(answer, Result):
            return answer
        if isinstance(answer, _Failed):
            raise (_UsageError if answer.usage else NotMeasuredError)(answer.said)
        if isinstance(answer, _Broken):
            raise RuntimeError(answer.trace)  # noqa: TRY004 - a mistake of ours
        if os.waitstatus_to_exitcode(status) == 130:
            raise KeyboardInterrupt
        raise NotMeasuredError(self._became(status))

    def _messages(self) -> tuple[tuple[str, ...], object]:
        """Return the names of the requests, and the answer, as far as they have come."""
        names: tuple[str, ...] = ()
        stream = io.BytesIO(self._answer)
        with contextlib.suppress(EOFError, pickle.UnpicklingError):
            while True:
                message = pickle.load(stream)  # noqa: S301 - of our own child
                if isinstance(message, Result | _Failed | _Broken):
                    return names, message
                names = message
        return names, None

    def _name(self, index: int) -> str:
        names, _ = self._messages()
        return names[index] if index < len(names) else "a request"

    def _became(self, status: int) -> str:
        doing = PHASES[self._board.phase] or "it was checked"
        waiting = self._board.oldest()
        if waiting is not None:
            doing = f"{self._name(waiting[1])} was on its way"
        site = self._traced()
        place = f", at {site} in {site.function}" if site else ""
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            return f"the app's process crashed ({name}) while {doing}{place}"
        return f"the app ended its process (exit code {os.waitstatus_to_exitcode(status)}) while {doing}"


class _UsageError(ConfigError):
    """A usage error that was told in full in the other process."""

    def __init__(self, said: str) -> None:
        Exception.__init__(self, said)


def place_in(text: str) -> Site | None:
    """Return the app's innermost own line in what ``faulthandler`` wrote, of the thread that has one; the current one first."""
    stacks: list[list[tuple[str, int, str]]] = []
    for line in text.splitlines():
        if line.startswith(("Thread ", "Current thread ")):
            stacks.insert(0, []) if line.startswith("Current") else stacks.append([])
            current = stacks[0] if line.startswith("Current") else stacks[-1]
        elif (frame := _FRAME.match(line)) and stacks:
            current.append((frame[1], int(frame[2]), frame[3]))
    return _first_own(stacks)


def _first_own(stacks: Sequence[Sequence[tuple[str, int, str]]]) -> Site | None:
    ours = str(Path(sys.argv[0]).absolute())  # the command itself lies outside leakguard's directory
    told = [[place for place in stack if place[0] != ours] for stack in stacks]
    for stack in told:
        if any(origin(filename) == "own" for filename, _, _ in stack):
            return own_first(stack)
    return own_first(told[0]) if told else None


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _die_with_parent() -> None:
    """Do not outlive the process that watches (Linux)."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
