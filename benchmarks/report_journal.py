"""How long ``leakguard report`` takes, and how much memory, on the journal of a week of eight workers.

The journal is written by the recording code itself, window by window as the workers would have written it, only without
waiting for the clock: eight workers at 10 s windows of twelve routes, each replaced once a day. Then every command is run in
fresh processes, and the time and the largest resident size of each are taken from the kernel.

    python benchmarks/report_journal.py [--journal PATH] [--days 7] [--workers 8] [--runs 5]

Writing a week takes some minutes; a journal that is there already is measured as it is.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

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
    Status,
    Window,
    Worker,
)

DAY = 86_400
INTERVAL = 10.0
MIB = 1 << 20
ROUTES = tuple(
    f"{method} /{name}"
    for name in ("bans/{player}", "rewards/daily", "shop/{item}")
    for method in ("GET", "POST", "PUT", "DELETE")
)
COMMANDS = (
    ("report",),
    ("report", "--format", "json"),
    ("report", "--format", "markdown"),
    ("report", "--since", "1h"),
    ("doctor",),
)
FAILURE = Failure("f1f1f1f1f1f1", "KeyError", Site("game.py", 91, "ingest"), ROUTES[0])
FINDING = Finding(
    kind=Kind.RETAINED_REQUESTS,
    status=Status.CONFIRMED,
    fingerprint="3f9c1a2b3c4d",
    route=ROUTES[0],
    type="dict",
    site=Site("game.py", 88, "ingest"),
    holder="game.pending",
    chain=("module game", "dict game.pending", "dict […]"),
    per_request=0.1,
    bytes_per_request=1228.8,
    error="KeyError at game.py:91",
    reasons=("requests got their answer and are still in memory",),
)


class Life:
    """One worker process: its journal, and the windows that it closes."""

    def __init__(self, path: Path, slot: int, number: int, started: float, dice: random.Random) -> None:
        self.journal = SqliteJournal(path)
        self.started = started
        self.windows = 0
        self.requests = 0
        self.dice = dice
        self.pid = 1000 * (slot + 1) + number
        self.journal.register(
            Worker(
                pid=self.pid,
                boot=f"{slot:02d}{number:06d}",
                started=started,
                parent=99,
                python="3.11.7",
                server="gunicorn",
                target="game:app",
                version="0.1.0",
                ceiling=384 * MIB,
                hard_ceiling=450 * MIB,
                strategy="Ceiling 384 MiB per worker (RSS). gunicorn replaces a worker that leaves.",
                limit=512 * MIB,
            )
        )
        self.journal.ready(started + 1)

    def close_window(self, sketches: list[tuple[int, object]]) -> None:
        """Write down the next window, as the guard of a worker does every interval."""
        opened = self.started + self.windows * INTERVAL
        self.windows += 1
        routes = []
        for route in ROUTES:
            count, sketch = self.dice.choice(sketches)
            self.requests += count
            kept = self.windows // 10 if route == FINDING.route else 0
            routes.append(
                RouteCount(
                    route,
                    count=count,
                    errors=self.windows % 10 == 0,
                    sketch=sketch,  # type: ignore[arg-type]
                    retained=kept,
                    retained_by_failure={FAILURE.fingerprint: kept} if kept else {},
                )
            )
        self.journal.window(
            Window(
                opened=opened,
                closed=opened + INTERVAL,
                reading=Reading(
                    at=opened + INTERVAL,
                    rss=250 * MIB + self.windows * 16_000 + self.dice.randrange(MIB),
                    uss=230 * MIB if self.windows % 12 == 1 else None,
                    heap=100 * MIB,
                    blocks=500_000 + self.windows * 3,
                    threads=4,
                    fds=30,
                    tasks=6,
                    cpu=self.windows * 0.9,
                ),
                requests=self.requests,
                in_flight=1,
                routes=tuple(routes),
                pauses=Pauses(3, 1, 0.02, 0.011),
                loop=LoopLoad(0.05, 0.09),
                blocks_low=500_000 + self.windows * 3,
                warm=self.windows > 6,
            )
        )
        if self.windows % 10 == 0:
            self.journal.failures([FAILURE])
        if self.windows % 360 == 30:
            self.journal.finding(FINDING)
            self.journal.cost(Cost(2.1, 24.0, 0.003))

    def leave(self, at: float) -> None:
        """Be replaced."""
        self.journal.recycle(Recycle(at, self.pid, "RSS is above the ceiling", 384 * MIB, 2, 0, 0.0))
        self.journal.close()


def write(path: Path, days: float, workers: int) -> None:
    """Write the journal of ``days`` days of ``workers`` workers, up to now."""
    dice = random.Random(7)
    times = [[dice.lognormvariate(3, 0.8) for _ in range(dice.randrange(5, 60))] for _ in range(64)]
    sketches: list[tuple[int, object]] = [(len(each), latency.sketch(each)) for each in times]
    began = time.time() - days * DAY
    lives = [Life(path, slot, 0, began + slot, dice) for slot in range(workers)]
    steps = int(days * DAY / INTERVAL) - 1
    told = time.monotonic()
    for step in range(steps):
        for slot, life in enumerate(lives):
            life.close_window(sketches)
            if life.windows * INTERVAL >= DAY and step < steps - 1:
                ended = life.started + life.windows * INTERVAL
                life.leave(ended)
                lives[slot] = Life(path, slot, int(ended) % 999_983, ended, dice)
        if time.monotonic() - told > 5:
            told = time.monotonic()
            print(f"writing: {step / steps:.0%}", file=sys.stderr)
    for life in lives:
        life.journal.close()


def run(command: tuple[str, ...], path: Path) -> tuple[float, float, float]:
    """Return the seconds by the clock and of processor time, and the largest resident MiB, of one fresh process."""
    before = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "leakguard", *command, "--journal", str(path)], stdout=subprocess.DEVNULL
    )
    _, _, used = os.wait4(child.pid, 0)
    child.returncode = 0
    return time.perf_counter() - before, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--journal", type=Path, default=Path("/tmp/leakguard-week.sqlite3"))
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    if not chosen.journal.exists():
        making = chosen.journal.with_name(chosen.journal.name + ".making")
        making.unlink(missing_ok=True)
        write(making, chosen.days, chosen.workers)
        making.rename(chosen.journal)
    print(f"{chosen.journal}: {chosen.journal.stat().st_size / MIB:.1f} MiB, {os.cpu_count()} cores\n")
    print(f"{'command':<28}{'seconds: least':>15}{'median':>9}{'most':>9}{'processor':>11}{'MiB: most':>12}")
    for command in COMMANDS:
        seen = [run(command, chosen.journal) for _ in range(chosen.runs)]
        seconds, processor, memory = zip(*seen, strict=True)
        figures = (min(seconds), statistics.median(seconds), max(seconds))
        told = "".join(f"{figure:>{width}.2f}" for figure, width in zip(figures, (15, 9, 9), strict=True))
        print(f"{' '.join(command):<28}{told}{statistics.median(processor):>11.2f}{max(memory):>12.1f}")


if __name__ == "__main__":
    main()
