"""What a forked copy of the host does before it looks: it makes itself unable to do anything else.

Everything here runs in the child. Since the child is a copy in which one thread goes on and all others stopped where
they were, it must never give the interpreter lock away: the lock's condition variable still counts the waiting threads
that do not exist here, and a few releases later it waits for them for ever (half of the copies hung, measured with four
threads waiting). So the C library is called through ``ctypes.PyDLL``, which keeps the lock, where the functions of
``os`` would release it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
import signal
import sys
from collections.abc import Sequence

with contextlib.suppress(ImportError):  # not on Windows, where nothing is forked
    import resource

# The kernel's OOM killer takes the process with the highest mark first: 1000 is the highest.
_OOM_FIRST = b"1000"
_NICE_LAST = 19
_PR_SET_PDEATHSIG = 1
_SYS_MONITORING_TOOLS = 6
# Without close_range (Linux 5.9, glibc 2.34) descriptors are closed one by one, half a microsecond each.
_MOST_DESCRIPTORS = 1 << 16
_LAST_DESCRIPTOR = (1 << 32) - 1


@functools.cache
def libc() -> ctypes.PyDLL:
    """Return the C library, called with the interpreter lock held."""
    return ctypes.PyDLL(None, use_errno=True)


def seal(answer: int, parent: int, seconds: float) -> None:
    """Close every descriptor but ``answer``, silence every hook and signal, go to the end of the queue, and set the alarm.

    The collector and the host's debugger are off already: ``forked`` switches them off before the fork.

    Args:
        answer: the descriptor that stays open.
        parent: process id of the host; the copy dies with it.
        seconds: after this long the kernel kills the copy, even if the host no longer can.
    """
    _close_all_but(answer)
    # objgraph and others collect before they look, which would run the finalizers of the host's garbage.
    gc.collect = _no_collection  # type: ignore[assignment]  # the argument has no name in ours
    if sys.version_info >= (3, 12):
        for tool in range(_SYS_MONITORING_TOOLS):
            if sys.monitoring.get_tool(tool) is not None:
                sys.monitoring.set_events(tool, 0)
    _default_signals()
    _die_in_time(parent, seconds)
    _go_last()
    # Objects frozen by gc.freeze() are invisible to gc.get_referrers() and gc.get_objects(); in the copy they may thaw.
    gc.unfreeze()


def _no_collection(_generation: int = 2) -> int:
    return 0


def _close_all_but(keep: int) -> None:
    library = libc()
    if hasattr(library, "close_range"):
        below = keep == 0 or library.close_range(0, keep - 1, 0) == 0
        if below and library.close_range(ctypes.c_uint(keep + 1), ctypes.c_uint(_LAST_DESCRIPTOR), 0) == 0:
            return
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    for descriptor in range(_MOST_DESCRIPTORS if most < 0 else min(most, _MOST_DESCRIPTORS)):
        if descriptor != keep:
            library.close(descriptor)


def _default_signals() -> None:
    library = libc()
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        # signal.signal() would refuse: in this copy the forking thread need not be what Python takes for the main one.
        library.signal(int(number), None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _die_in_time(parent: int, seconds: float) -> None:
    libc().prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _go_last() -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _NICE_LAST)
    except OSError:  # a sandbox may forbid it; then the copy competes as an equal
        pass
    library = libc()
    mark = library.open(b"/proc/self/oom_score_adj", os.O_WRONLY)
    if mark >= 0:
        library.write(mark, _OOM_FIRST, len(_OOM_FIRST))
        library.close(mark)


def write(descriptor: int, parts: Sequence[bytes]) -> bool:
    """Write ``parts`` one after the other; ``False`` when the kernel takes no more.

    They are never joined: ``bytes.join`` gives the interpreter lock away from a MiB on.
    """
    library = libc()
    library.write.restype = ctypes.c_ssize_t
    for part in parts:
        done = 0
        while done < len(part):
            taken = library.write(descriptor, part[done:] if done else part, ctypes.c_size_t(len(part) - done))
            if taken <= 0:
                return False
            done += taken
    return True
