"""The memory limit that the kernel enforces on this process, and how much could still be taken before it bites.

Control groups nest, come in two versions and can both be there at once (hybrid systems), so every level of every hierarchy
counts: the smallest limit is the limit, and the level with the least room left is the room. See cgroups(7), the kernel's
``Documentation/admin-guide/cgroup-v2.rst`` and ``cgroup-v1/memory.rst``, and proc_pid_mountinfo(5).
"""

from __future__ import annotations

import os
import re
import typing
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_UNLIMITED = 1 << 60
"""Version 1 says "no limit" as the largest count of pages: 9223372036854771712, or less with larger pages."""

_PIECE = 64 << 10  # bytes: the mounts of a host of many containers take more


class Limit(typing.NamedTuple):
    """The smallest memory limit of this process.

    ``size`` is in bytes, ``None`` when nothing could be read. ``source`` names the file or rule that sets it. ``available``
    are the bytes that could still be taken before *any* limit bites, neighbours in the same group counted; ``None`` when
    that is not known.
    """

    size: int | None
    source: str
    available: int | None


def find_limit(root: Path = Path("/")) -> Limit:
    """Return the limit as it is now: control groups of both versions, ``RLIMIT_AS`` and the machine's own memory.

    Never raises; what cannot be read does not count. Costs 0.2 to 0.5 ms, so call it once per window, not per request.
    ``memory.high`` counts as a limit: a process above it is throttled until it seems to hang.

    Args:
        root: where ``/proc`` and the mount points are looked up; the tests build their own.
    """
    found = [*_control_groups(root), *_address_space(root), *_machine(root)]
    if not found:
        return Limit(None, "unknown", None)
    smallest = min(found, key=_size)
    rooms = [each.available for each in found if each.available is not None]
    return Limit(smallest.size, smallest.source, max(min(rooms), 0) if rooms else None)


def _size(limit: Limit) -> int:
    return _UNLIMITED if limit.size is None else limit.size


class _Version(typing.NamedTuple):
    """How one version of control groups spells its files."""

    name: str
    limits: tuple[str, ...]
    usage: str
    inactive: str


_VERSION_1 = _Version("cgroup v1", ("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = _Version("cgroup v2", ("memory.max", "memory.high"), "memory.current", "inactive_file")


class _Mount(typing.NamedTuple):
    """One mounted hierarchy: where it is mounted and which of its groups appears there."""

    version: _Version
    root: PurePosixPath
    point: PurePosixPath


def _control_groups(root: Path) -> Iterator[Limit]:
    groups = _own_groups(root)
    mounts = list(_mounts(root))
    for version, group in groups.items():
        candidates = [mount for mount in mounts if mount.version is version]
        fitting = [mount for mount in candidates if _below(group, mount.root) is not None]
        # Without a group namespace of its own, a container's group may name nothing under what is mounted in it; the
        # group that is mounted there is then the container's.
        for mount in fitting or candidates:
            inner = _below(group, mount.root) or PurePosixPath()
            yield from _levels(root, version, mount.point, inner)


def _own_groups(root: Path) -> dict[_Version, PurePosixPath]:
    groups: dict[_Version, PurePosixPath] = {}
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")  # only two: the path itself may hold colons
        if number == "0" and not controllers:
            groups[_VERSION_2] = PurePosixPath(path.removesuffix(" (deleted)"))
        elif "memory" in controllers.split(","):
            groups[_VERSION_1] = PurePosixPath(path.removesuffix(" (deleted)"))
    return groups


def _mounts(root: Path) -> Iterator[_Mount]:
    for line in _read(root / "proc/self/mountinfo").splitlines():
        # Optional fields, any number of them, lie before the lone dash.
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        base, point = PurePosixPath(_unescaped(fields[3])), PurePosixPath(_unescaped(fields[4]))
        if kind[0] == "cgroup2":
            yield _Mount(_VERSION_2, base, point)
        elif kind[0] == "cgroup" and "memory" in kind[2].split(","):
            yield _Mount(_VERSION_1, base, point)


def _below(group: PurePosixPath, base: PurePosixPath) -> PurePosixPath | None:
    """Return ``group`` relative to the group that is mounted; ``None`` when it does not lie below it.

    A path with ``..`` comes from a namespace that the process was moved out of, and would lead out of the mount.
    """
    if ".." in group.parts or not group.is_relative_to(base):
        return None
    return group.relative_to(base)


def _levels(root: Path, version: _Version, point: PurePosixPath, inner: PurePosixPath) -> Iterator[Limit]:
    """Yield the limits of a group and of every group above it, up to the mount point."""
    for depth, level in enumerate((inner, *inner.parents)):
        shown = point / level
        folder = root / shown.relative_to("/")
        # Before Linux 5.11 a version 1 group could opt out: then its limit does not bind the groups below it.
        if depth and version is _VERSION_1 and _read(folder / "memory.use_hierarchy").strip() == "0":
            return
        working_set = _working_set(version, folder)
        for name in version.limits:
            limit = _number(_read(folder / name))
            if limit is not None and 0 < limit < _UNLIMITED:
                room = None if working_set is None else limit - working_set
                yield Limit(limit, f"{version.name} {shown / name}", room)
        if version is _VERSION_1 and not depth:
            # The kernel's own smallest of all levels, those above the mount point included.
            whole = _statistic(folder, "hierarchical_memory_limit")
            if whole is not None and 0 < whole < _UNLIMITED:
                room = None if working_set is None else whole - working_set
                yield Limit(whole, f"{version.name} {shown / 'memory.stat'} (hierarchical_memory_limit)", room)


def _working_set(version: _Version, folder: Path) -> int | None:
    """Return what a group uses without the page cache that the kernel would drop first, as the OOM killer sees it."""
    usage = _number(_read(folder / version.usage))
    if usage is None:
        return None
    return max(usage - (_statistic(folder, version.inactive) or 0), 0)


def _address_space(root: Path) -> Iterator[Limit]:
    try:
        import resource
    except ImportError:  # not a POSIX system
        return
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY or not 0 < soft < _UNLIMITED:
        return
    taken = _number(_read(root / "proc/self/statm").partition(" ")[0])
    page = os.sysconf("SC_PAGE_SIZE")
    yield Limit(soft, "RLIMIT_AS", None if taken is None else soft - taken * page)


def _machine(root: Path) -> Iterator[Limit]:
    figures = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB$", _read(root / "proc/meminfo"), re.MULTILINE))
    if "MemTotal" in figures:
        available = figures.get("MemAvailable")
        yield Limit(int(figures["MemTotal"]) * 1024, "MemTotal", None if available is None else int(available) * 1024)
        return
    if root != Path("/"):
        return
    import psutil

    try:
        memory = psutil.virtual_memory()
    except (psutil.Error, OSError, RuntimeError):
        return
    yield Limit(int(memory.total), "the machine's memory", int(memory.available))


def _statistic(folder: Path, name: str) -> int | None:
    for line in _read(folder / "memory.stat").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return _number(value)
    return None


def _number(text: str) -> int | None:
    """Return the number of a control group's file; ``None`` for "max", for nothing and for nonsense."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _unescaped(field: str) -> str:
    """Return a mountinfo field with its blanks, which the kernel writes as octal."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _read(path: Path) -> str:
    """Return a small file's text, "" where it cannot be read.

    By plain system calls: each gives the interpreter lock away and waits for it again, and a file object makes three times as
    many. Two dozen of these files are read for one answer.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (OSError, ValueError):
        return ""
    parts = []
    try:
        while part := os.read(descriptor, _PIECE):
            parts.append(part)
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return b"".join(parts).decode("utf-8", "surrogateescape")
