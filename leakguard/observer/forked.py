"""A forked copy of the host that looks and answers: how it is made, waited for and put down.

It is made by the C library's ``fork`` with the interpreter lock held, not by ``os.fork``, for two measured reasons.
Before any at-fork hook could stop it, ``os.fork`` clears the thread states of all other threads in the child, and with
them what they kept in ``threading.local``: finalizers run (3.11, 3.12 and 3.13), and a database connection says goodbye
on the parent's socket. And it runs everybody's at-fork hooks, of which some start threads. The bare fork runs no Python
at all, keeps the other threads' frames readable, and the copy then never gives the lock away (see ``seal``).

The answer comes through an anonymous file in memory, so that neither side ever waits for the other.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import struct
import sys
import time
import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from leakguard.observer import seal

Work = Callable[[], Sequence[bytes]]

# While the copy is made no thread may reach the end of its time slice, for it would ask for the lock in the copy too, where
# nobody can take it: 1 copy in 15 hung so. A slice four times as long as the fork takes (25 ms per GiB) is enough; a thread
# that computes may keep others waiting for as long, once.
_CALM = 0.05
_CALM_PER_BYTE = 0.1 / (1 << 30)
_CALM_SLEEP = 1.2  # slices: every thread that waits for the lock has then begun to wait anew, with the long slice

# A copy computes and never waits, so one that sleeps for so long met a lock whose owner does not exist in it.
_HUNG = 1.0
# A killed process is gone when its memory is unmapped: milliseconds. One that hangs in the kernel is left to init.
_DYING = 1.0
# The copy's own alarm rings a little after the host's deadline, for the case that the host can no longer kill it.
_ALARM_LATER = 1.0

_HEADER = struct.Struct("=8sB7xQ")
_MAGIC = b"lgLook01"
_LENGTH = struct.Struct("=Q")
# An answer holds a census and the lengths of at most 200 000 containers: under 5 MB. More is not from us.
_LARGEST_ANSWER = 64 << 20


class Answer(typing.NamedTuple):
    """What a copy said: its sections, or why there are none."""

    sections: tuple[bytes, ...] = ()
    why: str | None = None


def impossible() -> str | None:
    """Return why no forked look can be taken on this platform, ``None`` when it can."""
    if not sys.platform.startswith("linux"):
        return f"no forked look on {sys.platform}: a copy of a process with threads is not safe there"
    if sys.implementation.name != "cpython":
        return f"no forked look under {sys.implementation.name}"
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return "no forked look without the global interpreter lock: other threads would be copied in the middle of a change"
    try:
        seal.libc().fork  # noqa: B018 - found or not is the question
    except (OSError, AttributeError):
        return "no forked look: the C library's fork cannot be reached"
    return None


class Copy:
    """One forked copy at work. Made with ``Copy.begin``; every method is cheap and none of them waits."""

    def __init__(self, pid: int, answer: int, stall: float, deadline: float) -> None:
        self.pid = pid
        self.stall = stall
        self._answer = answer
        self._deadline = deadline
        self._asleep_since: float | None = None

    @classmethod
    def begin(cls, work: Work, seconds: float, memory: int = 0) -> Copy:
        """Fork a copy that runs ``work`` and answers with what it returns, and is killed after ``seconds``.

        The host pays the fork: about 25 milliseconds per GiB of ``memory`` in use. Call it from a thread that lives on: the
        copy dies with the thread.

        Raises:
            OSError: when the kernel refuses (no memory, no process left).
        """
        answer = os.memfd_create("leakguard-look", os.MFD_CLOEXEC)
        host = os.getpid()

        def look() -> None:
            _look(work, seconds, answer, host)

        with _calm(_CALM + memory * _CALM_PER_BYTE):
            pid, stall = _fork(look)
        if pid < 0:
            os.close(answer)
            raise OSError(errno.EAGAIN, "the kernel refused to fork")
        return cls(pid, answer, stall, time.monotonic() + seconds)

    def poll(self) -> Answer | None:
        """Return the answer, or ``None`` while the copy still works. One that hangs, or is past its deadline, is killed."""
        if self.pid and not self._ended():
            now = time.monotonic()
            hung = self._hangs(now)
            if now < self._deadline and not hung:
                return None
            self.kill()
            return Answer(why=f"the forked look {'hung' if hung else 'ran into its deadline'} and was killed")
        try:
            return _read(self._answer)
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill and reap the copy if it still lives, and drop its answer. Harmless when called twice."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            patience = time.monotonic() + _DYING
            while not self._ended() and time.monotonic() < patience:
                time.sleep(0.002)
        if self._answer >= 0:
            os.close(self._answer)
            self._answer = -1

    def abandon(self) -> None:
        """Let go of a copy that is another process's child: the host forked while a look was under way."""
        self.pid = 0
        self.kill()

    def _hangs(self, now: float) -> bool:
        """Say whether the copy has slept at every poll for ``_HUNG`` seconds. One that waits for a processor does not sleep."""
        if _state(self.pid) != "S":
            self._asleep_since = None
        elif self._asleep_since is None:
            self._asleep_since = now
        return self._asleep_since is not None and now - self._asleep_since > _HUNG

    def _ended(self) -> bool:
        try:
            ended, _ = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # somebody who waits for any child was faster
            ended = self.pid
        if ended:
            self.pid = 0
        return bool(ended)


