"""How the cost grows: with routes, heap, workers, age of the journal and findings; each curve with its order of growth.

The order is the slope of the straight line through the logarithms: 0 is flat, 1 grows in step, 2 with the square.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import io
import math
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import report_journal
from benchmarks.cost import heap
from benchmarks.cost.table import QUICK, Scale, Table
from leakguard.detection.judge import judge
from leakguard.detection.suspicion import History
from leakguard.guard.past import Past
from leakguard.journal.reading import read
from leakguard.journal.sqlite import SqliteJournal
from leakguard.observer import Observer
from leakguard.probes.process import ProcessProbe
from leakguard.probes.requests import RequestTable, enter
from leakguard.records import Reading, Window, Worker
from leakguard.reports.formats import FORMATS, Look
from leakguard.reports.model import build

WORST = 1.15
"""The steepest slope that counts as n log n over the ranges measured here."""

Curve = tuple[Sequence[int], Sequence[float]]


def run(scale: Scale) -> Table:
    """Measure every curve in this process, the heaps in fresh ones."""
    quick = scale is QUICK
    by_workers, by_hours = (
        _journals((1, 2), (1 / 24, 2 / 24), hours=1)
        if quick
        else _journals((1, 4, 16, 64), (1 / 24, 1, 7, 30), hours=3)
    )
    curves: dict[str, tuple[str, Curve]] = {
        "one window folded, closed and judged, by routes": (
            "ms",
            _routes((10, 100) if quick else (10, 100, 1000, 10_000)),
        ),
        "one census answered, by tracked objects": ("ms", _heaps(scale)),
        "`report`, by workers (three hours of each)": ("ms", by_workers),
        "`report`, by hours (of one worker)": ("ms", by_hours),
        "`report`, by findings": ("ms", _findings((1, 10) if quick else (1, 10, 100, 1000))),
    }
    rows = []
    for name, (unit, (sizes, costs)) in curves.items():
        order = slope(sizes, costs)
        rows.append(
            (
                name,
                ", ".join(f"{size:,}" for size in sizes),
                ", ".join(f"{cost:.1f}" for cost in costs) + f" {unit}",
                f"{order:.2f}",
                "yes" if order <= WORST else "NO",
            )
        )
    text = (
        "The order is the slope of the straight line through the logarithms of size and cost: 0 is flat, 1 in step with the "
        "size. Routes are bounded (500 names), windows and journals too: their curves end flat."
    )
    return Table("Growth", text, ("what", "sizes", "cost", "order", "at most n log n"), tuple(rows))


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the order of growth of ``costs`` with ``sizes``."""
    return statistics.linear_regression([math.log(s) for s in sizes], [math.log(max(c, 1e-6)) for c in costs]).slope


def _timed(work: Callable[[], object], times: int = 3) -> float:
    """Return the least of a few times, in milliseconds."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1000)
    return min(taken)


def _routes(sizes: Sequence[int]) -> Curve:
    """Close thirty windows of ten requests per route and return what the last took."""
    costs = []
    for size in sizes:
        table, past = RequestTable(), Past[Window](360)
        for number in range(30):
            _requests(table, size)
            begun = time.perf_counter()
            past.add(_window(table, number))
            judge(History(windows=past.records))
            cost = (time.perf_counter() - begun) * 1000
        costs.append(cost)
    return sizes, costs


def _requests(table: RequestTable, routes: int) -> None:
    for number in range(10 * routes):
        passage = enter({})
        passage.clue, passage.status = ("GET", "", f"/route/{number % routes}", ""), 200
        table.begin(passage)
        table.finish(passage)


def _window(table: RequestTable, number: int) -> Window:
    reading = Reading(
        at=float(number), rss=200 << 20, uss=None, heap=50 << 20, blocks=400_000, threads=3, fds=20, tasks=3
    )
    routes = table.take(time.perf_counter())
    return Window(float(number), number + 1.0, reading, table.total, 1, routes, blocks_low=400_000, warm=number > 5)


def _heaps(scale: Scale) -> Curve:
    sizes = [size for size in (100_000, 1_000_000, 5_000_000) if size <= scale.largest] or [100_000]
    sizes = sizes if len(sizes) > 1 else [50_000, 100_000]
    program = "from benchmarks.cost.growth import census; import sys; print(census(int(sys.argv[1])))"
    costs = []
    for size in sizes:
        out = subprocess.run(
            [sys.executable, "-c", program, str(size)], capture_output=True, text=True, check=True
        ).stdout
        costs.append(float(out))
    return sizes, costs


def census(objects: int) -> float:
    """Return the milliseconds until a census of a heap of that size has answered; the worker waits for none of them."""
    heap.fill(objects)
    process = ProcessProbe()
    observer = Observer(available=lambda: 1 << 40, rss=process.rss)

    def look() -> None:
        observer.start_census(0)
        if observer.wait(120) is None:
            raise RuntimeError(f"no census: {observer.why}")

    try:
        return _timed(look)
    finally:
        observer.close()
        process.close()


def _report(path: Path) -> float:
    """Return the milliseconds of reading a journal and making the text of its report."""
    return _timed(lambda: FORMATS["text"].render(build(read(path, None)), Look()))


def _write(path: Path, days: float, workers: int) -> None:
    with contextlib.redirect_stderr(io.StringIO()):
        report_journal.write(path, days, workers)


def _reports(journals: Sequence[tuple[float, int]]) -> list[float]:
    """Return what a report of each journal (days, workers) takes. They are written on every core, and then read alone."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.sqlite3" for number in range(len(journals))]
        with concurrent.futures.ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
            for _ in pool.map(_write, reversed(paths), *zip(*reversed(journals), strict=True)):
                pass  # the largest first
        return [_report(path) for path in paths]


def _journals(workers: Sequence[int], days: Sequence[float], hours: float) -> tuple[Curve, Curve]:
    """Return the curve of so many workers of some hours each, and that of one worker of so many days."""
    costs = _reports([(hours / 24, number) for number in workers] + [(day, 1) for day in days])
    return (workers, costs[: len(workers)]), ([round(24 * day) for day in days], costs[len(workers) :])


def _findings(sizes: Sequence[int]) -> Curve:
    costs = []
    for size in sizes:
        with (
            tempfile.TemporaryDirectory() as folder,
            contextlib.closing(SqliteJournal(Path(folder) / "j.sqlite3")) as journal,
        ):
            journal.register(Worker(1, "boot", time.time() - 60, 0, "3.11", "uvicorn", "game:app", "0"))
            for number in range(size):
                finding = replace(report_journal.FINDING, fingerprint=f"{number:012x}", holder=f"game.kept_{number}")
                journal.finding(finding)
            costs.append(_report(journal.path))
    return sizes, costs


def main() -> None:
    """Print the curves of the quick scale, for a look at this file alone."""
    print(run(QUICK).markdown())


if __name__ == "__main__":
    main()
