"""Records as a worker would write them."""

from __future__ import annotations

import os
import secrets
import time

from leakguard.probes import latency
from leakguard.records import Failure, Finding, Kind, Reading, Recycle, RouteCount, Site, Status, Window, Worker


def make_worker(pid: int | None = None, started: float | None = None, parent: int = 1, **more: object) -> Worker:
    return Worker(
        pid=pid or os.getpid(),
        boot=secrets.token_hex(8),
        started=time.time() if started is None else started,
        parent=parent,
        python="3.11.7",
        server="gunicorn",
        target="app:app",
        version="0.1.0",
        **more,
    )


def make_window(number: int = 0, began: float = 1000.0, count: int = 10, retained: int = 0) -> Window:
    opened = began + 10 * number
    return Window(
        opened=opened,
        closed=opened + 10,
        reading=Reading(at=opened + 10, rss=100_000_000 + number * 1000, blocks=50_000, threads=3),
        requests=count * (number + 1),
        in_flight=0,
        routes=(
            RouteCount(
                "GET /a", count=count, errors=1, sketch=latency.sketch([5.0] * count), retained=retained, gc_debt=1
            ),
        ),
        blocks_low=50_000 + number,
        warm=number > 5,
    )


def make_finding(fingerprint: str = "3f9c1a", status: Status = Status.CONFIRMED, **more: object) -> Finding:
    values: dict[str, object] = {
        "kind": Kind.LEAK,
        "route": "POST /telemetry",
        "site": Site("game.py", 88, "ingest"),
        "holder": "game.pending",
        "retained_bytes": 1000,
    }
    return Finding(status=status, fingerprint=fingerprint, **{**values, **more})


def make_failure(count: int = 1) -> Failure:
    return Failure("f1", "KeyError", Site("game.py", 91, "ingest"), "POST /telemetry", count=count)


def make_recycle(at: float, pid: int = 1) -> Recycle:
    return Recycle(at=at, pid=pid, reason="RSS above the ceiling", rss_before=400 << 20, in_flight=2, lost=0)
