"""What C code keeps: of which type, at which line, and which extension it is. Found out by a few more calls, listened to."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import gc
import typing
from collections.abc import Iterator, Sequence

from leakguard.detection import words
from leakguard.detection.finding import OUTSIDE
from leakguard.detection.suspicion import Suspicion
from leakguard.observer import naming
from leakguard.probes import heap, resident, untracked
from leakguard.probes.extensions import Extension
from leakguard.records import Explanation, Kind, Site
from leakguard.testing import quiet
from leakguard.testing.ledger import Ledger, functions, lines, parties
from leakguard.testing.resources import open_descriptors
from leakguard.units import format_size

if typing.TYPE_CHECKING:
    from leakguard.testing.caller import Caller
    from leakguard.testing.measuring import Measurement

Related = tuple[Suspicion, Explanation | None]

_COUNTED, _LISTENED, _NAMED = 100, 40, 5  # calls
_OPENED = 10  # calls: to count the descriptors takes the longer, the more have leaked
_SLOWER = 60  # how much longer a call takes that is listened to, line by line
_IN_STEP = 0.3
_FEWEST_BLOCKS = 0.01
_MOST_PLACES = 8
_ALLOCATORS = 0.5
_BLOCKS_OF_A_CALLBACK = 8

EXIT = "atexit callbacks"
"""The holder of what is registered to be called when the process ends: a table in C that nothing in Python shows."""


def at_exit(related: Related, registered: float) -> Related:
    """Return what leaks with the table of ``atexit`` as its holder, if it seems lost in C and that table grew with it.

    Args:
        related: whatever has a holder comes back as it is.
        registered: callbacks that were registered with every call.
    """
    suspicion, seen = related
    if seen is None or seen.holder != OUTSIDE or suspicion.kind is not Kind.LEAK:
        return related
    if registered <= 0 or registered < suspicion.per_request / _BLOCKS_OF_A_CALLBACK:
        return related
    said = f"{words.rate(registered)} callbacks registered with atexit per call"
    return dataclasses.replace(suspicion, reasons=(*suspicion.reasons, said)), dataclasses.replace(
        seen, holder=EXIT, note=None
    )


async def deepen(related: Related, caller: Caller, measurement: Measurement, each: float, left: float) -> Related:
    """Return one suspicion and its explanation with the type, the line and the likely extension of what C code keeps.

    Args:
        related: whatever is not about C code comes back as it is.
        caller: makes the calls, which are listened to.
        measurement: of the same caller.
        each: seconds that a call takes.
        left: seconds that there are.
    """
    suspicion, seen = related
    if suspicion.key == "fds" and suspicion.site is None and suspicion.holder is None:
        return await _opened(suspicion, caller, _affordable(_OPENED, each * _SLOWER, left)), seen
    if suspicion.kind is Kind.NATIVE and suspicion.key == "resident":
        suspicion = await _fragmented(suspicion, caller, measurement.n)
        if suspicion.kind is Kind.ALLOCATOR:
            return suspicion, seen
    if suspicion.kind is Kind.NATIVE and (seen is None or seen.site is None):
        return suspicion, await _lost_in_c(suspicion, caller, _affordable(_LISTENED, each * _SLOWER, left))
    if seen is None or seen.holder != OUTSIDE:
        return suspicion, seen
    if seen.type is None:
        rate = measurement.attempts["blocks"].per_call
        seen = await _typed(rate, seen, caller, _affordable(min(_COUNTED, measurement.n), each, left))
        if seen.type is not None and suspicion.kind is Kind.NATIVE:
            suspicion = dataclasses.replace(suspicion, kind=Kind.LEAK)  # no buffers, but objects with a name
    if not (seen.note and seen.note.startswith("probably held by its")):
        seen = await _owned(seen, caller)
    return suspicion, seen


def _affordable(calls: int, each: float, left: float) -> int:
    return max(_NAMED, min(calls, int(left / 4 / max(each, 1e-6))))


async def _typed(blocks: float, seen: Explanation, caller: Caller, calls: int) -> Explanation:
    """Find the type of lost objects that the collector does not track, by counting them in memory.

    Args:
        blocks: that are lost per call; there are about as many objects.
        seen: what is known of them.
        caller: makes the calls.
        calls: to make.
    """
    if blocks < _FEWEST_BLOCKS:
        return seen
    kinds = {address: naming.type_name(kind) for address, kind in untracked.untracked_types().items()}
    await caller.repeat(1)
    quiet.settle()
    before = untracked.count(kinds)
    await caller.repeat(calls)
    quiet.settle()
    grown = untracked.count(kinds)
    grown.subtract(before)
    most = [
        (name, number / calls) for name, number in grown.most_common(3) if number >= calls * _IN_STEP * min(blocks, 1.0)
    ]
    near = [name for name, rate in most if abs(rate - blocks) <= _IN_STEP * blocks]
    # In step with the blocks, or else the most numerous, if there are nearly as many of them.
    if not near and most and most[0][1] >= (1 - 2 * _IN_STEP) * blocks:
        near = [most[0][0]]
    if not near:
        return seen
    others = tuple(name for name, rate in most if name != near[0] and rate >= _IN_STEP * blocks)
    return dataclasses.replace(seen, type=near[0], also_types=others)


async def _owned(seen: Explanation, caller: Caller) -> Explanation:
    """Name the extension whose functions or objects stand on the line of the allocation, or on one that led to it.

    Where no line of the application led to it, something was lost that others had made, and the application's lines are all
    there is to look at.
    """
    places = [*([seen.site] if seen.site else []), *seen.frames][:_MOST_PLACES]
    found: collections.Counter[tuple[Extension, Site]] = collections.Counter()
    with _undisturbed(), parties(places, found):
        await caller.repeat(_NAMED)
    told = _likely(places, found)
    if told is not None:
        return dataclasses.replace(seen, note=_joined(seen.note, f"probably lost by {told}"))
    found.clear()
    with _undisturbed(), parties(None, found):
        await caller.repeat(_NAMED)
    if not found:
        return seen
    lines = [place for (_, place), _ in found.most_common()]
    told = _likely(lines, found)
    if len({extension for extension, _ in found}) > 1:
        return dataclasses.replace(seen, note=_joined(seen.note, f"possibly lost by {told}"))
    note = f"made at {seen.site} and probably lost by {told}"
    return dataclasses.replace(seen, site=lines[0], frames=(lines[0], *seen.frames), note=_joined(seen.note, note))


def _likely(places: Sequence[Site], found: typing.Mapping[tuple[Extension, Site], int]) -> str | None:
    for place in places:
        here = sorted({extension for extension, where in found if where == place}, key=str)
        if here:
            return f"{words.together([str(each) for each in here])}, used at {place} in {place.function}"
    return None


def _joined(note: str | None, more: str) -> str:
    return f"{note}; {more}" if note else more


async def _lost_in_c(suspicion: Suspicion, caller: Caller, calls: int) -> Explanation:
    """Find the function of C and the line after which the memory stays."""
    level = resident.mapped if suspicion.key == "resident" else _heap
    ledger = Ledger()
    lost = suspicion.per_request * calls
    with _undisturbed(), functions(level, ledger):
        await caller.repeat(calls)
    with _undisturbed(), lines(level, ledger):
        await caller.repeat(calls)
    name, place = ledger.function(lost), ledger.line(lost)
    if name is not None:
        entry = ledger.functions[name]
        kept = format_size(entry.kept / calls)
        said = (
            f"probably kept by {name} of {ledger.extensions[name]}: {kept} more C heap after it than before, per call"
        )
        return Explanation(holder=OUTSIDE, site=place, note=said)
    found: collections.Counter[tuple[Extension, Site]] = collections.Counter()
    if place is not None:
        with _undisturbed(), parties([place], found):
            await caller.repeat(_NAMED)
    told = _likely([place], found) if place is not None else None
    return Explanation(holder=OUTSIDE, site=place, note=f"probably kept by {told}" if told else None)


async def _opened(suspicion: Suspicion, caller: Caller, calls: int) -> Suspicion:
    """Find the line after which more descriptors are open than before."""
    ledger = Ledger()
    with _undisturbed(), lines(open_descriptors, ledger):
        await caller.repeat(calls)
    return dataclasses.replace(suspicion, site=ledger.line(suspicion.per_request * calls))


async def _fragmented(suspicion: Suspicion, caller: Caller, n: int) -> Suspicion:
    """Tell memory that malloc took and does not use from memory that was mapped beside it."""
    taken, before = heap.taken() or 0, resident.anonymous() or 0
    await caller.repeat(n)
    quiet.settle()
    grown, by_malloc = (resident.anonymous() or 0) - before, (heap.taken() or 0) - taken
    if grown > 0 and by_malloc >= _ALLOCATORS * grown:
        said = "malloc takes it and does not use it: the heap in use stays as it is (fragmentation)"
        return dataclasses.replace(suspicion, kind=Kind.ALLOCATOR, reasons=(*suspicion.reasons, said))
    return dataclasses.replace(suspicion, reasons=(*suspicion.reasons, "it lies outside of malloc's heap"))


def _heap() -> int:
    return heap.in_use() or 0


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the collector out while one listens: what it frees would be counted where it happens to run."""
    automatic = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if automatic:
            gc.enable()
