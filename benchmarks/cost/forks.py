"""What lowers the price of a fork: page tables, huge pages, what is left out of the copy, and what needs no copy at all.

Each way in a fresh process with the same heap. What is prepared is prepared by a second thread, as leakguard's would do it,
while the first one writes all over the heap. The stall is the time of the call, in which the host stands still; the gap is the
longest write of a parent that writes while the copy lives; what is copied are the pages that these writes touched first.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import mmap
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
import typing
import warnings
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.cost.heap import fill, write
from benchmarks.cost.table import Scale, Table, spread

SIZE = 6_000_000
BUFFER = 1 << 30
"""Bytes of one buffer that holds no Python object: a model, a table, an arena of C code."""
WRITES, LASTS = 500, 0.5
"""Objects written between two looks at the clock, and the seconds that the copy lives."""
HUGE = 2 << 20
_COLLAPSE = 25  # MADV_COLLAPSE of madvise(2), since Linux 6.1; the mmap module does not know it
MIB = 1 << 20


class Figures(typing.NamedTuple):
    """Medians of the rounds, times in milliseconds; ``None`` where there is nothing to measure.

    ``felt`` is the longest batch of writes during the preparation, ``grown`` the MiB of resident memory that it added in the
    first round, ``gap`` the longest batch while the copy lives, ``copied`` MiB, ``calm`` the longest batch of half a second in
    which nothing else happens.
    """

    stall: float
    gap: float | None
    copied: float | None
    prepared: float | None
    felt: float | None
    grown: float | None
    calm: float


def _advise(advice: int, least: int) -> None:
    """Give advice about every private mapping of at least so many bytes that belongs to no file."""
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, access, _, _, inode, *name = line.split()
        start, end = (int(place, 16) for place in span.split("-"))
        if access == "rw-p" and inode == "0" and end - start >= least and (not name or name == ["[heap]"]):
            start, end = -(-start // HUGE) * HUGE, end // HUGE * HUGE
            if end > start:
                madvise(start, end - start, advice)


def _nothing() -> None:
    """Prepare nothing."""


def _collapse() -> None:
    _advise(_COLLAPSE, HUGE)


def _leave_out_buffers() -> None:
    _advise(mmap.MADV_DONTFORK, BUFFER)


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        time.sleep(LASTS)
        os._exit(0)
    return child


def _spawn() -> int:
    return os.posix_spawn(sys.executable, [sys.executable, "-S", "-E", "-c", ""], {})


def _young() -> int:
    gc.get_objects(generation=0)
    gc.get_objects(generation=1)
    return 0


def _all() -> int:
    gc.get_objects()
    return 0


class Way(typing.NamedTuple):
    """One way to look: what the table calls it, what is done before, how the look begins, and what is to be said of it."""

    title: str
    prepare: Callable[[], object]
    begin: Callable[[], int]
    said: str
    buffer: bool = False


WAYS = {
    "fork": Way("bare fork", _nothing, _fork, "what the kernel copies is the page tables"),
    "huge": Way(
        "fork of huge pages (`MADV_COLLAPSE`)",
        _collapse,
        _fork,
        "whoever writes there meanwhile may wait for the preparation; a first write splits 2 MiB",
    ),
    "freeze": Way("fork after `gc.freeze()`", gc.freeze, _fork, "the page tables are the same"),
    "buffer": Way(
        "bare fork, with a buffer of 1 GiB", _nothing, _fork, "the buffer's page tables come on top", buffer=True
    ),
    "left out": Way(
        "the same, the buffer left out (`MADV_DONTFORK`)",
        _leave_out_buffers,
        _fork,
        "whatever in the copy reads the buffer dies of it; a host that forks itself would, too",
        buffer=True,
    ),
    "spawn": Way("`posix_spawn` (vfork)", _nothing, _spawn, "the bound from below: the child sees nothing of the heap"),
    "young": Way("`gc.get_objects()` of the two young generations", _nothing, _young, "no copy; what leaks is old"),
    "all": Way("`gc.get_objects()`", _nothing, _all, "no copy, before any object is looked at"),
}


def measure(name: str, objects: int, rounds: int) -> Figures:
    """Take one way ``rounds`` times over in this process."""
    fill(objects)
    buffer = bytearray(b"\1") * BUFFER if WAYS[name].buffer else None
    way = WAYS[name]
    gc.collect()  # else every object would be young
    calm = _write_for(LASTS)
    resident = psutil.Process().memory_info().rss
    preparations, felt, stalls, gaps, copies = [], [], [], [], []
    for number in range(rounds):
        took, longest = _prepare(way)
        preparations.append(took)
        felt.append(longest)
        if number == 0:
            grown = (psutil.Process().memory_info().rss - resident) / MIB
        began = time.perf_counter()
        child = way.begin()
        stalls.append(time.perf_counter() - began)
        if child:
            gap, copied = _write_beside()
            os.waitpid(child, 0)
            gaps.append(gap)
            copies.append(copied)
    del buffer
    forked, prepared = way.begin is _fork, way.prepare is not _nothing
    return Figures(
        stall=statistics.median(stalls) * 1000,
        gap=statistics.median(gaps) * 1000 if forked else None,
        copied=statistics.median(copies) if forked else None,
        prepared=statistics.median(preparations) * 1000 if prepared else None,
        felt=statistics.median(felt) * 1000 if prepared else None,
        grown=grown if prepared else None,
        calm=calm * 1000,
    )


def _prepare(way: Way) -> tuple[float, float]:
    """Prepare in a second thread while this one writes; return how long it took and the longest batch meanwhile."""
    thread = threading.Thread(target=way.prepare)
    began = time.perf_counter()
    thread.start()
    longest = _write_while(thread.is_alive)
    return time.perf_counter() - began, longest


def _write_while(going_on: Callable[[], bool]) -> float:
    """Write all over the heap as long as something goes on; return the longest time of one batch."""
    longest, before = 0.0, time.perf_counter()
    while going_on():
        write(WRITES)
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    return longest


def _write_for(seconds: float) -> float:
    end = time.perf_counter() + seconds
    return _write_while(lambda: time.perf_counter() < end)


def _write_beside() -> tuple[float, float]:
    """Write all over the heap while the copy lives; return the longest time of one batch, and MiB of pages touched first."""
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    longest = _write_for(LASTS * 0.8)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    return longest, faults * resource.getpagesize() / MIB


def run(scale: Scale) -> Table:
    """Measure every way in a process of its own."""
    objects, rounds = min(SIZE, scale.largest), max(scale.rounds // 2, 1)
    rows, calm = [], []
    for name, way in WAYS.items():
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.cost.forks", name, str(objects), str(rounds)],
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            rows.append((way.title, *[""] * 6, f"not measured: {ran.stderr.strip().splitlines()[-1]}"))
            continue
        its = Figures(*json.loads(ran.stdout))
        rows.append(
            (
                way.title,
                _figure(its.prepared, 0),
                _figure(its.felt, 1),
                _figure(its.grown, 0),
                f"{its.stall:.1f}",
                _figure(its.gap, 1),
                _figure(its.copied, 0),
                way.said,
            )
        )
        calm.append(its.calm)
    text = (
        f"{objects / 1e6:.2f} million tracked objects, each way in a fresh process, medians of {rounds} rounds, in "
        "milliseconds: the preparation, made by a second thread while the first one writes all over the heap, the longest "
        f"batch of {WRITES} writes *meanwhile*, and the MiB of memory that it adds; the call in which the host stands still; "
        "the longest batch while the copy lives. Pages that are written for the first time after the fork are copied: MiB of "
        f"them. With nothing else going on the longest batch of half a second took {spread(calm)} ms."
    )
    columns = (
        "way",
        "prepared ms",
        "longest batch meanwhile ms",
        "added MiB",
        "stall ms",
        "longest batch ms",
        "copied MiB",
        "",
    )
    return Table("What lowers a fork", text, columns, tuple(rows))


def _figure(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def main() -> None:
    """Measure one way in this process and print its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("objects", type=int)
    parser.add_argument("rounds", type=int)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.way, arguments.objects, arguments.rounds)))


if __name__ == "__main__":
    main()