def _state(pid: int) -> str | None:
    """Return the kernel's letter for what a process does; ``None`` where it cannot be read."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - a Path costs more than the reading
            return file.read().rpartition(b") ")[2][:1].decode()
    except OSError:
        return None


@contextmanager
def _calm(slice_: float) -> Iterator[None]:
    """Let no thread's time slice end while the block runs: threads that wait for the lock do so with a longer one."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(max(usual, slice_))
    try:
        if usual < slice_:
            time.sleep(usual * _CALM_SLEEP)
        yield
    finally:
        sys.setswitchinterval(usual)


def _fork(look: Callable[[], None]) -> tuple[int, float]:
    """Fork; the copy runs ``look`` and never returns. Return its process id and how long the fork took.

    Nothing of the host may run between the fork and the copy's first act, so it is silenced here and not there: signals (their
    handlers write into the wake-up descriptor of the loop), a collection that is due already, a debugger's trace function.
    """
    fork = seal.libc().fork
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    collecting, trace, profile = gc.isenabled(), sys.gettrace(), sys.getprofile()
    sys.settrace(None)
    if callable(
        profile
    ):  # a profiler written in C shows an object that cannot be set again; in the copy it only counts on
        sys.setprofile(None)
    gc.disable()
    try:
        begun = time.perf_counter()
        pid = fork()
        if pid == 0:
            look()
        return pid, time.perf_counter() - begun
    finally:
        if collecting:
            gc.enable()
        if callable(profile):
            sys.setprofile(profile)
        sys.settrace(trace)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _look(work: Work, seconds: float, answer: int, parent: int) -> None:
    """Run in the copy: seal it, look, answer, vanish. Never returns."""
    try:
        sys.setswitchinterval(seconds + 1)
        seal.seal(answer, parent, seconds + _ALARM_LATER)
        sections, failed = list(work()), 0
    except BaseException as error:  # whatever happened, this process must end here
        sections, failed = [_blame(error).encode()], 1
    try:
        lengths = b"".join(_LENGTH.pack(len(section)) for section in sections)
        header = _HEADER.pack(_MAGIC, failed, len(sections))
        seal.write(answer, [header, lengths, *sections])
    finally:
        os._exit(failed)


def _blame(error: BaseException) -> str:
    """Return what went wrong in the copy: type and place, never the message, which may hold a value."""
    place, frames = "", error.__traceback__
    while frames is not None:
        place = f"{os.path.basename(frames.tb_frame.f_code.co_filename)}:{frames.tb_lineno}"  # noqa: PTH119
        frames = frames.tb_next
    return f"{type(error).__name__} at {place}"


def _read(descriptor: int) -> Answer:
    size = os.fstat(descriptor).st_size
    if not _HEADER.size <= size <= _LARGEST_ANSWER:
        return Answer(why="the forked look died without an answer")
    magic, failed, count = _HEADER.unpack(os.pread(descriptor, _HEADER.size, 0))
    at = _HEADER.size + count * _LENGTH.size
    if magic != _MAGIC or at > size:
        return Answer(why="the forked look died in the middle of its answer")
    lengths = [entry[0] for entry in _LENGTH.iter_unpack(os.pread(descriptor, at - _HEADER.size, _HEADER.size))]
    if at + sum(lengths) != size:
        return Answer(why="the forked look died in the middle of its answer")
    sections = []
    for length in lengths:
        sections.append(os.pread(descriptor, length, at))
        at += length
    if failed:
        return Answer(why=f"the forked look failed: {sections[0].decode(errors='replace')}")
    return Answer(tuple(sections))
