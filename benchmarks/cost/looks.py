"""How long a look stops the host: the longest gap of an event loop's heartbeat, beside a bare fork and in-process inspections.

One process per size, one heap, every operation in a thread beside the loop, in turn, several rounds; once with a parent that
does nothing else, once with one that writes 500 objects all over the heap in every beat, so that pages which the fork shares
must be copied. The gap is the longest time between two beats less the beat.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from benchmarks.cost.heap import HEAP, fill, write
from benchmarks.cost.table import Scale, Table, against
from leakguard.observer import Observer, Question

BEAT = 0.001
PLENTY = 1 << 40
WRITES = 500
SIZES = (160_000, 760_000, 6_000_000, 20_000_000)
CENSUS, DEEP, FORK, OBJECTS, TYPES = "census", "deep look", "bare fork", "gc.get_objects()", "objgraph.typestats()"


def rss() -> int:
    """Return the memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def bare_fork() -> None:
    """Fork and let the child leave at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def inspect() -> None:
    """List all objects, as every in-process inspection begins."""
    gc.get_objects()


def typestats() -> None:
    """Count the objects by type in the process."""
    import objgraph

    objgraph.typestats()


class Looks:
    """The observer's two kinds of look, as operations."""

    def __init__(self) -> None:
        self.observer = Observer(deadline=300.0, available=lambda: PLENTY, rss=rss)
        self.took: dict[str, list[float]] = {CENSUS: [], DEEP: []}

    def census(self) -> None:
        """Take a census and wait for it as the guard does: poll, and leave the lock alone in between."""
        self._wait(CENSUS, self.observer.start_census(0))

    def explain(self) -> None:
        """Take a deep look at the heap's list."""
        self._wait(DEEP, self.observer.start_explain([Question("container", key=id(HEAP))]))

    def _wait(self, name: str, started: bool) -> None:
        begun = time.monotonic()
        if not started:
            raise SystemExit(f"no look: {self.observer.why}")
        while self.observer.busy:
            result = self.observer.poll()
            time.sleep(0.05)
        if result is None:
            raise SystemExit(f"the look failed: {self.observer.why}")
        self.took[name].append(time.monotonic() - begun)


async def gap_during(operation: Callable[[], None], writes: int) -> float:
    """Return the longest gap of a heartbeat beside ``operation`` in a thread, in milliseconds less the beat."""
    done = asyncio.get_running_loop().run_in_executor(None, operation)
    longest, before = 0.0, time.perf_counter()
    while not done.done():
        await asyncio.sleep(BEAT)
        write(writes)
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    await done
    return (longest - BEAT) * 1000


def idle() -> None:
    """Do nothing for a while: what the machine itself does to the heartbeat."""
    time.sleep(0.5)


async def measure(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Run every operation in turn, ``rounds`` times, without and with writes, and return the gaps by load and name."""
    looks = Looks()
    operations: dict[str, Callable[[], None]] = {
        "nothing": idle,
        FORK: bare_fork,
        CENSUS: looks.census,
        DEEP: looks.explain,
        OBJECTS: inspect,
        TYPES: typestats,
    }
    gaps: dict[str, dict[str, list[float]]] = {load: {name: [] for name in operations} for load in ("idle", "writing")}
    for number in range(rounds + 1):
        for load, its in gaps.items():
            for name, operation in operations.items():
                gap = await gap_during(operation, WRITES if load == "writing" else 0)
                if number:  # the first round warms up: imports, and pages that were never shared
                    its[name].append(gap)
    return gaps | {"took": looks.took}


def run(scale: Scale) -> Table:
    """Measure each size in a fresh process and return one table for all."""
    rows = []
    for size in (size for size in SIZES if size <= scale.largest):
        ran = subprocess.run(
            [
                sys.executable,
                "-m",
                "benchmarks.cost.looks",
                "--objects",
                str(size),
                "--rounds",
                str(max(scale.rounds // 3, 1)),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        gaps = json.loads(ran.stdout)
        rows += [_row(size, load, gaps) for load in ("idle", "writing")]
    text = (
        "The longest gap in an event loop's heartbeat while the heap is looked at, in milliseconds (median of "
        f"{max(scale.rounds // 3, 1)} rounds in one process). *Writing*: the loop writes {WRITES} objects all over the heap in "
        "every beat."
    )
    columns = (
        "tracked objects",
        "parent",
        "nothing",
        FORK,
        CENSUS,
        DEEP,
        OBJECTS,
        TYPES,
        "census bound",
        "deep look bound",
    )
    return Table("One look", text, columns, tuple(rows))


def _row(size: int, load: str, gaps: dict[str, dict[str, list[float]]]) -> tuple[str, ...]:
    medians = {name: statistics.median(values) for name, values in gaps[load].items()}
    cheaper = min(1.5 * medians[FORK], 1.2 * medians[OBJECTS])
    return (
        f"{size / 1e6:.2f} million",
        load,
        *(f"{medians[name]:.1f}" for name in ("nothing", FORK, CENSUS, DEEP, OBJECTS, TYPES)),
        against(medians[CENSUS], round(cheaper, 1), unit="ms"),
        against(medians[DEEP], round(1.5 * medians[FORK], 1), unit="ms"),
    )


def main() -> None:
    """Measure one size in this process and print the gaps as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--objects", type=int, default=6_000_000, help="tracked objects in the heap (default: 6000000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (default: 5)")
    arguments = parser.parse_args()
    fill(arguments.objects)
    print(json.dumps(asyncio.run(measure(arguments.rounds))))


if __name__ == "__main__":
    main()
