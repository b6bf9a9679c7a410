"""A burst: tracemalloc for seconds, and its pause in the copy."""

from __future__ import annotations

import ctypes

from leakguard.probes import library


class _Allocator(ctypes.Structure):
    """``PyMemAllocatorEx`` of the C API: a context and four functions, which we only carry about."""

    _fields_ = (("context", ctypes.c_void_p), ("functions", ctypes.c_void_p * 4))


_DOMAINS = (1, 2)  # PYMEM_DOMAIN_MEM and PYMEM_DOMAIN_OBJ: those that may only be used with the interpreter lock held
_untraced: list[_Allocator] = []


def pause() -> None:
    """Let the copy's own allocations go untraced; what was traced before stays known.

    Tracing makes a look several times slower, and to stop it would forget all. So the allocators from before the burst are put
    back. Blocks that are freed meanwhile are not taken off the books, which only the copy can afford.
    """
    for domain, allocator in zip(_DOMAINS, _untraced, strict=False):
        ctypes.pythonapi.PyMem_SetAllocator(domain, ctypes.byref(allocator))


class Burst:
    """Switches ``tracemalloc`` on for seconds: while it lasts a request costs 7 to 15 times as much at few frames.

    The frames of the application must be among those kept, so there are a few more than the cheapest burst would have.
    """

    def __init__(self) -> None:
        self.why: str | None = None
        self.active = False

    def start(self, frames: int = 8) -> bool:
        """Begin; ``False`` when somebody else traces already, for a second tracer would take the first one's place."""
        import tracemalloc  # most workers never trace

        self.why = None
        if tracemalloc.is_tracing():
            self.why = "no burst: tracemalloc is already on, and not by leakguard"
        elif _tracer_taken():
            self.why = "no burst: another tool (memray, for one) uses the interpreter's only object tracer"
        else:
            _untraced[:] = [_Allocator() for _ in _DOMAINS]
            for domain, allocator in zip(_DOMAINS, _untraced, strict=True):
                ctypes.pythonapi.PyMem_GetAllocator(domain, ctypes.byref(allocator))
            tracemalloc.start(frames)
            self.active = True
        return self.active and self.why is None

    def stop(self) -> None:
        """End the burst and forget its traces, unless the host ended it already."""
        if self.active:
            import tracemalloc

            self.active = False
            tracemalloc.stop()
            _untraced.clear()


def _tracer_taken() -> bool:
    """Tell whether another tool uses the object tracer, which ``tracemalloc`` would take away in silence since Python 3.13.

    3.13.0 leaves tracemalloc's own tracer in place after ``stop``: one that lies in the interpreter itself is nobody's.
    """
    get = getattr(ctypes.pythonapi, "PyRefTracer_GetTracer", None)
    if get is None:  # before 3.13 tracemalloc has a place of its own
        return False
    get.restype = ctypes.c_void_p
    tracer = get(ctypes.byref(ctypes.c_void_p()))
    return tracer is not None and library.path_of(tracer) != library.path_of(ctypes.cast(get, ctypes.c_void_p).value)
