"""The workers of one server on this host, as they see each other: who serves, whose turn it is to leave, who left.

One directory per server, named by the parent process and its start time. Each serving worker holds a lock on a file of its
own; the worker whose turn it is holds the lock on ``turn`` until it dies. The kernel drops locks at death, also at SIGKILL,
so nothing gets stale.

``flock`` and not ``lockf``: a POSIX record lock vanishes when *any* descriptor of the file is closed in the process.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import time
import weakref
from collections.abc import Mapping
from pathlib import Path

with contextlib.suppress(ImportError):  # not on Windows, where no server is one that workers are replaced under
    import fcntl

DAY = 86400.0
MOST_RECYCLES = 4096  # lines kept of the history; daily_cap looks at a day of them

_groups: weakref.WeakSet[Group] = weakref.WeakSet()


class Group:
    """The workers of one server. Open it in the worker, never before a fork: forked locks are shared.

    Raises:
        OSError: when the directory cannot be made, or is another user's.
    """

    def __init__(self, directory: Path) -> None:
        _own_directory(directory.parent)
        _own_directory(directory)
        self.directory = directory
        self.pid = os.getpid()
        self._mine: int | None = None
        self._turn: int | None = None
        _groups.add(self)

    @classmethod
    def of_parent(cls, environment: Mapping[str, str] = os.environ, parent: int | None = None) -> Group:
        """Open the group of this process's parent (or the one given), and remove what servers that are gone left behind."""
        parent = parent or os.getppid()
        directory = base(environment) / f"{parent}-{started(parent)}"
        group = cls(directory)
        sweep(directory.parent)
        return group

    def announce(self) -> None:
        """Say that this worker serves now, until it dies or withdraws."""
        if self._mine is None:
            self._mine = _locked(self.directory / f"ready-{self.pid}", wait=True)

    def serving(self) -> frozenset[int]:
        """Return the process ids of all workers that serve, this one included.

        Asking tries the locks, shared: several may ask at once, and a worker that announces itself waits for them.
        """
        found = set()
        for path in self.directory.glob("ready-[0-9]*"):
            pid = path.name.partition("-")[2]
            if pid == str(self.pid) or _is_locked(path):
                found.add(int(pid))
            else:
                path.unlink(missing_ok=True)
        return frozenset(found)

    def keep(self) -> None:
        """Renew the announcement, once a minute: cleaners of temporary directories remove what looks old."""
        if self._mine is None:
            return
        _own_directory(self.directory.parent)
        _own_directory(self.directory)
        mine = self.directory / f"ready-{self.pid}"
        for path in (mine, self.directory / "recycles", self.directory, self.directory.parent):
            with contextlib.suppress(FileNotFoundError):
                os.utime(path)
        if not mine.exists():
            os.close(self._mine)
            self._mine = None
            self.announce()

    def youngest_serves(self) -> bool:
        """Return whether the youngest process of this server, younger than this one, serves; true when there is none.

        For servers that start a successor and do not wait for it. A child that is no worker (a helper that is older than
        the workers, or one that died) is not waited for.
        """
        import psutil

        mine = started(self.pid) or 0
        try:
            born = {child.pid: started(child.pid) or 0 for child in psutil.Process(os.getppid()).children()}
        except psutil.Error:
            return True
        younger = {pid: start for pid, start in born.items() if start > mine}
        return not younger or _is_locked(self.directory / f"ready-{max(younger, key=younger.__getitem__)}")

    def is_oldest(self) -> bool:
        """Return whether no living worker that announced itself started before this one; tries no locks."""
        pids = [int(path.name.partition("-")[2]) for path in self.directory.glob("ready-[0-9]*")]
        starts = [start for start in map(started, pids) if start is not None]
        return started(self.pid) == min(starts, default=None)

    def owe(self) -> None:
        """Write down that the server was asked for one worker too many, to be taken back when this one leaves."""
        (self.directory / "owed").write_text(f"{self.pid} {started(self.pid)}")

    def settle(self) -> None:
        """Write down that the worker too many was taken back."""
        (self.directory / "owed").unlink(missing_ok=True)

    def is_owed(self) -> bool:
        """Return whether a worker died (of the OOM killer, say) after it asked for a successor and before it left."""
        try:
            pid, _, start = (self.directory / "owed").read_text().partition(" ")
            return str(started(int(pid))) != start
        except (OSError, ValueError):
            return False

    def take_turn(self) -> bool:
        """Take the turn if nobody has it; never waits."""
        if self._turn is None:
            self._turn = _locked(self.directory / "turn", wait=False)
        return self._turn is not None

    def give_turn(self) -> None:
        """Give the turn back, because the recycle became unnecessary."""
        if self._turn is not None:
            os.close(self._turn)
            self._turn = None

    def remember(self, at: float) -> None:
        """Write down that a worker was replaced ``at`` this Unix time, where it outlives the worker."""
        path = self.directory / "recycles"
        lines = [*(str(known) for known in self.history()[-MOST_RECYCLES:]), str(at)]
        fresh = path.with_name(f"recycles-{self.pid}")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.replace(path)

    def history(self) -> list[float]:
        """Return the Unix times of the recycles of this server, oldest first; unreadable lines do not count."""
        times = []
        with contextlib.suppress(OSError):
            for line in (self.directory / "recycles").read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    times.append(float(line))
        return times

    def recent(self, now: float) -> tuple[int, float | None]:
        """Return how many recycles the last day had, and the seconds since the latest (``None``: there was none)."""
        day = [at for at in self.history() if now - DAY <= at]
        return len(day), max(0.0, now - max(day)) if day else None

    def close(self) -> None:
        """Withdraw: give the turn back and take the announcement down."""
        self.give_turn()
        if self._mine is not None:
            if os.getpid() == self.pid:
                (self.directory / f"ready-{self.pid}").unlink(missing_ok=True)
            os.close(self._mine)
            self._mine = None


