"""How long a look stops the host: the longest gap of an event loop's heartbeat, beside a bare fork and in-process inspections.

One process, one heap, every operation in a thread beside the loop, in turn, several rounds:

    python benchmarks/look_stall.py [--objects 6000000] [--rounds 5]

Operations: ``look`` (a census by the observer, from its start to its answer), ``explain`` (a deep look at one
container), ``bare fork`` (``os.fork()`` whose child leaves at once, the floor), ``gc.get_objects()`` and
``objgraph.typestats()``. Figures are the longest gap less the beat, in milliseconds: median and range of the rounds, and
the median ratio to the bare fork of the same round. Read the ratios: a machine that others use stretches every gap.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import sys
import time
import typing
import warnings
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from leakguard.observer import Observer, Question

BEAT = 0.001
PLENTY = 1 << 40
TRACKED_PER_UNIT = 3


class Slotted:
    """One of the three tracked objects of a unit."""

    __slots__ = ("number", "text")

    def __init__(self, number: int) -> None:
        self.number = number
        self.text = f"text of {number}"


HEAP: list[dict[str, typing.Any]] = []


def fill(objects: int) -> None:
    """Make a heap of about ``objects`` tracked objects: units of a dict, a list and a slotted object, with text and numbers."""
    gc.disable()
    units = range(objects // TRACKED_PER_UNIT)
    HEAP.extend({"number": n, "rows": [n, str(n)], "thing": Slotted(n)} for n in units)
    gc.enable()


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
        self.took: dict[str, list[float]] = {"look": [], "explain": []}

    def census(self) -> None:
        """Take a census and wait for it as the guard does: poll, and leave the lock alone in between."""
        self._wait("look", self.observer.start_census(0))

    def explain(self) -> None:
        """Take a deep look at the heap's list."""
        self._wait("explain", self.observer.start_explain([Question("container", key=id(HEAP))]))

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


async def gap_during(operation: Callable[[], None]) -> float:
    """Return the longest gap of a heartbeat beside ``operation`` in a thread, in milliseconds less the beat."""
    done = asyncio.get_running_loop().run_in_executor(None, operation)
    longest, before = 0.0, time.perf_counter()
    while not done.done():
        await asyncio.sleep(BEAT)
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    await done
    return (longest - BEAT) * 1000


def idle() -> None:
    """Do nothing for a while: what the machine itself does to the heartbeat."""
    time.sleep(0.5)


async def measure(rounds: int) -> tuple[dict[str, list[float]], Looks]:
    """Run every operation in turn, ``rounds`` times, and return the gaps by name."""
    looks = Looks()
    operations: dict[str, Callable[[], None]] = {
        "idle": idle,
        "bare fork": bare_fork,
        "look": looks.census,
        "explain": looks.explain,
        "gc.get_objects()": inspect,
        "objgraph.typestats()": typestats,
    }
    gaps: dict[str, list[float]] = {name: [] for name in operations}
    for number in range(rounds + 1):
        for name, operation in operations.items():
            gap = await gap_during(operation)
            if number:  # the first round warms up: imports, and pages that were never shared
                gaps[name].append(gap)
    return gaps, looks


def main() -> None:
    """Measure and print the table; the last line says whether the look stays below twice the bare fork."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--objects", type=int, default=6_000_000, help="tracked objects in the heap (default: 6000000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (default: 5)")
    arguments = parser.parse_args()
    fill(arguments.objects)
    python = sys.version.split()[0]
    print(f"{len(gc.get_objects()):,} tracked objects, {rss() >> 20} MiB, Python {python}, {arguments.rounds} rounds")
    gaps, looks = asyncio.run(measure(arguments.rounds))
    floor = gaps["bare fork"]
    print(f"{'operation':24}{'median ms':>10}{'range':>18}{'x bare fork':>13}")
    for name, values in gaps.items():
        ratio = statistics.median(value / least for value, least in zip(values, floor, strict=True))
        print(f"{name:24}{statistics.median(values):10.1f}{min(values):10.1f} -{max(values):6.1f}{ratio:12.2f}")
    for name, seconds in looks.took.items():
        print(f"{name} answered after {statistics.median(seconds):.1f} s")
    ratio = statistics.median(gaps["look"]) / statistics.median(floor)
    print(f"look / bare fork: {ratio:.2f} (at most 2.00: {'yes' if ratio <= 2 else 'NO'})")


if __name__ == "__main__":
    main()
