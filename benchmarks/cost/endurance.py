"""Does leakguard leak? Millions of requests in one process, then real load for half an hour, watched from outside.

The oracle is memray: during a stretch of requests it records every allocation, and what leakguard's own frames allocated and
nobody freed by the end is leakguard's growth. Beside it the plain figures: resident memory, descriptors, threads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import typing
from pathlib import Path

import psutil

from benchmarks.cost.requests import asgi_batch, raw_asgi
from benchmarks.cost.server import serving, wrk
from benchmarks.cost.table import QUICK, Scale, Table, spread
from leakguard import LeakGuardMiddleware

REQUESTS, MINUTES, TRACED = 5_000_000, 30, 200_000
CHECKPOINTS = 20
_OURS = f"{os.sep}leakguard{os.sep}"


def run(scale: Scale) -> Table:
    """Run the requests in a fresh process, then the load against a real server."""
    requests, minutes, readings = (50_000, 0.1, 6) if scale is QUICK else (REQUESTS, MINUTES, CHECKPOINTS)
    inside = _inside(requests)
    served = _served(minutes, readings)
    rows = [
        _row(
            f"{requests / 1e6:g} million requests in the process",
            inside["points"],
            _per_request(inside["points"], requests),
        ),
        _row(f"{minutes:g} minutes of `wrk -c16` at uvicorn", served, _per_minute(served)),
    ]
    text = (
        f"Resident memory, descriptors and threads of a worker, read {len(served)} times; the growth is that of the second "
        "half, by its straight line, so that what warms up is not counted."
    )
    note = (
        f"memray, {inside['traced']:,} further requests with every allocation of the interpreter traced: what leakguard's own "
        f"frames hold grew by {inside['kept'] / 1024:.1f} KiB, {inside['kept'] / inside['traced']:.3f} bytes per request."
        if "kept" in inside
        else f"memray: {inside['why']}"
    )
    return Table(
        "Endurance",
        text,
        ("", "MiB at half time", "MiB at the end", "growth", "descriptors", "threads"),
        tuple(rows),
        (note,),
    )


class Point(typing.NamedTuple):
    """One reading: seconds since the start, bytes, descriptors, threads."""

    at: float
    rss: int
    descriptors: int
    threads: int


def _read(process: psutil.Process, begun: float) -> Point:
    return Point(time.monotonic() - begun, process.memory_info().rss, process.num_fds(), process.num_threads())


def _second_half(points: list[Point]) -> list[Point]:
    return points[len(points) // 2 :]


def _slope(points: list[Point]) -> float:
    """Return the bytes per second of the second half's straight line."""
    half = _second_half(points)
    return statistics.linear_regression([p.at for p in half], [p.rss for p in half]).slope if len(half) > 1 else 0.0


def _per_minute(points: list[Point]) -> str:
    return f"{_slope(points) * 60 / 1024:+.1f} KiB per minute"


def _per_request(points: list[Point], requests: int) -> str:
    """Return the slope by requests: in the process millions of them take seconds, and a minute says nothing."""
    return f"{_slope(points) * points[-1].at / requests:+.3f} bytes per request"


def _row(title: str, points: list[Point], growth: str) -> tuple[str, ...]:
    half = _second_half(points)
    return (
        title,
        f"{half[0].rss / (1 << 20):.1f}",
        f"{half[-1].rss / (1 << 20):.1f}",
        growth,
        spread([p.descriptors for p in half], 0),
        spread([p.threads for p in half], 0),
    )


def _inside(requests: int) -> dict[str, typing.Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.cost.endurance", "--requests", str(requests)]
        environment = {**os.environ, "LEAKGUARD_JOURNAL": str(Path(folder) / "journal.sqlite3")}
        out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    told: dict[str, typing.Any] = json.loads(out)
    told["points"] = [Point(*point) for point in told["points"]]
    return told


def _served(minutes: float, readings: int) -> list[Point]:
    points: list[Point] = []
    with serving("guarded") as (port, server):
        process, begun = psutil.Process(server.pid), time.monotonic()
        for _ in range(readings):
            wrk(port, "/hello/you", minutes * 60 / readings)
            points.append(_read(process, begun))
    return points


async def _measure(requests: int) -> dict[str, typing.Any]:
    batch, process, begun = asgi_batch(LeakGuardMiddleware(raw_asgi)), psutil.Process(), time.monotonic()
    points = []
    for _ in range(CHECKPOINTS):
        await batch(requests // CHECKPOINTS)
        points.append(_read(process, begun))
    traced = min(TRACED, requests)
    return {"points": points, "traced": traced, **await _trace(lambda: batch(traced))}


async def _trace(work: typing.Callable[[], typing.Awaitable[None]]) -> dict[str, typing.Any]:
    """Return the bytes that leakguard's frames allocated during ``work`` and that were alive after it."""
    try:
        import memray
    except ImportError as error:
        return {"why": f"not measured: {error}"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "allocations"
        with memray.Tracker(file, trace_python_allocators=True):
            await work()
        kept = 0
        with memray.FileReader(file) as reader:
            for record in reader.get_leaked_allocation_records(merge_threads=True):
                frames = record.stack_trace()
                if frames and any(_OURS in name for _, name, _ in frames[:3]):
                    kept += record.size
    return {"kept": kept}


def main() -> None:
    """Send the requests through the middleware in this process and print the readings as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    arguments = parser.parse_args()
    told = asyncio.run(_measure(arguments.requests))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
