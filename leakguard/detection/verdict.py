"""The verdict on a process: which kind, and why; ``unknown`` when too little was seen, never a silent "clean"."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from leakguard.detection import vitals, words
from leakguard.detection.finding import OUTSIDE
from leakguard.detection.regression import fit_slope
from leakguard.detection.suspicion import History
from leakguard.records import Finding, Kind, Status, Verdict, Window
from leakguard.units import format_size

ENOUGH_WINDOWS = 12
ENOUGH_REQUESTS = 100
_RISE = 0.1  # of a worker's memory, from which "steady" would be a lie without an explanation
_RISE_BYTES = 16 * 1024 * 1024

Workers = History | Mapping[object, Sequence[Window]] | Sequence[Window]


def conclude(seen: Workers, findings: Sequence[Finding]) -> Verdict:
    """Return the verdict on what was seen and found.

    Args:
        seen: the windows of one worker (or its history), or those of several by worker.
        findings: of all of them, joined. Those that the user accepts do not make the verdict, but are mentioned.
    """
    workers = by_worker(seen)
    fresh = [finding for finding in findings if not finding.accepted]
    known = [f"accepted: {_headline(finding)}; {finding.known}" for finding in findings if finding.accepted]
    confirmed = [finding for finding in fresh if finding.status is Status.CONFIRMED]
    suspects = [finding for finding in fresh if finding.status is Status.SUSPECT]
    if confirmed:
        return Verdict(_gravest(confirmed).kind, tuple([_headline(finding) for finding in confirmed] + known))
    if suspects:
        reasons = [f"suspected, not confirmed yet: {_headline(finding)}" for finding in suspects]
        return Verdict(Kind.UNKNOWN, tuple(reasons + known))
    judged = [windows for windows in workers if _enough(windows)]
    seen_words = _amount(workers)
    if not judged:
        return Verdict(Kind.UNKNOWN, (f"too little to judge by: {seen_words}", *known))
    rising = [said for windows in judged if (said := _unexplained(windows, findings))]
    if rising:
        return Verdict(Kind.UNKNOWN, (*rising, *known))
    return Verdict(Kind.STEADY, (f"nothing grows with the requests: {seen_words}", *known))


def by_worker(seen: Workers) -> list[tuple[Window, ...]]:
    """Return the windows worker by worker; in a flat sequence a new worker begins where requests are counted anew."""
    if isinstance(seen, History):
        return [seen.windows]
    if isinstance(seen, Mapping):
        return [tuple(windows) for windows in seen.values()]
    workers: list[list[Window]] = []
    for window in seen:
        if not workers or window.requests < workers[-1][-1].requests:
            workers.append([])
        workers[-1].append(window)
    return [tuple(windows) for windows in workers]


def warm(windows: Sequence[Window]) -> list[Window]:
    """Return the windows after the warm-up."""
    return [window for window in windows if window.warm]


def seconds_to(mark: int | None, windows: Sequence[Window]) -> float | None:
    """Return the seconds until one worker's memory reaches ``mark`` bytes at its present growth.

    ``None`` when it does not grow, there is no mark or too little was seen; 0 when it is there already. A cache that fills
    up to the ceiling is as fatal as a leak, hence plain growth over time in the later half of the windows.
    """
    if mark is None or not windows:
        return None
    if windows[-1].reading.rss >= mark:
        return 0.0
    later = warm(windows)
    later = later[len(later) // 2 :]
    fit = fit_slope([w.closed for w in later], [w.reading.rss for w in later]) if len(later) >= 4 else None
    if fit is None or fit.z < 3 or fit.slope <= 0:
        return None
    return (mark - windows[-1].reading.rss) / fit.slope


def _gravest(findings: Sequence[Finding]) -> Finding:
    """Return the finding that gives the verdict its kind: a leak before debts, the larger before the smaller."""
    return max(
        findings, key=lambda f: (f.kind is not Kind.GC_DEBT, f.kind is not Kind.ALLOCATOR, f.retained_bytes or 0)
    )


def _headline(finding: Finding) -> str:
    holder = finding.holder if finding.holder != OUTSIDE else None
    what = holder or finding.type or finding.route or finding.kind.value
    return f"{what}: {finding.reasons[0]}" if finding.reasons else f"{finding.kind.value}: {what}"


def _requests(windows: Sequence[Window]) -> int:
    later = warm(windows)
    return max(later[-1].requests - later[0].requests, 0) if later else 0


def _enough(windows: Sequence[Window]) -> bool:
    return len(warm(windows)) >= ENOUGH_WINDOWS and _requests(windows) >= ENOUGH_REQUESTS


def _amount(workers: Sequence[Sequence[Window]]) -> str:
    later = sum(len(warm(windows)) for windows in workers)
    requests = sum(_requests(windows) for windows in workers)
    return (
        f"{words.plural(later, 'window')} after the warm-up with {words.plural(requests, 'request')} "
        f"in {words.plural(len(workers), 'worker')}"
    )


def _unexplained(windows: Sequence[Window], findings: Sequence[Finding]) -> str | None:
    """Say that a level grows, or memory rose to the end, though nothing was found; known leaks are an explanation."""
    if findings:
        return None
    for vital in (vitals.BLOCKS, vitals.HEAP):
        growth = vitals.measure(windows, vital)
        if growth is not None and growth.status is Status.CONFIRMED:
            return (
                f"{vital.name} grew in each third of {words.plural(growth.windows, 'window')}, "
                f"{vital.rates(*growth.parts)} per request, and no finding says why: the worker is still looking, or it is "
                "garbage that waits for a full collection"
            )
    levels = [window.reading.rss for window in warm(windows)]
    part = max(len(levels) // 4, 1)
    start, before, end = (
        statistics.median(quarter) for quarter in (levels[:part], levels[-2 * part : -part], levels[-part:])
    )
    if end - start < max(_RISE * start, _RISE_BYTES) or end - before < 0.15 * (end - start):
        return None
    return (
        f"memory rose from {format_size(start)} to {format_size(end)} in {words.plural(_requests(windows), 'request')} and "
        "still rises, but at no constant rate per request: not explained"
    )
