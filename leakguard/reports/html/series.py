"""What the charts draw, thinned: a few hundred points however long the journal is.

The journal's windows get longer with their age, so a grid through the quantiles of their ends is fine where there is detail and
coarse where there is none: zooming into the last hour shows what the journal has.
"""

from __future__ import annotations

import bisect
import itertools
import statistics
from collections.abc import Iterable, Sequence

from leakguard.journal.story import WorkerStory
from leakguard.probes import latency
from leakguard.records import Json, Sketch, Window
from leakguard.reports.escape import safe
from leakguard.reports.model import Report

MAX_LINES = 60  # workers in the memory chart, the latest
MAX_POINTS = 300  # moments in the memory chart
MAX_MOMENTS = 120  # moments in the response times' chart
MAX_STEPS = 16  # levels of memory
MAX_SKETCHED = 1500  # windows whose response times are read; beyond it an even sample
FEW = 6  # windows below which response time over memory says nothing
MAX_MARKS = 200
COLOURS = 8
MIB = 1 << 20

Timed = tuple[Window, Sketch]


def series(report: Report) -> dict[str, Json]:
    """Return the data of all charts: ``memory``, ``times`` and ``against`` (response time against memory).

    Memory in MiB, times in milliseconds and seconds since the epoch, colours as numbers of the style sheet.
    """
    timed = _timed(report.story.workers)
    return {"memory": _memory(report), "times": _times(timed), "against": _against(timed)}


def colours(report: Report) -> dict[int, int]:
    """Return the colour of each worker that runs, by its place in ``report.workers``; what has ended is grey."""
    running = [place for place, state in enumerate(report.workers) if state.state == "running"]
    return {place: number % COLOURS for number, place in enumerate(running)}


def _memory(report: Report) -> Json:
    colour = colours(report)
    shown = [(place, each) for place, each in enumerate(report.story.workers) if each.windows][-MAX_LINES:]
    grid = _grid(sorted(window.closed for _, each in shown for window in each.windows), MAX_POINTS)
    lines: list[Json] = []
    for place, each in shown:
        start, values = _peaks(each.windows, grid)
        state = report.workers[place]
        line: dict[str, Json] = {"pid": state.pid, "state": state.state, "from": start, "values": values}
        line["colour"] = colour.get(place)
        lines.append(line)
    marks: list[Json] = [
        {"at": round(recycle.at, 1), "pid": recycle.pid, "reason": safe(recycle.reason)[:200]}
        for recycle in report.story.recycles[-MAX_MARKS:]
    ]
    limits = [each.worker.limit for each in report.story.workers if each.worker.limit is not None]
    return {
        "at": [round(moment, 1) for moment in grid],
        "workers": lines,
        "ceiling": _mib(report.ceiling),
        "limit": _mib(limits[-1] if limits else None),
        "recycles": marks,
    }


def _mib(size: int | None) -> float | None:
    return None if size is None else round(size / MIB, 1)


def _grid(moments: Sequence[float], most: int) -> list[float]:
    """Return at most ``most`` moments, each the end of about as many windows as any other; the last is the last."""
    if len(moments) <= most:
        return sorted(set(moments))
    return sorted({moments[(number + 1) * len(moments) // most - 1] for number in range(most)})


def _peaks(windows: Sequence[Window], grid: Sequence[float]) -> tuple[int, list[Json]]:
    """Return the highest reading of a worker for each moment, from its first on; ``None`` where it has no window."""
    peaks: dict[int, int] = {}
    for window in windows:
        place = min(bisect.bisect_left(grid, window.closed), len(grid) - 1)
        peaks[place] = max(window.reading.rss, peaks.get(place, 0))
    first, last = min(peaks), max(peaks)
    return first, [_mib(peaks.get(place)) for place in range(first, last + 1)]


def _timed(workers: Iterable[WorkerStory]) -> list[Timed]:
    """Return windows with the response times of all their routes together, by time; an even sample of very many."""
    windows = sorted(
        (window for each in workers for window in each.windows if window.routes), key=lambda window: window.closed
    )
    stride = max(-(-len(windows) // MAX_SKETCHED), 1)
    timed = ((window, latency.merge(route.sketch for route in window.routes)) for window in windows[::stride])
    return [(window, sketch) for window, sketch in timed if sketch.buckets]


def _times(timed: Sequence[Timed]) -> Json:
    grid = _grid([window.closed for window, _ in timed], MAX_MOMENTS)
    cells: dict[int, list[Sketch]] = {}
    for window, sketch in timed:
        cells.setdefault(bisect.bisect_left(grid, window.closed), []).append(sketch)
    merged = [latency.merge(cells.get(place, ())) for place in range(len(grid))]
    return {"at": [round(moment, 1) for moment in grid], **_quantiles(merged)}


def _against(timed: Sequence[Timed]) -> Json:
    """Return the response times for each of a few levels of memory, each of about as many windows as any other."""
    if len(timed) < FEW:
        return {"memory": [], **_quantiles([])}
    ordered = sorted(timed, key=lambda each: each[0].reading.rss)
    steps = max(min(MAX_STEPS, len(ordered) // 3), 1)
    borders = [number * len(ordered) // steps for number in range(steps + 1)]
    groups: dict[float, list[Sketch]] = {}
    for start, end in itertools.pairwise(borders):
        level = statistics.median(window.reading.rss for window, _ in ordered[start:end])
        groups.setdefault(round(level / MIB, 1), []).extend(sketch for _, sketch in ordered[start:end])
    return {"memory": list(groups), **_quantiles([latency.merge(sketches) for sketches in groups.values()])}


def _quantiles(sketches: Sequence[Sketch]) -> dict[str, Json]:
    return {
        name: [None if (value := latency.quantile(sketch, q)) is None else round(value, 2) for sketch in sketches]
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
