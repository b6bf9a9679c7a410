"""One row measured: a calm phase, then the leak, until enough workers were replaced or the time is up."""

from __future__ import annotations

import asyncio
import itertools
import math
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.recycling.client import Load, Request
from benchmarks.recycling.rows import FEWER, RECYCLES, Row
from benchmarks.recycling.server import Server

CALM = 8.0  # seconds without a leak, for the steady figures of the same server on the same machine
LONGEST = 230.0  # seconds of one row
LONGEST_OTHERS = 45.0
AROUND = 1.0  # seconds before and after a worker's first answer that count as its recycle
KINDS = ("refused", "reset reused", "reset fresh", "cut", "timeout")


@dataclass(frozen=True, slots=True)
class Result:
    """What one row showed. Times in seconds; ``extra`` is latency beyond what the handler itself takes."""

    name: str
    server: str
    workers: int
    way: str
    note: str
    recycles: int
    requests: int
    lost: dict[str, int]
    longest_gap: float
    median_gap: float
    p99_steady: float
    p99_recycle: float
    extra_steady: float
    extra_recycle: float
    least_ready: int | None
    seconds: float
    outage: bool
    overlaps: bool

    @property
    def total_lost(self) -> int:
        """All requests that did not get their whole answer."""
        return sum(self.lost.values())


def measure(row: Row) -> Result:
    """Run one row; up to four minutes."""
    with tempfile.TemporaryDirectory(prefix="leakguard-bench-") as name, Server(row, Path(name)) as server:
        load = Load(server.port, users=row.users, streams=row.streams, scale=row.scale)
        began = time.monotonic()
        wanted, longest = (RECYCLES, LONGEST) if row.way == "leakguard" else (FEWER, LONGEST_OTHERS)
        leaking = 0.0

        def over() -> bool:
            nonlocal leaking
            now = time.monotonic()
            if now - began < CALM:
                return False
            if load.calm:
                load.calm, leaking = False, time.time()
            if not server.alive and now - began > CALM + 20:
                return True
            return now - began > longest or _recycles(load.requests, row.workers) >= wanted

        asyncio.run(load.run(over))
        return _judge(row, load.requests, leaking, time.monotonic() - began, server)


def _recycles(requests: Sequence[Request], workers: int) -> int:
    return max(0, len({each.pid for each in requests if each.pid}) - workers)


def _judge(row: Row, requests: Sequence[Request], leaking: float, seconds: float, server: Server) -> Result:
    firsts: dict[int, float] = {}
    for each in sorted(requests, key=lambda each: each.ended):
        if each.pid:
            firsts.setdefault(each.pid, each.ended)
    changes = sorted(firsts.values())[row.workers :]
    ok = [each for each in requests if each.kind == "ok"]
    answered = sorted(each.ended for each in ok if each.ended > leaking)
    gaps = [(after, after - before) for before, after in itertools.pairwise(answered)]
    per_change = [max((gap for at, gap in gaps if abs(at - change) < 2.0), default=0.0) for change in changes]
    steady = [each for each in ok if 0.0 < leaking - each.ended < CALM - 3.0]
    during = [each for each in ok if any(each.began < at + AROUND and each.ended > at - AROUND for at in changes)]
    last = max((each.ended for each in requests), default=0.0)
    return Result(
        name=row.name,
        server=row.server,
        workers=row.workers,
        way=row.way,
        note=row.note,
        recycles=len(changes),
        requests=len(requests),
        lost=dict(Counter(each.kind for each in requests if each.kind != "ok")),
        longest_gap=max((gap for _, gap in gaps), default=0.0),
        median_gap=sorted(per_change)[len(per_change) // 2] if per_change else 0.0,
        p99_steady=_p99([each.ended - each.began for each in steady]),
        p99_recycle=_p99([each.ended - each.began for each in during]),
        extra_steady=_p99([each.ended - each.began - each.work for each in steady]),
        extra_recycle=_p99([each.ended - each.began - each.work for each in during]),
        least_ready=_least_ready(server.ready, row.workers),
        seconds=seconds,
        outage=not ok or last - max(each.ended for each in ok) > 10.0,
        overlaps=row.overlaps,
    )


def _p99(values: list[float]) -> float:
    return sorted(values)[max(0, math.ceil(len(values) * 0.99) - 1)] if values else 0.0


def _least_ready(log: Path, workers: int) -> int | None:
    """Return how few workers wanted requests at any moment after all did; ``None`` where nobody wrote it down."""
    if not log.exists():
        return None
    ready: set[str] = set()
    least, complete = workers, False
    for line in sorted(log.read_text().splitlines()):
        _, pid, state = line.split()
        if state == "1":
            ready.add(pid)
        else:
            ready.discard(pid)
        complete = complete or len(ready) == workers
        if complete:
            least = min(least, len(ready))
    return least


def as_json(result: Result) -> dict[str, object]:
    """Return the row as it is kept."""
    return asdict(result)
