"""Which shared object does an address lie in: asked of the dynamic linker, with the interpreter lock kept."""

from __future__ import annotations

import ctypes
import os


class _Place(ctypes.Structure):
    """``Dl_info`` of the C library: the shared object that an address lies in, by its path and first address."""

    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("at", ctypes.c_void_p),
    )


def path_of(address: int | None) -> str | None:
    """Return the path of the shared object that an address lies in; ``None`` for the heap."""
    if not address:
        return None
    place = _Place()
    if not ctypes.PyDLL(None).dladdr(ctypes.c_void_p(address), ctypes.byref(place)) or not place.file:
        return None
    return os.fsdecode(place.file)
