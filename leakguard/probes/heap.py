"""The C heap: what code outside Python's own allocator holds through malloc, and giving its free pages back.

Python objects above 512 bytes come from malloc too; smaller ones come from Python's arenas and are not seen here.
"""

from __future__ import annotations

import ctypes
import functools
import typing
from collections.abc import Callable


class _Mallinfo2(ctypes.Structure):
    """``struct mallinfo2`` of mallinfo(3), glibc 2.33 and later."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


def in_use() -> int | None:
    """Return the bytes in use on the C heap, mapped chunks included; ``None`` where that cannot be known.

    glibc is asked (``mallinfo2``), elsewhere psutil 7.2 (``heap_info``, which holds the GIL). Another malloc over glibc's
    (jemalloc, tcmalloc, mimalloc) makes both answer for a heap that nobody uses, so the answer is then ``None``. Costs 1 to
    2 microseconds, and 0.03 for every free chunk of a fragmented heap, with the heap locked.
    """
    try:
        return _reader()()
    except (OSError, ValueError, RuntimeError):
        return None


def taken() -> int | None:
    """Return the bytes that malloc has taken from the kernel, in use or not; ``None`` where glibc's cannot be asked."""
    ask = None if foreign() else _function("mallinfo2", held=True)
    if ask is None:
        return None
    ask.restype = _Mallinfo2
    info: typing.Any = ask()
    return int(info.arena) + int(info.hblkhd)


def trim() -> bool:
    """Give free pages of the C heap back to the kernel; say whether this platform can.

    Takes 20 to 100 ms on a heap with much to give back. Called through ``ctypes.CDLL``, which releases the GIL: other
    threads run on, where ``psutil.heap_trim`` would stop them for the whole time. Small Python objects are not touched.
    """
    release = _trimmer()
    if release is None:
        return False
    release(0)
    return True


@functools.cache
def _reader() -> Callable[[], int | None]:
    if foreign():
        return lambda: None
    # With the interpreter lock held: to wait for it takes longer than the answer.
    mallinfo2 = _function("mallinfo2", held=True)
    if mallinfo2 is not None:
        mallinfo2.restype = _Mallinfo2
        return functools.partial(_ask_glibc, mallinfo2)
    import psutil

    heap_info = getattr(psutil, "heap_info", None)  # not on every platform, and only since psutil 7.2
    return (lambda: None) if heap_info is None else functools.partial(_ask_psutil, heap_info)


def _ask_glibc(mallinfo2: Callable[[], typing.Any]) -> int:
    info = mallinfo2()
    return int(info.uordblks) + int(info.hblkhd)


def _ask_psutil(heap_info: Callable[[], typing.Any]) -> int:
    info = heap_info()
    return int(info.heap_used) + int(info.mmap_used)


@functools.cache
def _trimmer() -> Callable[[int], int] | None:
    release = None if foreign() else _function("malloc_trim")
    if release is not None:
        release.argtypes = [ctypes.c_size_t]
        release.restype = ctypes.c_int
    return release


@functools.cache
def foreign() -> bool:
    """Return whether malloc is another library's than the C library's, as after ``LD_PRELOAD`` of jemalloc."""
    try:
        used, own = ctypes.CDLL(None).malloc, ctypes.CDLL("libc.so.6").malloc
    except (OSError, AttributeError, TypeError):  # not glibc: nothing to compare
        return False
    return ctypes.cast(used, ctypes.c_void_p).value != ctypes.cast(own, ctypes.c_void_p).value


def _function(name: str, *, held: bool = False) -> ctypes._NamedFuncPointer | None:
    try:
        return getattr((ctypes.PyDLL if held else ctypes.CDLL)(None), name, None)
    except (OSError, TypeError):
        return None
