"""What leakguard takes beside the requests: processor, wake-ups, memory, import; in an idle and in a busy worker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import typing
from pathlib import Path

import psutil

from benchmarks.cost.server import serving, wrk
from benchmarks.cost.table import Scale, Table, against, spread

_TICKS = os.sysconf("SC_CLK_TCK")
STRETCH = 20
"""How many times longer than a stretch of load the guard's thread is watched: its work comes once per interval."""
CPU_TARGET, RSS_TARGET, USS_TARGET = 0.5, 8.0, 5.0


class Usage(typing.NamedTuple):
    """Processor seconds and wake-ups of leakguard's thread so far."""

    cpu: float
    wakeups: int


def run(scale: Scale) -> Table:
    """Measure an idle and a busy worker, then import and start-up."""
    seconds = scale.seconds * STRETCH
    rows = []
    for load in ("idle", "busy"):
        cpu, wakeups, rss, uss = _worker(load, seconds)
        rows += [
            (f"processor, {load} worker", f"{cpu:.2f} % of a core", against(cpu, CPU_TARGET, unit="%")),
            (f"wake-ups, {load} worker", f"{wakeups:.1f} per second", ""),
            (f"resident memory added, {load} worker", f"{rss:.1f} MiB", against(rss, RSS_TARGET, unit="MiB")),
            (f"unique memory added, {load} worker", f"{uss:.1f} MiB", against(uss, USS_TARGET, unit="MiB")),
        ]
    times, sizes = _imports(max(scale.rounds, 3))
    rows += [
        ("`import leakguard` into an app of Starlette", f"{spread(times, 0)} ms", ""),
        ("memory of that import", f"{spread(sizes)} MiB", ""),
        ("start-up of the app, delayed by", f"{spread(_startup(max(scale.rounds // 2, 2)), 0)} ms", ""),
    ]
    text = (
        f"One uvicorn worker at the default level and interval, watched for {seconds:.0f} s after its warm-up, beside the same "
        "worker with a do-nothing middleware; *busy* is `wrk -t1 -c16`. Processor time and wake-ups (waits for the "
        "interpreter's lock among them) are those of leakguard's thread as the kernel counts them; forked looks stand under "
        "*One look*. Memory is what a second worker with leakguard adds: libraries count as resident, and not as unique."
    )
    return Table("In the background", text, ("", "measured", "target"), tuple(rows))


def _worker(load: str, seconds: float) -> tuple[float, float, float, float]:
    """Return percent of a core, wake-ups per second, and MiB of RSS and USS more than the do-nothing worker has."""
    # The third one does nothing but map the libraries that leakguard needs: what workers share is not unique to one.
    with serving("nothing") as (plain, its), serving("guarded") as (guarded, ours), serving("guarded"):
        for port in (plain, guarded):
            wrk(port, "/hello/you", 2)
        before, begun = _thread(ours.pid), time.monotonic()
        if load == "busy":
            for port in (plain, guarded):
                wrk(port, "/hello/you", seconds / 2)
        else:
            time.sleep(seconds)
        after, elapsed = _thread(ours.pid), time.monotonic() - begun
        memory = [psutil.Process(process.pid).memory_full_info() for process in (its, ours)]
    return (
        (after.cpu - before.cpu) / elapsed * 100,
        (after.wakeups - before.wakeups) / elapsed,
        (memory[1].rss - memory[0].rss) / (1 << 20),
        (memory[1].uss - memory[0].uss) / (1 << 20),
    )


def _thread(pid: int) -> Usage:
    """Return the usage of the thread that is neither the main one nor of uvloop: the guard's."""
    cpu = wakeups = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        if int(task.name) != pid and (task / "comm").read_text().strip() != "libuv-worker":
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            cpu += int(fields[11]) + int(fields[12])
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    wakeups += int(line.split()[1])
    return Usage(cpu / _TICKS, wakeups)


_IMPORT = """
import time, psutil, starlette.applications, starlette.routing, uvicorn
before, begun = psutil.Process().memory_info().rss, time.perf_counter()
from leakguard import LeakGuardMiddleware
LeakGuardMiddleware
print(time.perf_counter() - begun, psutil.Process().memory_info().rss - before)
"""

_STARTUP = """
import asyncio, sys, time, starlette.applications
from benchmarks.cost.requests import Nothing
from leakguard import LeakGuardMiddleware
async def start(app):
    received = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    async def receive(): return received.pop(0)
    async def send(message): pass
    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
began = time.perf_counter()
asyncio.run(start(Nothing(starlette.applications.Starlette())))
middle = time.perf_counter()
asyncio.run(start(LeakGuardMiddleware(starlette.applications.Starlette(), journal="off")))
print(time.perf_counter() - middle - (middle - began))
"""


def _imports(rounds: int) -> tuple[list[float], list[float]]:
    """Return milliseconds and MiB of importing leakguard where an app has imported its framework and server already."""
    told = [_ask(_IMPORT) for _ in range(rounds)]
    return [seconds * 1000 for seconds, _ in told], [size / (1 << 20) for _, size in told]


def _startup(rounds: int) -> list[float]:
    return [_ask(_STARTUP)[0] * 1000 for _ in range(rounds)]


def _ask(program: str) -> list[float]:
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    return [float(word) for word in out.split()]
