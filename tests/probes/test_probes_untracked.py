"""Objects that the collector does not track, counted by reading memory; and which C extension it is."""

from __future__ import annotations

import ctypes
import datetime
import math

from leakguard.observer import naming
from leakguard.probes import extensions, resident, untracked


def test_lost_objects_are_counted_by_type() -> None:
    """A thousand time spans that nothing refers to are found in memory, by their type."""
    forget = ctypes.pythonapi.Py_IncRef
    forget.argtypes = [ctypes.py_object]
    kinds = {address: naming.type_name(kind) for address, kind in untracked.untracked_types().items()}
    assert kinds[id(datetime.timedelta)] == "datetime.timedelta"
    before = untracked.count(kinds)
    for number in range(1000):
        forget(datetime.timedelta(number))
    grown = untracked.count(kinds)["datetime.timedelta"] - before["datetime.timedelta"]
    assert 950 <= grown <= 1100


def test_tracked_types_are_left_out() -> None:
    """What the collector tracks is counted elsewhere."""
    kinds = untracked.untracked_types()
    assert id(bytes) in kinds
    assert id(dict) not in kinds
    assert id(object) not in kinds


def test_extension_is_named_with_package_and_version() -> None:
    """A function and a type of an installed C extension lead to its module and its distribution."""
    import psutil._psutil_linux as installed

    found = extensions.of(installed.proc_cpu_affinity_get)
    assert found is not None
    assert (found.module, found.package) == ("psutil._psutil_linux", "psutil")
    assert str(found).startswith("psutil._psutil_linux (psutil ")


def test_the_interpreters_own_code_is_no_extension() -> None:
    """Neither builtins nor modules of the standard library are anybody's package."""
    assert extensions.of(len) is None
    assert extensions.of(math.sqrt) is None
    assert extensions.of(datetime.timedelta) is None
    assert extensions.of([]) is None


def test_memory_outside_malloc_is_seen() -> None:
    """A touched mapping counts as resident, and as mapped."""
    import mmap

    before, asked = resident.anonymous() or 0, resident.mapped()
    room = mmap.mmap(-1, 4 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    room.write(b"x" * (4 << 20))
    assert (resident.anonymous() or 0) - before >= 3 << 20
    assert resident.mapped() - asked >= 4 << 20
    room.close()
