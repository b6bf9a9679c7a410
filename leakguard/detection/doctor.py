"""The doctor: the hypotheses an owner of a slow, growing app has, each held up or ruled out with numbers.

The order is that of the search in the story: leak, native growth, requests kept by unhandled errors, too little memory, slow
logic, collector, event loop, allocator.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from leakguard.detection import words
from leakguard.detection.finding import OUTSIDE
from leakguard.detection.regression import fit_slope
from leakguard.detection.responses import Responses, read_responses
from leakguard.detection.verdict import Workers, by_worker, seconds_to, warm
from leakguard.detection.vitals import BLOCKS, HEAP, RSS, Vital, points
from leakguard.records import Failure, Finding, Hypothesis, Kind, Recycle, Status, Window
from leakguard.units import format_duration, format_size

SLOW_MS = 1000.0
"""p95 from which response time is called high."""
STARVED = 0.1
BUSY = 0.8
BLOCKED = 1.0
TIGHT, ROOMY = 0.8, 0.6  # a fresh worker's share of the mark: above the first too little, below the second enough
_FEW = 6
_HELD = frozenset({Kind.LEAK, Kind.RETAINED_REQUESTS, Kind.TASKS, Kind.THREADS, Kind.DESCRIPTORS})


def diagnose(  # noqa: PLR0917 - the report's whole evidence, each part its own
    windows: Workers,
    findings: Sequence[Finding],
    failures: Sequence[Failure] | Mapping[str, Failure],
    recycles: Sequence[Recycle],
    limit: int | None,
    ceiling: int | None,
) -> tuple[Hypothesis, ...]:
    """Return the eight hypotheses in order, each true, false or not judged, with its evidence in sentences.

    Args:
        windows: of one worker, or of several by worker.
        findings: joined ones.
        failures: all recorded, or by fingerprint.
        recycles: all recorded.
        limit: bytes that the kernel enforces, ``None`` if unknown.
        ceiling: bytes at which a worker is recycled, ``None`` if unset.
    """
    workers = [worker for worker in by_worker(windows) if worker]
    recorded = list(failures.values()) if isinstance(failures, Mapping) else list(failures)
    responses = read_responses(workers)
    return (
        _leak(workers, findings, responses),
        _native(workers, findings),
        _kept(findings, recorded),
        _too_little(workers, findings, recycles, limit, ceiling),
        _slow(responses),
        _collector(workers),
        _loop(workers),
        _allocator(workers, findings),
    )


def _enough(workers: Sequence[Sequence[Window]]) -> bool:
    return any(len(warm(worker)) >= _FEW for worker in workers)


def _leak(workers: Sequence[Sequence[Window]], findings: Sequence[Finding], responses: Responses | None) -> Hypothesis:
    found = _found("memory leak", _HELD, workers, findings, BLOCKS)
    if not found.holds or responses is None or not responses.follows_memory:
        return found
    return replace(found, evidence=(*found.evidence, *responses.sentences()[1:3]))


def _native(workers: Sequence[Sequence[Window]], findings: Sequence[Finding]) -> Hypothesis:
    found = _found("native growth", frozenset({Kind.NATIVE}), workers, findings, HEAP)
    if found.holds is not False:
        return found
    held = any(finding.kind in _HELD and finding.status is Status.CONFIRMED for finding in findings)
    why = (
        "what grows there belongs to the Python objects found above" if held else "it does not grow steadily by itself"
    )
    return replace(found, evidence=(*found.evidence, why))


def _found(
    name: str,
    kinds: frozenset[Kind],
    workers: Sequence[Sequence[Window]],
    findings: Sequence[Finding],
    vital: Vital,
) -> Hypothesis:
    mine = [finding for finding in findings if finding.kind in kinds]
    confirmed = [finding for finding in mine if finding.status is Status.CONFIRMED]
    evidence = [_said(finding) for finding in confirmed or mine]
    measured = _rate(workers, vital)
    if measured is not None:
        evidence.append(measured)
    if confirmed:
        return Hypothesis(name, True, tuple(evidence))
    if mine:
        return Hypothesis(name, None, tuple(evidence))
    if measured is None or not _enough(workers):
        reason = f"{vital.name} could not be measured" if _enough(workers) else "too few windows after the warm-up"
        return Hypothesis(name, None, (*evidence, reason))
    return Hypothesis(name, False, tuple(evidence))


def _said(finding: Finding) -> str:
    status = "" if finding.status is Status.CONFIRMED else "suspected only: "
    known = f" (known: {finding.known})" if finding.known else ""
    held = f", held by {finding.holder}" if finding.holder and finding.holder != OUTSIDE else ""
    where = f", allocated at {finding.site}" if finding.site else ""
    what = finding.reasons[0] if finding.reasons else finding.kind.value
    return f"{status}{what}{held if finding.holder not in what.split() else ''}{where}{known}"


def _rate(workers: Sequence[Sequence[Window]], vital: Vital) -> str | None:
    """Return the growth per request of one level in the worker that was seen longest."""
    longest = max(workers, key=len, default=())
    seen = points(longest, vital)
    fit = fit_slope([p.requests for p in seen], [p.level for p in seen], [p.traffic for p in seen])
    if fit is None or len(seen) < _FEW:
        return None
    return f"{vital.name}: {vital.rates(fit.slope)} per request over {words.plural(len(seen), 'window')}"


def _kept(findings: Sequence[Finding], failures: Sequence[Failure]) -> Hypothesis:
    name = "retained requests from unhandled errors"
    kept = [finding for finding in findings if finding.error is not None]
    raised = sum(failure.count for failure in failures)
    evidence = [
        f"{words.count(finding.count or 0)} kept requests of {finding.route or 'unknown routes'} ended in {finding.error}"
        for finding in kept
    ]
    most = sorted(failures, key=lambda failure: -failure.count)[:3]
    evidence += [f"{failure} on {failure.route}: raised {words.plural(failure.count, 'time')}" for failure in most]
    if any(finding.status is Status.CONFIRMED for finding in kept):
        return Hypothesis(name, True, tuple(evidence))
    if kept:
        return Hypothesis(name, None, tuple(evidence))
    nothing = "none of them keeps its request" if raised else "no unhandled error was recorded"
    return Hypothesis(name, False, (*evidence, nothing))


def _too_little(
    workers: Sequence[Sequence[Window]],
    findings: Sequence[Finding],
    recycles: Sequence[Recycle],
    limit: int | None,
    ceiling: int | None,
) -> Hypothesis:
    name = "too little memory"
    mark = min((size for size in (limit, ceiling) if size is not None), default=None)
    fresh = [statistics.median(w.reading.rss for w in worker[:3]) for worker in workers if worker[0].reading.rss > 0]
    if not fresh:
        return Hypothesis(name, None, ("no memory reading yet",))
    start, peak = statistics.median(fresh), max(w.reading.rss for worker in workers for w in worker)
    sizes = f"a fresh worker holds {format_size(start)}, the largest reached {format_size(peak)}"
    if mark is None:
        return Hypothesis(name, None, (sizes, "no ceiling is set and no limit was found to compare with"))
    which = "ceiling" if mark == ceiling else "limit"
    evidence = [f"{sizes}; the {which} is {format_size(mark)}: {words.percent(start / mark)} is taken from the start"]
    if recycles:
        evidence.append(f"{words.plural(len(recycles), 'recycle')} so far")
    left = seconds_to(mark, max(workers, key=lambda worker: worker[-1].closed))
    if left:
        evidence.append(f"at the present growth the {which} is reached in {format_duration(left)}")
    grows = any(f.status is Status.CONFIRMED and f.kind in _HELD | {Kind.NATIVE} for f in findings)
    if start >= TIGHT * mark:
        return Hypothesis(name, True, (*evidence, "a worker without any leak has no room to serve"))
    if grows:
        return Hypothesis(name, False, (*evidence, "more memory would only put off what grows"))
    if start <= ROOMY * mark and peak < mark:
        return Hypothesis(name, False, tuple(evidence))
    return Hypothesis(name, None, (*evidence, "memory comes near without a confirmed leak"))


def _slow(responses: Responses | None) -> Hypothesis:
    name = "slow logic"
    if responses is None:
        return Hypothesis(name, None, ("too few windows with requests to compare response times",))
    evidence = tuple(responses.sentences())
    if responses.p95 < SLOW_MS:
        return Hypothesis(name, False, (*evidence, f"p95 is below {SLOW_MS:.0f} ms"))
    if responses.follows_memory:
        return Hypothesis(name, False, (*evidence, "slowness comes and goes with memory, not with the code"))
    if responses.correlation is None:
        return Hypothesis(name, None, evidence)
    return Hypothesis(name, True, (*evidence, "slow whatever the memory"))


def _collector(workers: Sequence[Sequence[Window]]) -> Hypothesis:
    name = "garbage collector starving the app"
    windows = [window for worker in workers for window in worker]
    elapsed = sum(max(window.closed - window.opened, 0.0) for window in windows)
    if elapsed <= 0:
        return Hypothesis(name, None, ("no window closed yet",))
    total, longest = sum(w.pauses.total for w in windows), max(w.pauses.longest for w in windows)
    share, full = total / elapsed, sum(w.pauses.full for w in windows)
    worst = max(w.pauses.total / (w.closed - w.opened) for w in windows if w.closed > w.opened)
    spent = (
        f"{words.percent(share)} of the time was spent in collections ({words.percent(worst)} in the worst window), "
        f"longest pause {longest * 1000:.0f} ms, {words.plural(full, 'full collection')}"
    )
    return Hypothesis(name, share >= STARVED, (spent,))


def _loop(workers: Sequence[Sequence[Window]]) -> Hypothesis:
    name = "event loop busy or blocked"
    loads = [window.loop for worker in workers for window in worker if window.loop is not None]
    if not loads:
        return Hypothesis(name, None, ("no event loop was watched",))
    lag = max(load.lag for load in loads)
    blocked = sum(load.lag >= BLOCKED for load in loads) / len(loads)
    busy = [load.busy for load in loads if load.busy is not None]
    said = f"longest lag {lag * 1000:.0f} ms, above {BLOCKED:.0f} s in {words.percent(blocked)} of the windows"
    if not busy:
        return Hypothesis(name, True if blocked >= 0.1 else None, (said, "how busy it is could not be measured"))
    typical, worst = statistics.median(busy), max(busy)
    evidence = (f"{words.percent(typical)} busy ({words.percent(worst)} in the busiest window)", said)
    return Hypothesis(name, typical >= BUSY or blocked >= 0.1, evidence)


def _allocator(workers: Sequence[Sequence[Window]], findings: Sequence[Finding]) -> Hypothesis:
    name = "allocator fragmentation"
    mine = [finding for finding in findings if finding.kind is Kind.ALLOCATOR]
    confirmed = [finding for finding in mine if finding.status is Status.CONFIRMED]
    longest = warm(max(workers, key=len, default=()))
    if len(longest) < _FEW:
        return Hypothesis(name, None, ("too few windows after the warm-up",))
    part = max(len(longest) // 4, 1)
    rss, blocks, heap = (_change(longest, vital, part) for vital in (RSS, BLOCKS, HEAP))
    if rss is None or heap is None or blocks is None:
        return Hypothesis(name, None, ("the C heap cannot be read here",))
    in_blocks = words.rate(blocks[1] / max(blocks[0], 1) * 100)
    evidence = (f"memory {_moved(rss)}, C heap in use {_moved(heap)}, Python's blocks {in_blocks} %",)
    grown = rss[1]
    if confirmed:
        return Hypothesis(name, True, (*evidence, *(_said(finding) for finding in confirmed)))
    if grown < max(0.05 * rss[0], 8 * 1024 * 1024):
        return Hypothesis(name, False, (*evidence, "memory does not rise"))
    holds = heap[1] < 0.2 * grown and blocks[1] < 0.02 * blocks[0]
    remedy = ("freed memory is not returned: try MALLOC_ARENA_MAX=2, malloc_trim or another malloc",) if holds else ()
    return Hypothesis(name, holds, (*evidence, *remedy))


def _change(windows: Sequence[Window], vital: Vital, part: int) -> tuple[float, float] | None:
    """Return the level in the first quarter of the windows and its change until the last."""
    ends = []
    for quarter in (windows[:part], windows[-part:]):
        levels = [level for window in quarter if (level := vital.level(window)) is not None]
        if not levels:
            return None
        ends.append(statistics.median(levels))
    return ends[0], ends[1] - ends[0]


def _moved(change: tuple[float, float]) -> str:
    return words.size_rate(change[1])