def base(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of all groups of this user: in the user's runtime directory, else in the temporary one."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    root = Path(runtime) if runtime and os.access(runtime, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    return root / f"leakguard-{os.geteuid()}"


def directory_of(parent: int, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of the group of that parent process; it need not be there."""
    return base(environment) / f"{parent}-{started(parent)}"


def ask_to_leave(directory: Path) -> None:
    """Write down that this process wants to be the one that its parent lets go."""
    (directory / f"leave-{os.getpid()}").touch(mode=0o600)


def take_asked(directory: Path) -> list[int]:
    """Return the processes that wrote down that they want to leave, and forget them; for their parent."""
    asked = []
    for path in directory.glob("leave-[0-9]*"):
        path.unlink(missing_ok=True)
        asked.append(int(path.name.partition("-")[2]))
    return asked


def started(pid: int) -> int | None:
    """Return when the process started, in the kernel's ticks since boot; ``None`` when it is gone.

    Process ids are used again; with its start time one names a process for good.
    """
    try:
        # The second field is the program's name and may hold spaces and parentheses: count from behind its end.
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except (OSError, ValueError, IndexError):
        return None
    import psutil

    try:
        return int(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def sweep(directory: Path) -> None:
    """Remove the groups in ``directory`` whose parent process is gone."""
    for group in directory.glob("*-*"):
        parent, _, start = group.name.partition("-")
        if not parent.isdigit() or str(started(int(parent))) == start:
            continue
        with contextlib.suppress(OSError):
            for path in group.iterdir():
                path.unlink()
            group.rmdir()


def _own_directory(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    if not hasattr(os, "geteuid"):
        raise OSError("this system has no locks that end with their process")
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{path} must be a directory of this user's own with mode 0700")


def _locked(path: Path, *, wait: bool) -> int | None:
    """Return a descriptor that holds the lock on the file at ``path``, or ``None`` when another has it."""
    deadline = time.monotonic() + 5.0
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A sibling that counted in between may have removed the file: a lock on it would be seen by nobody.
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        except BlockingIOError:
            if not wait or time.monotonic() > deadline:
                os.close(descriptor)
                return None
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        time.sleep(0.005)


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _forget_locks() -> None:
    # A child that the app forks shares our locks and would keep them held after this worker's death.
    for group in list(_groups):
        for descriptor in (group._mine, group._turn):
            if descriptor is not None:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        group._mine = group._turn = None


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_locks)
