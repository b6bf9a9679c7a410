"""Stories as a journal would tell them, one per kind of verdict."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path

from leakguard.journal.story import Note, Story, WorkerStory
from leakguard.probes import latency
from leakguard.records import (
    Cost,
    Failure,
    Finding,
    Hypothesis,
    Kind,
    LoopLoad,
    Pauses,
    Reading,
    Recycle,
    Relief,
    RouteCount,
    Site,
    Status,
    Verdict,
    Window,
    Worker,
)
from leakguard.reports import markdown
from leakguard.reports.model import Report, build
from leakguard.reports.text import render

EXPECTED = Path(__file__).parent / "expected"
BEGAN = 1_795_000_000.0
MIB = 1 << 20
NOW = BEGAN + 245


def worker(number: int = 0, **more: object) -> Worker:
    values: dict[str, object] = {
        "pid": 4120 + number,
        "boot": f"boot{number}",
        "started": BEGAN + 120 * number,
        "parent": 99,
        "python": "3.11.7",
        "server": "gunicorn",
        "target": "game:app",
        "version": "0.1.0",
        "ceiling": 400 * MIB,
        "hard_ceiling": 480 * MIB,
        "strategy": "Ceiling 400 MiB, hard ceiling 480 MiB per worker (RSS). gunicorn replaces a worker that leaves.",
        "limit": 512 * MIB,
    }
    return Worker(**{**values, **more})


def windows(count: int = 24, began: float = BEGAN, rise: int = 0, route: str = "POST /telemetry", kept: int = 0):
    return tuple(
        Window(
            opened=began + 10 * n,
            closed=began + 10 * n + 10,
            reading=Reading(
                at=began + 10 * n + 10,
                rss=250 * MIB + n * rise,
                heap=100 * MIB,
                blocks=500_000,
                threads=3,
                fds=20,
                tasks=4,
            ),
            requests=(n + 1) * 200,
            in_flight=1,
            routes=(
                RouteCount(
                    route,
                    count=150,
                    errors=15 if kept else 0,
                    sketch=latency.sketch([20.0] * 140 + [90.0] * 9 + [300.0]),
                    retained=kept * n,
                    retained_by_failure={"f1": kept * n} if kept else {},
                ),
                RouteCount("GET /bans/{player}", count=50, sketch=latency.sketch([4.0] * 49 + [11.0])),
            ),
            pauses=Pauses(3, 1, 0.02, 0.011),
            loop=LoopLoad(0.05, 0.09),
            blocks_low=500_000,
            warm=n > 2,
        )
        for n in range(count)
    )


def story(*findings: Finding, rise: int = 0, kept: int = 0, count: int = 24, **more: object) -> Story:
    told = WorkerStory(worker(), windows(count, rise=rise, kept=kept), BEGAN + 1, BEGAN + 10 * count, None)
    values: dict[str, object] = {
        "path": "/var/lib/game/journal.sqlite3",
        "since": None,
        "workers": (told,),
        "findings": findings,
        "first_seen": {finding.fingerprint: BEGAN + 95 for finding in findings},
        "found_by": {finding.fingerprint: 1 for finding in findings},
    }
    return Story(**{**values, **more})


RETAINED = Finding(
    kind=Kind.RETAINED_REQUESTS,
    status=Status.CONFIRMED,
    fingerprint="3f9c1a2b3c4d",
    route="POST /telemetry",
    type="dict",
    also_types=("str",),
    site=Site("game.py", 88, "ingest"),
    holder="game.pending",
    chain=("module game", "dict game.pending", "dict […]"),
    per_request=1.0,
    bytes_per_request=12288.0,
    retained_bytes=345 * 12288,
    size_method="pympler asizeof, sample of 20 newest",
    error="KeyError at game.py:91",
    reasons=(
        "345 requests of POST /telemetry got their answer and are still in memory",
        "rose 23 times in 24 windows: +1.00 per failed request (+0.10 per request)",
    ),
    count=345,
    failed=True,
)
LEAK = Finding(
    kind=Kind.LEAK,
    status=Status.CONFIRMED,
    fingerprint="aa11bb22cc33",
    route="POST /basket",
    type="shop.views.Basket",
    site=Site("shop/views.py", 40, "add"),
    holder="shop.cache.RECENT",
    chain=("module shop.cache", "dict shop.cache.RECENT", "list […]", "shop.views.Basket […]"),
    per_request=2.5,
    bytes_per_request=11_520.0,
    retained_bytes=38 * MIB,
    size_method="pympler asizeof, sample of 50",
    reasons=("shop.cache.RECENT: +2.50 entries per request in 6 of 6 looks",),
    count=8311,
)
NATIVE = Finding(
    kind=Kind.NATIVE,
    status=Status.CONFIRMED,
    fingerprint="bb22cc33dd44",
    route="GET /thumb/{id}",
    site=Site("thumbs.py", 12, "make"),
    holder="outside Python",
    per_request=1.0,
    bytes_per_request=65536.0,
    reasons=("C heap in use: +64.0 KiB per request in every third of 60 windows",),
)
DEBT = Finding(
    kind=Kind.GC_DEBT,
    status=Status.CONFIRMED,
    fingerprint="cc33dd44ee55",
    route="GET /report",
    per_request=0.98,
    reasons=(
        "3 000 of 3 060 requests of GET /report outlived their answer and were freed only by the cyclic collector",
    ),
)
ALLOCATOR = Finding(
    kind=Kind.ALLOCATOR,
    status=Status.CONFIRMED,
    fingerprint="dd44ee55ff66",
    bytes_per_request=2048.0,
    reasons=("memory +120 MiB, C heap in use flat, blocks flat",),
)
TASKS = Finding(
    kind=Kind.TASKS,
    status=Status.CONFIRMED,
    fingerprint="ee55ff66aa77",
    route="GET /daily",
    site=Site("daily.py", 31, "remind"),
    per_request=1.0,
    reasons=("4 700 tasks of GET /daily outlived the request that started them and wait at daily.py:31 in remind",),
    count=4700,
)
THREADS = Finding(
    kind=Kind.THREADS,
    status=Status.CONFIRMED,
    fingerprint="ff66aa77bb88",
    route="POST /mail",
    per_request=1.0,
    reasons=("threads: +1.00 per request over 21 windows",),
    count=210,
)
DESCRIPTORS = Finding(
    kind=Kind.DESCRIPTORS,
    status=Status.SUSPECT,
    fingerprint="aa77bb88cc99",
    per_request=0.5,
    reasons=("open descriptors: +0.50 per request over 8 windows",),
    count=104,
)
KNOWN = Finding(
    kind=Kind.LEAK,
    status=Status.CONFIRMED,
    fingerprint="bb88cc99ddaa",
    type="tuple",
    holder="vendor.registry",
    per_request=1.0,
    known="ignored by the rule holder:vendor.*",
    accepted=True,
    reasons=("vendor.registry: +1.00 entries per request",),
)
FAILURE = Failure("f1", "KeyError", Site("game.py", 91, "ingest"), "POST /telemetry", count=360, retained=345)
RECYCLES = (
    Recycle(BEGAN + 110, 4118, "RSS 401 MiB is above the ceiling of 400 MiB", 401 * MIB, 3, 0, 0.0, "gunicorn", 1.2),
    Recycle(BEGAN + 119, 4119, "RSS 402 MiB is above the ceiling of 400 MiB", 402 * MIB, 2, 1, 250.0, "gunicorn", 30.0),
)
RELIEF = Relief(BEGAN + 109, 402 * MIB, 401 * MIB, 1, 1000, True)
NOTE = Note(BEGAN + 50, 4120, "tracemalloc is already on: no burst")
COST = Cost(2.1, 24.0, 0.003)

CASES = {
    "retained-requests": (
        story(
            RETAINED,
            rise=4 * MIB,
            kept=15,
            failures=(FAILURE, Failure("f2", "TimeoutError", None, "(outside requests)", count=3, source="task")),
            recycles=RECYCLES,
            reliefs=(RELIEF,),
            notes=(NOTE,),
        ),
        Kind.RETAINED_REQUESTS,
    ),
    "leak": (story(LEAK, KNOWN), Kind.LEAK),
    "native": (story(NATIVE), Kind.NATIVE),
    "gc-debt": (story(DEBT), Kind.GC_DEBT),
    "allocator": (story(ALLOCATOR), Kind.ALLOCATOR),
    "tasks": (story(TASKS), Kind.TASKS),
    "threads": (story(THREADS), Kind.THREADS),
    "descriptors": (story(dataclasses.replace(DESCRIPTORS, status=Status.CONFIRMED, new=False)), Kind.DESCRIPTORS),
    "steady": (story(KNOWN), Kind.STEADY),
    "unknown": (story(DESCRIPTORS, count=8), Kind.UNKNOWN),
}


def made(case: str) -> Report:
    """Return the report of a case, with a verdict and a doctor that say only what the formats need."""
    told, kind = CASES[case]
    report = build(told, NOW)
    return dataclasses.replace(
        report,
        version="0.1.0",
        verdict=Verdict(kind, ("the reason for the verdict",)),
        doctor=(
            Hypothesis("memory leak", True, ("it grows", "it does not stop growing")),
            Hypothesis("slow logic", False, ("p95 is 20 ms",)),
            Hypothesis("event loop busy or blocked", None, ("no event loop was watched",)),
        ),
        cost=COST if kind is Kind.RETAINED_REQUESTS else report.cost,
    )


if __name__ == "__main__":  # after a change of the layout: write the expected texts anew, then read the difference
    for name in CASES:
        EXPECTED.joinpath(f"{name}.txt").write_text(render(made(name)) + "\n", encoding="utf-8")
    for name in ("retained-requests", "steady", "unknown"):
        EXPECTED.joinpath(f"{name}.md").write_text(markdown.render(made(name)) + "\n", encoding="utf-8")
    from test_reports_comparison import compared, comparison
    from test_reports_explain import explained

    for suffix, made_of in (("txt", compared.as_text), ("md", compared.as_markdown)):
        text = made_of(comparison())
        EXPECTED.joinpath(f"comparison.{suffix}.expected").write_text(text + "\n", encoding="utf-8")

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name in ("retained-requests", "leak", "native", "tasks"):
            text = explained(name, Path(folder))
            EXPECTED.joinpath(f"explain-{name}.expected").write_text(text + "\n", encoding="utf-8")
