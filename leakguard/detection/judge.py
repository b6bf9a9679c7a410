"""The judge: everything that can be concluded from one worker's history, in order of evidence, each leak once.

Order of evidence: kept requests (exact), tasks, threads and descriptors (counted), containers (followed by identity), then
the levels of the process (fitted). What is lower in the list and explained by something higher is dropped: a container
that keeps requests makes blocks, heap and RSS grow as well, and that is one leak, not four.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import replace

from leakguard.detection import vitals, words
from leakguard.detection.containers import bounded, find_containers
from leakguard.detection.growth import Growth
from leakguard.detection.population import find_population, is_common
from leakguard.detection.retained import find_retained
from leakguard.detection.routes import Counts
from leakguard.detection.suspicion import History, Suspicion
from leakguard.records import Census, Kind, Reading, Status, Window

__all__ = ["History", "Suspicion", "judge"]

LOOKS_NEEDED = 4
"""Looks after which growth without a container is no longer put down to one not seen yet."""
WINDOWS_WAITED = 40
"""Windows after which it is not waited for looks any more: perhaps none can be taken here."""

WINDOWS_TO_BLAME_MALLOC = 60

_IN_STEP = 0.25
_UNDERSTOOD = 0.3
# One thing kept may drag a whole graph along; beyond this much of it, it does not explain what grows.
_MOST_BLOCKS_EACH = 600
_MOST_BYTES_EACH = 256 * 1024
_MOST_BLOCKS_BESIDE = 30  # every graph has dicts, tuples and lists: fewer of these belong to something else
_FEW_OBJECTS, _FEW_TRACKED = 50, 0.01
_SMALL_BLOCK = 32  # bytes: objects are seldom smaller, so that a measured size bounds the blocks it is made of
# Where the interpreter itself keeps track of tasks and threads: these grow when the tasks do.
_REGISTRIES = (
    "asyncio.*",
    "_asyncio.*",
    "threading.*",
    "_threading*",
    "weakref.*",
    "*._scheduled",
    "*._ready",
    "selectors.*",
)


def judge(history: History) -> tuple[Suspicion, ...]:
    """Return what is suspected now, confirmed first, then in order of evidence; empty when nothing is.

    Pure and quick (a few milliseconds for 360 windows and 60 looks), made to be called after every window. Never raises
    on any history: what cannot be judged is not suspected.
    """
    windows = _in_order(history.windows)
    censuses = _growing_looks(history.censuses)
    counts = Counts(windows)
    containers = find_containers(censuses, counts)
    kept = find_retained(windows)
    retained = [_with_holder(s, containers) if s.kind is Kind.RETAINED_REQUESTS else s for s in kept]
    counted = _counted(windows, counts, retained)
    retained = [s for s in retained if not any(_same(s, c) for c in counted)]
    containers = [c for c in containers if not _is_registry(c, counted)]
    found = [*retained, *counted, *containers]
    found += _levels(windows, counts, history, censuses, found)
    return tuple(sorted(found, key=lambda s: (s.status is not Status.CONFIRMED, s.kind is Kind.GC_DEBT)))


def _in_order(windows: Sequence[Window]) -> list[Window]:
    """Return the windows since requests were last counted anew, so that cumulative counts mean what they say."""
    start = 0
    for i in range(1, len(windows)):
        if windows[i].requests < windows[i - 1].requests:
            start = i
    return list(windows[start:])


def _growing_looks(censuses: Sequence[Census]) -> list[Census]:
    looks: list[Census] = []
    for census in censuses:
        if looks and census.requests < looks[-1].requests:
            looks.clear()
        looks.append(census)
    return looks


def _close(a: float, b: float, tolerance: float = _IN_STEP) -> bool:
    return abs(a - b) <= tolerance * max(abs(a), abs(b))


def _with_holder(kept: Suspicion, containers: Iterable[Suspicion]) -> Suspicion:
    """Name the one container that grows in step with the kept requests of a route, if there is exactly one."""
    alike = [c for c in containers if c.route in {None, kept.route} and _close(c.total_rate, kept.total_rate)]
    if len(alike) != 1:
        return kept
    return replace(kept, holder=alike[0].holder, reasons=(*kept.reasons, f"{alike[0].name} grows in step with them"))


def _counted(windows: Sequence[Window], counts: Counts, retained: Sequence[Suspicion]) -> list[Suspicion]:
    """Return tasks, threads and descriptors that pile up, with the line where tasks hang and the route that keeps them."""
    found = []
    for vital in (vitals.TASKS, vitals.THREADS, vitals.FDS):
        growth = vitals.measure(windows, vital)
        if growth is None:
            continue
        suspicion = vitals.suspect(windows, vital, growth, counts)
        if vital is vitals.TASKS:
            suspicion = _with_site(suspicion, windows[-1])
        found.append(_with_route(suspicion, retained))
    # A thread or a task that never ends may hold a descriptor; the descriptor alone is then the lesser news.
    live = [s for s in found if s.kind is not Kind.DESCRIPTORS]
    return [s for s in found if s in live or not any(_close(s.total_rate, other.total_rate) for other in live)]


def _with_site(tasks: Suspicion, latest: Window) -> Suspicion:
    stuck = [entry for entry in latest.stuck if entry.kind == "task"]
    if not stuck:
        return tasks
    most = max(stuck, key=lambda entry: entry.count)
    said = f"{words.plural(most.count, 'task')} of {most.route} outlived the request that started them"
    said += f" and wait at {most.where} in {most.where.function}" if most.where else ""
    return replace(tasks, route=tasks.route or most.route, site=most.where, reasons=(*tasks.reasons, said))


def _with_route(suspicion: Suspicion, retained: Sequence[Suspicion]) -> Suspicion:
    same = [s for s in retained if _same(s, suspicion)]
    if not same:
        return suspicion
    said = (*suspicion.reasons, *same[0].reasons[:1])
    return replace(
        suspicion,
        route=same[0].route,
        per_request=same[0].per_request,
        failure=same[0].failure,
        failed=same[0].failed,
        reasons=said,
    )


def _same(kept: Suspicion, counted: Suspicion) -> bool:
    """Say whether kept requests and piled-up tasks or threads are one leak: as many of the one as of the other."""
    return (
        kept.kind is Kind.RETAINED_REQUESTS
        and kept.growth > 0
        and counted.growth > 0
        and (counted.route is None or counted.route == kept.route)
        and _close(kept.total_rate, counted.total_rate)
        and vitals.stale(kept.status, counted.status)
    )


def _is_registry(container: Suspicion, counted: Sequence[Suspicion]) -> bool:
    return any(fnmatch.fnmatchcase(container.name, pattern) for pattern in _REGISTRIES) and any(
        _close(container.total_rate, s.total_rate, 0.25) for s in counted
    )


def _levels(
    windows: Sequence[Window],
    counts: Counts,
    history: History,
    censuses: Sequence[Census],
    known: Sequence[Suspicion],
) -> list[Suspicion]:
    """Return what grows in the process as a whole and is not explained by ``known``: blocks, C heap, RSS; at most two."""
    blocks = vitals.measure(windows, vitals.BLOCKS)
    heap = vitals.measure(windows, vitals.HEAP)
    found: list[Suspicion] = []
    filling = _filling(censuses)
    waiting = len(censuses) < LOOKS_NEEDED and len(windows) < WINDOWS_WAITED
    if heap and vitals.is_native(heap, blocks) and not _explained(heap, known, filling, history, _MOST_BYTES_EACH):
        native = vitals.suspect(windows, vitals.HEAP, heap, counts)
        said = _blocks_said(blocks)
        found.append(replace(native, reasons=(*native.reasons, said)))
        if blocks and blocks.per_request <= 2:
            blocks = None  # each buffer that Python's allocator passes on to malloc is one block as well
    if blocks and not _explained(blocks, known, filling, history, _MOST_BLOCKS_EACH):
        held = vitals.suspect(windows, vitals.BLOCKS, blocks, counts)
        population = _telling(find_population(censuses, counts), held)
        rss = vitals.measure(windows, vitals.RSS)
        held = replace(held, bytes_per_request=rss.per_request if rss else None)
        found.append(_as_type(population, held) if population else held)
    if not found and not known and heap is None and blocks is None:
        found += _allocator(windows, counts)
    if history.collects:
        found = [_unswept(each) if _may_be_garbage(each, windows, censuses) else each for each in found]
    return [_waiting(suspicion) for suspicion in found] if waiting else found


def _may_be_garbage(suspicion: Suspicion, windows: Sequence[Window], censuses: Sequence[Census]) -> bool:
    """Say whether what grows may be cycles that wait for a full collection: objects that it tracks grow, and there was none."""
    warm = [window for window in windows if window.warm]
    if any(window.pauses.full for window in warm[len(warm) // 3 :]):
        return False
    if len(censuses) < 2:
        return True
    gained, handled = censuses[-1].objects - censuses[0].objects, censuses[-1].requests - censuses[0].requests
    # Every cycle goes through objects that are tracked: a few of them cannot be what many blocks hang on.
    enough = suspicion.total_rate * handled / _MOST_BLOCKS_BESIDE if suspicion.key == "blocks" else 0.0
    return gained > max(_FEW_OBJECTS, _FEW_TRACKED * handled, enough)


def _unswept(suspicion: Suspicion) -> Suspicion:
    """Hold a level back from being confirmed until a full collection has left it as high as it was."""
    if suspicion.status is not Status.CONFIRMED:
        return suspicion
    said = "not confirmed: no full collection yet since it began, and garbage grows like this too"
    return replace(suspicion, status=Status.SUSPECT, needs_collection=True, reasons=(*suspicion.reasons, said))


def _waiting(suspicion: Suspicion) -> Suspicion:
    """Hold a level back from being confirmed until the looks have had their chance to name a container."""
    return replace(suspicion, status=Status.SUSPECT, needs_census=True)


def _blocks_said(blocks: Growth | None) -> str:
    if blocks is None:
        return "Python's own blocks stay flat: the memory belongs to C code"
    return (
        f"Python's blocks grow by {words.rate(blocks.per_request)} per request, which at most {vitals.SMALL_OBJECT} bytes "
        "each cannot account for"
    )


def _telling(population: Suspicion | None, held: Suspicion) -> Suspicion | None:
    """Return the growing type if it may be what the blocks are made of, and does not make a sure thing doubtful."""
    if population is None or not vitals.stale(held.status, population.status):
        return None
    most = _MOST_BLOCKS_BESIDE if is_common(population.name) else _MOST_BLOCKS_EACH
    return population if population.total_rate * most >= held.total_rate else None


def _as_type(population: Suspicion, held: Suspicion) -> Suspicion:
    """Turn growing blocks into growing objects of a type: the same leak, said better."""
    both = Status.CONFIRMED if {population.status, held.status} == {Status.CONFIRMED} else Status.SUSPECT
    return replace(
        population,
        status=both,
        route=population.route or held.route,
        bytes_per_request=held.bytes_per_request,
        reasons=(*population.reasons, *held.reasons),
    )


def _filling(censuses: Sequence[Census]) -> float:
    """Return how many entries per request the containers of known bound gained: caches that fill, and will be or are full."""
    first: dict[int, tuple[int, int]] = {}
    for census in censuses:
        for container in census.containers:
            if bounded(container):
                first.setdefault(container.key, (census.requests, container.length))
    if not first:
        return 0.0
    latest = censuses[-1]
    return sum(
        (container.length - first[container.key][1]) / (latest.requests - first[container.key][0])
        for container in latest.containers
        if container.key in first and latest.requests > first[container.key][0]
    )


def _explained(growth: Growth, known: Sequence[Suspicion], filling: float, history: History, most_each: int) -> bool:
    """Say whether what is known already accounts for a level's growth.

    Measured sizes count for themselves; what was not measured is trusted with up to ``most_each`` per object.
    """
    sizes = history.sizes
    entries = filling
    measured = 0.0
    for suspicion in known:
        size = sizes.get(suspicion.key)
        # A mere suspect explains a fact only while looks are few, or once its size has been measured.
        trusted = size is not None or vitals.stale(growth.status, suspicion.status) or _young(history)
        if suspicion.kind is Kind.GC_DEBT or not trusted:
            continue
        if most_each == _MOST_BLOCKS_EACH:
            entries += suspicion.total_rate * max(1.0, (size or 0) / (_SMALL_BLOCK * most_each))
        elif size is None:
            entries += suspicion.total_rate
        else:
            measured += size * suspicion.total_rate
    unexplained = growth.per_request - measured
    return entries * most_each >= unexplained or unexplained < (1 - _UNDERSTOOD) * growth.per_request


def _young(history: History) -> bool:
    """Say whether looks are still too few to confirm a container, so that a suspect one explains even a fact."""
    return len(history.censuses) < 2 * LOOKS_NEEDED


def _allocator(windows: Sequence[Window], counts: Counts) -> list[Suspicion]:
    """Return RSS that grows though neither Python nor the C heap holds more: fragmentation, or memory mapped elsewhere."""
    growth = vitals.measure(windows, vitals.RSS)
    latest: Reading | None = windows[-1].reading if windows else None
    if growth is None or latest is None:
        return []
    suspicion = vitals.suspect(windows, vitals.RSS, growth, counts)
    if latest.heap is None:
        said = "the C heap cannot be read here: C code that holds memory and an allocator that keeps it look the same"
        return [replace(suspicion, kind=Kind.NATIVE, status=Status.SUSPECT, reasons=(*suspicion.reasons, said))]
    said = (
        "Python's blocks and the C heap in use stay flat: freed memory is not returned (fragmentation), or is mapped past "
        "malloc; try MALLOC_ARENA_MAX=2, malloc_trim or another malloc"
    )
    # The high-water mark of an allocator rises long before it stays: this needs more windows than the rest.
    sure = growth.windows >= WINDOWS_TO_BLAME_MALLOC
    return [replace(suspicion, status=growth.status if sure else Status.SUSPECT, reasons=(*suspicion.reasons, said))]
