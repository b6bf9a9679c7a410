"""Journals as the story's workers write them: two at a time, each grows to its ceiling and is replaced."""

from __future__ import annotations

import dataclasses
import random
import time
from pathlib import Path

from reports.report_stories import RETAINED

from leakguard.journal.sqlite import SqliteJournal
from leakguard.probes import latency
from leakguard.records import (
    Cost,
    Failure,
    Finding,
    Kind,
    LoopLoad,
    Pauses,
    Reading,
    Recycle,
    RouteCount,
    Site,
    Sketch,
    Status,
    Window,
    Worker,
)

MIB = 1 << 20
LIVES = 24  # windows of one worker
HOSTILE = [
    "GET /<script>window.pwned=1</script>",
    "GET /\"'><img src=x onerror=window.pwned=1>",
    "GET /\u202egnp.exe\u2066",
    "GET /{{ 7*7 }}</script><script>window.pwned=1</script>",
    "GET /" + "a" * 10_000,
    "GET /" + "\u0637\u0631\u064a\u0642" * 20,
]
TELEMETRY = dataclasses.replace(
    RETAINED,
    chain=(
        "module game",
        "dict game.pending",
        "game.Submission […]",
        "starlette.requests.Request .request",
        "dict .scope",
    ),
)
GROWING = Finding(
    kind=Kind.LEAK,
    status=Status.SUSPECT,
    fingerprint="aa11bb22cc33",
    route="GET /daily",
    type="rewards.Claim",
    holder="rewards.RECENT",
    chain=("module rewards", "list rewards.RECENT", "rewards.Claim […]"),
    per_request=0.5,
    bytes_per_request=900.0,
    reasons=("rewards.RECENT: +0.50 entries per request in 6 of 6 looks",),
)
FAILURES = [
    Failure("f1", "KeyError", Site("game.py", 91, "ingest"), "POST /telemetry", count=360),
    Failure("f2", "TimeoutError", None, "(outside requests)", count=3, source="task"),
]


def window(number: int, opened: float, rss: int, routes: tuple[RouteCount, ...], requests: int) -> Window:
    """Return one window of a worker's life."""
    return Window(
        opened=opened,
        closed=opened + 10,
        reading=Reading(opened + 10, rss, heap=rss // 3, blocks=500_000 + 9_000 * number, threads=3, fds=20, tasks=4),
        requests=requests,
        in_flight=1 + number % 3,
        routes=routes,
        pauses=Pauses(3, 1, 0.02, 0.011),
        loop=LoopLoad(0.05, 0.09),
        blocks_low=500_000 + 9_000 * number,
        warm=number > 2,
    )


def times(chance: random.Random, slowness: float, count: int = 60) -> Sketch:
    """Return the sketch of some response times, the slower the fuller the worker."""
    return latency.sketch([chance.lognormvariate(2.5, 0.8) * slowness for _ in range(count)])


def write(
    path: Path, *, generations: int = 3, now: float | None = None, findings: tuple[Finding, ...] = (TELEMETRY, GROWING)
) -> Path:
    """Write the journal of two workers at a time over some generations; the last one still runs ``now``."""
    chance = random.Random(7)
    now = time.time() if now is None else now
    began = now - generations * LIVES * 10
    for generation in range(generations):
        for slot in range(2):
            start = began + generation * LIVES * 10 + 30 * slot * (generation < generations - 1)
            journal = SqliteJournal(path)
            pid = 4100 + 2 * generation + slot
            journal.register(worker(pid, start))
            journal.ready(start + 1)
            for number in range(LIVES):
                rss = 250 * MIB + number * 6 * MIB + chance.randrange(3 * MIB)
                slowness = 1 + number / 8
                kept = 15 * number
                routes = (
                    RouteCount("POST /telemetry", 150, 15, times(chance, slowness), kept, 0, {"f1": kept}),
                    RouteCount("GET /bans/{player}", 50, 0, times(chance, slowness * 0.4, 20)),
                    RouteCount("GET /daily", 20, 0, times(chance, slowness * 0.7, 20)),
                )
                journal.window(window(number, start + 10 * number, rss, routes, 220 * (number + 1)))
            if generation < generations - 1:
                end = start + LIVES * 10
                reason = "RSS 401 MiB is above the ceiling of 400 MiB"
                journal.recycle(Recycle(end, pid, reason, 401 * MIB, 3, 0, 0.0, "gunicorn", 1.2))
            for finding in findings:
                journal.finding(finding)
            journal.failures(FAILURES)
            journal.cost(Cost(2.1, 24.0, 0.003))
            journal.close()
            assert journal.lost == 0
    return path


def worker(pid: int, started: float) -> Worker:
    """Return a worker under gunicorn with a ceiling."""
    return Worker(
        pid,
        f"boot{pid}",
        started,
        99,
        "3.11.7",
        "gunicorn",
        "game:app",
        "0.1.0",
        ceiling=400 * MIB,
        hard_ceiling=480 * MIB,
        limit=512 * MIB,
        strategy="Ceiling 400 MiB, hard ceiling 480 MiB per worker (RSS).",
    )


def write_hostile(path: Path) -> Path:
    """Write a journal whose every name is what an attacker would like to send."""
    write(path)
    journal = SqliteJournal(path)
    now = time.time()
    journal.register(worker(4999, now - 20))
    routes = tuple(RouteCount(name, 10, 1, latency.sketch([5.0] * 10)) for name in HOSTILE)
    journal.window(window(0, now - 10, 300 * MIB, routes, 60))
    for number, name in enumerate(HOSTILE):
        journal.finding(
            Finding(
                kind=Kind.LEAK,
                status=Status.CONFIRMED,
                fingerprint=f"dead{number}",
                route=name,
                type=name.replace("GET /", "app."),
                holder=name,
                site=Site(name, 1, name),
                chain=("module app", f"dict {name}", name),
                error=name,
                known=None,
                reasons=(name,),
                per_request=1.0,
                retained_bytes=99 * MIB,
            )
        )
        journal.failures([Failure(f"bad{number}", name, Site(name, 1, name), name)])
        journal.recycle(Recycle(now - number, 4999, name, 300 * MIB, 0, 0))
        journal.note(name)
    journal.close()
    return path
