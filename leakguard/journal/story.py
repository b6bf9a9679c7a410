"""What a journal tells: its workers with their windows, and their findings, failures and recycles put together."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from leakguard.records import Cost, Failure, Finding, Recycle, Relief, RouteCount, Status, Window, Worker

RUN_PAUSE = 60.0  # seconds without any worker after which the same server counts as started anew


@dataclass(frozen=True, slots=True)
class WorkerStory:
    """One worker: who it was, its windows (older ones merged), when it began to serve and when it last wrote.

    Read from a journal, only the last window has its routes apart; the others have them added up (``journal.windows``).
    """

    worker: Worker
    windows: tuple[Window, ...]
    ready: float | None
    seen: float
    cost: Cost | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """One sentence that a worker left for the reader."""

    at: float
    pid: int
    text: str


@dataclass(frozen=True, slots=True)
class FoundBy:
    """A finding as one worker wrote it down, with the first and last time."""

    finding: Finding
    boot: str
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Story:
    """A journal, or a part of it, read in one consistent look.

    ``routes`` are the totals of each route over all windows; a story made by hand may leave them to be added up. ``left_out``
    are findings on routes that were not asked for.
    """

    path: str
    since: float | None
    workers: tuple[WorkerStory, ...] = ()  # by the time they started
    routes: tuple[RouteCount, ...] | None = None
    findings: tuple[Finding, ...] = ()  # one per fingerprint, the confirmed first
    left_out: tuple[Finding, ...] = ()
    first_seen: Mapping[str, float] = dataclasses.field(default_factory=dict)  # of findings, by fingerprint
    found_by: Mapping[str, int] = dataclasses.field(default_factory=dict)  # workers, by fingerprint
    failures: tuple[Failure, ...] = ()  # one per fingerprint, the most frequent first
    recycles: tuple[Recycle, ...] = ()
    reliefs: tuple[Relief, ...] = ()
    notes: tuple[Note, ...] = ()
    skipped: int = 0  # rows that could not be understood

    @property
    def windows(self) -> int:
        """How many windows the story has, over all workers."""
        return sum(len(each.windows) for each in self.workers)


def merge_findings(found: Iterable[FoundBy], since: float | None) -> tuple[Finding, ...]:
    """Return one finding per fingerprint: the surest and latest words, the greatest amounts that one worker held.

    ``new`` are those first seen at or after ``since``.
    """
    groups: dict[str, list[FoundBy]] = {}
    for each in found:
        groups.setdefault(each.finding.fingerprint, []).append(each)
    merged = _lasting([_merge_finding(group, since) for group in groups.values()])
    outer = {f.holder for f in merged if f.holder is not None and f.status is Status.CONFIRMED}

    def order(finding: Finding) -> tuple[object, ...]:
        # What another holder keeps along with the rest (``app.pending[…].events``) goes when that one lets go.
        holder = finding.holder or ""
        inner = any(holder.startswith((f"{each}[", f"{each}.")) for each in outer)
        return finding.status is not Status.CONFIRMED, inner, -(finding.retained_bytes or 0), finding.fingerprint

    return tuple(sorted(merged, key=order))


def _lasting(findings: Sequence[Finding]) -> list[Finding]:
    """Leave out what a worker wrote in a hurry, before it knew the holder, where another one found out."""

    def explained(finding: Finding) -> bool:
        return finding.holder is not None or finding.site is not None

    known = {(finding.kind, finding.route) for finding in findings if explained(finding)}
    return [f for f in findings if explained(f) or (f.kind, f.route) not in known]


def _merge_finding(group: Sequence[FoundBy], since: float | None) -> Finding:
    def worth(each: FoundBy) -> tuple[object, ...]:
        finding = each.finding
        return (
            finding.status is Status.CONFIRMED,
            finding.site is not None,
            finding.holder is not None,
            finding.route is not None,
            each.last,
        )

    best, *others = (each.finding for each in sorted(group, key=worth, reverse=True))
    merged = dataclasses.replace(
        best,
        new=since is None or min(each.first for each in group) >= since,
        retained_bytes=_greatest(each.finding.retained_bytes for each in group),
        count=_greatest(each.finding.count for each in group),
    )
    return _completed(merged, others)


def _completed(finding: Finding, others: Sequence[Finding]) -> Finding:
    """Return the finding with what it leaves open filled in by what other workers found out about the same leak."""
    open_fields = [f.name for f in dataclasses.fields(finding) if getattr(finding, f.name) in (None, ())]
    known: dict[str, typing.Any] = {}
    for name in open_fields:
        known[name] = next((value for other in others if (value := getattr(other, name))), getattr(finding, name))
    return dataclasses.replace(finding, **known)


def _greatest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def merge_failures(failures: Iterable[Failure], workers: Iterable[WorkerStory]) -> tuple[Failure, ...]:
    """Return one failure per fingerprint, its counts added, with the requests that the workers still held because of it."""
    retained: dict[str, int] = {}
    for each in workers:
        for fingerprint, count in _last_retained(each.windows).items():
            retained[fingerprint] = retained.get(fingerprint, 0) + count
    merged: dict[str, Failure] = {}
    for failure in failures:
        known = merged.get(failure.fingerprint)
        count = failure.count + (known.count if known else 0)
        merged[failure.fingerprint] = dataclasses.replace(
            failure, count=count, retained=retained.get(failure.fingerprint, 0)
        )
    return tuple(sorted(merged.values(), key=lambda f: (-f.count, f.fingerprint)))


def _last_retained(windows: Sequence[Window]) -> dict[str, int]:
    if not windows:
        return {}
    return {key: count for route in windows[-1].routes for key, count in route.retained_by_failure.items()}


def run_began(workers: Sequence[WorkerStory]) -> float | None:
    """Return when the server that ran last was started: what was first seen later is new.

    Its workers have the same parent process, and there was no pause of more than ``RUN_PAUSE`` between them.
    """
    ordered = sorted(workers, key=lambda each: each.worker.started, reverse=True)
    if not ordered:
        return None
    parent, began = ordered[0].worker.parent, ordered[0].worker.started
    for each in ordered[1:]:
        if each.worker.parent == parent and each.seen >= began - RUN_PAUSE:
            began = min(began, each.worker.started)
    return began


def fill_gap(recycle: Recycle, boot: str, workers: Sequence[WorkerStory], left: Mapping[str, float]) -> Recycle:
    """Return the recycle with the time in which nobody served, if it did not know that itself.

    Zero when another worker of the same server was serving at that moment, else the time until the next one was ready.

    Args:
        recycle: as the leaving worker wrote it.
        boot: that worker's.
        workers: everybody.
        left: when each recycled worker left, by its boot.
    """
    if recycle.gap_ms is not None:
        return recycle
    parent = next((each.worker.parent for each in workers if each.worker.boot == boot), None)
    siblings = [w for w in workers if w.worker.boot != boot and w.worker.parent == parent and w.ready is not None]
    ready_at = [typing.cast("float", w.ready) for w in siblings]
    if any(at <= recycle.at < left.get(w.worker.boot, w.seen) for at, w in zip(ready_at, siblings, strict=True)):
        return dataclasses.replace(recycle, gap_ms=0.0)
    later = [at for at in ready_at if at >= recycle.at]
    return dataclasses.replace(recycle, gap_ms=(min(later) - recycle.at) * 1000) if later else recycle
