"""Journals as workers write them, and the command line as a user calls it."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from click.testing import CliRunner

from leakguard.cli import main
from leakguard.journal.sqlite import SqliteJournal
from leakguard.probes import latency
from leakguard.records import Finding, Kind, Reading, RouteCount, Site, Status, Window, Worker

ROOT = Path(__file__).parents[2]


def write_journal(
    path: Path,
    finding: Finding | None = None,
    *,
    windows: int = 30,
    age: float = 0.0,
    pid: int = 7,
    routes: tuple[str, ...] = ("GET /",),
    times: tuple[float, ...] = (5.0,),
) -> Path:
    """Write the journal of one worker whose last window closed ``age`` seconds ago; more workers when called again."""
    journal = SqliteJournal(path)
    began = time.time() - age - 10 * windows
    journal.register(
        Worker(
            pid,
            secrets.token_hex(8),
            began,
            1,
            "3.11.7",
            "gunicorn",
            "game:app",
            "0.1.0",
            strategy="It will be replaced.",
        )
    )
    each = 100 // len(routes)
    sketch = latency.sketch([*times] * (each // len(times)))
    for n in range(windows):
        journal.window(
            Window(
                opened=began + 10 * n,
                closed=began + 10 * n + 10,
                reading=Reading(at=began + 10 * n + 10, rss=100 << 20, heap=50 << 20, blocks=10_000, fds=9),
                requests=100 * (n + 1),
                in_flight=0,
                routes=tuple(RouteCount(route, count=each, sketch=sketch) for route in routes),
                blocks_low=10_000,
                warm=n > 2,
            )
        )
    if finding is not None:
        journal.finding(finding)
    journal.close()
    assert journal.lost == 0
    return path


LEAK = Finding(
    Kind.LEAK,
    Status.CONFIRMED,
    "abc123",
    route="POST /telemetry",
    site=Site("game.py", 88, "ingest"),
    holder="game.pending",
)


def run(*arguments: object, **environment: str):
    return CliRunner().invoke(main, [str(each) for each in arguments], env=environment)
