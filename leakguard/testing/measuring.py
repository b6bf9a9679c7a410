"""Measuring by the rate law: runs of calls between still points, and what grew in them."""

from __future__ import annotations

import asyncio
import time
import typing
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

from leakguard.detection import rate_law
from leakguard.detection.rate_law import Attempt, Trend
from leakguard.probes.process import ProcessProbe
from leakguard.probes.resident import anonymous
from leakguard.records import Reading
from leakguard.testing import quiet
from leakguard.testing.resources import children
from leakguard.testing.tempfiles import FILES

if typing.TYPE_CHECKING:
    from leakguard.testing.caller import Caller

# Retries before accusing, as goleak does it: 0.9 seconds in all. Few, for each one ends in a full collection.
_PAUSES = (0.001, 0.02, 0.1, 0.3, 0.5)
_CALM_TURNS, _CALM_PAUSE = 10, 0.1


@dataclass(frozen=True, slots=True)
class Quantity:
    """One thing that is measured: a field of a reading, what it counts, and the growth per round that is still noise."""

    name: str
    unit: str
    floor: int = 0


QUANTITIES = (
    Quantity("blocks", "Python blocks"),
    # The list behind a queue or a buffer may take one more step; a call that leaks 16 bytes exceeds this at n = 100.
    Quantity("heap", "C heap bytes", floor=1024),
    Quantity("threads", "threads"),
    Quantity("fds", "descriptors"),
    Quantity("tasks", "asyncio tasks"),
    Quantity("processes", "child processes"),
    Quantity("files", "temporary files"),
    # Pages come in handfuls, and allocators take them in advance; what grows on through all rounds is more than that.
    Quantity("resident", "bytes of resident memory", floor=32 * 1024),
)

_ROOM = {"heap", "resident"}
_COUNTED = {"threads", "fds", "tasks", "processes"}
_PROCESSES, _FILES, _RESIDENT = range(len(QUANTITIES) - 3, len(QUANTITIES))


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one check measured: every quantity's last attempt, which of them grow for ever, and the calls it took.

    ``attempts`` and ``leaks`` are empty when nothing leaks.
    """

    n: int
    calls: int
    attempts: Mapping[str, Attempt] = field(default_factory=dict)
    leaks: tuple[str, ...] = ()


class Gauge:
    """Reads every quantity at a still point. Holds the probe's one descriptor until closed."""

    def __init__(self) -> None:
        self._probe = ProcessProbe()
        self._probe.rss()  # opens the descriptor before anything is compared

    def read_into(self, levels: array[int]) -> None:
        """Write the level of every quantity into ``levels``.

        Into an array and nowhere else: a reading kept for comparison would itself be growth. What is not known stays 0.
        """
        quiet.settle()
        reading: Reading = self._probe.read(tasks=_tasks())
        for index, quantity in enumerate(QUANTITIES):
            levels[index] = getattr(reading, quantity.name, None) or 0
        levels[_PROCESSES], levels[_FILES] = len(children()), FILES.left()
        levels[_RESIDENT] = anonymous() or 0

    def read(self) -> array[int]:
        """Return the levels of every quantity, in an array that was made before they were read."""
        levels = _levels()
        self.read_into(levels)
        return levels

    def close(self) -> None:
        """Give the descriptor back."""
        self._probe.close()


def growth_of(gauge: Gauge, before: array[int]) -> dict[str, int]:
    """Return by how much every quantity is higher now than the levels ``before``."""
    now = gauge.read()
    return {q.name: level - other for q, level, other in zip(QUANTITIES, now, before, strict=True)}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a leak that is found is watched before it is believed: a cache without a known bound may yet fill.

    ``calls`` in all, as long as the next run fits before ``until`` (on the monotonic clock, ``None`` for no end), and as long
    as no more than ``blocks`` are kept: what is larger is no cache of a sensible size either.
    """

    calls: int = 0
    until: float | None = None
    blocks: int = 300_000

    def allows(self, made: int, more: int, kept: float, seconds: float) -> bool:
        """Say whether after ``made`` calls, which kept so many blocks and took so long, ``more`` are wanted, and fit."""
        if made >= self.calls or kept > self.blocks:
            return False
        return self.until is None or time.monotonic() + seconds * more / max(made, 1) < self.until


async def measure(caller: Caller, n: int, patience: Patience | None = None, *, glance: int = 0) -> Measurement:
    """Repeat the callable and judge every quantity by the rate law.

    Warm-up included it makes 6 n calls when nothing grows, 12 n for a plain leak, and at worst, when growth stays unclear to
    the end, 166 n. With ``patience`` it goes on with runs as long as all before them, and what grows less in one is no leak.
    With ``glance`` it begins with rounds of so many calls, which only threads, tasks, descriptors and processes are judged by:
    thousands of them would slow down everything, or meet a limit of the system.
    """
    gauge = Gauge()
    try:
        runs = _Runs(caller, gauge)
        await runs.calm()
        await caller.repeat(n)
        with quiet.frozen():
            if glance:
                seen = await _glance(runs, n, glance)
                if seen is not None:
                    return seen
            return await _judge(runs, n, patience or Patience())
    finally:
        gauge.close()


class _Runs:
    """Makes runs of calls and tells what grew in each; counts the calls."""

    def __init__(self, caller: Caller, gauge: Gauge) -> None:
        self._caller = caller
        self._gauge = gauge
        self._start, self._before, self._after = _levels(), _levels(), _levels()
        self.calls = 0

    async def calm(self) -> None:
        """Wait, a second at most, while threads of an earlier test are ending: what they give back would hide a leak."""
        for _ in range(_CALM_TURNS):
            self._gauge.read_into(self._before)
            self._after[:] = self._before
            if self.alone:
                return
            self._start[:] = self._before
            grown = await self.kept(_CALM_PAUSE)
            if grown["threads"] == 0:
                return

    def start(self) -> None:
        """Begin an attempt: what it kept is told from here on."""
        self._gauge.read_into(self._start)

    async def grow(self, calls: int) -> dict[str, int]:
        """Make a run of calls and return by how much every quantity grew in it."""
        self._gauge.read_into(self._before)
        await self._caller.repeat(calls)
        self._gauge.read_into(self._after)
        self.calls += calls
        return self._difference(self._after, self._before)

    async def kept(self, pause: float) -> dict[str, int]:
        """Return, after another pause, what has grown since the attempt began.

        By levels, and not by what the runs grew in all: a thread that writes log records may end each batch between two runs,
        so that every run grows and nothing is kept.
        """
        await self._caller.pause(pause)
        self._gauge.read_into(self._before)
        return self._difference(self._before, self._start)

    @property
    def alone(self) -> bool:
        """Say whether nothing can end late: no loop runs, and there is one thread in the process."""
        levels = dict(zip((q.name for q in QUANTITIES), self._after, strict=True))
        return levels["tasks"] == 0 and levels["threads"] == 1

    @staticmethod
    def _difference(levels: array[int], others: array[int]) -> dict[str, int]:
        return {q.name: level - other for q, level, other in zip(QUANTITIES, levels, others, strict=True)}


async def _judge(runs: _Runs, n: int, patience: Patience) -> Measurement:
    previous: Mapping[str, Attempt] = {}
    began = time.monotonic()
    for calls in (n << doubling for doubling in range(rate_law.DOUBLINGS + 1)):
        growth, trends = await _rounds(runs, calls)
        if set(trends.values()) == {Trend.FLAT}:
            break
        if Trend.STEADY not in trends.values():
            previous = {name: Attempt(calls, grown) for name, grown in growth.items()}
            continue
        attempts, leaks = await _confirm(runs, calls, growth, trends, previous)
        remaining = await _remaining(runs, leaks)
        kept = attempts["blocks"].per_call
        while remaining and patience.allows(runs.calls, runs.calls, kept * runs.calls, time.monotonic() - began):
            # As many calls again as all before: what fills at a constant rate so far must go on for as long.
            more = runs.calls
            grown = await runs.grow(more)
            remaining = tuple(q for q in remaining if grown[q] >= rate_law.ABOUT * more * attempts[q].per_call)
        # Tables that held what ended late, or what a cache let go, keep their size.
        if remaining and (set(leaks) <= _ROOM or not set(remaining) <= _ROOM):
            return Measurement(n, n + runs.calls, attempts, remaining)
        previous = attempts
    return Measurement(n, n + runs.calls)


async def _glance(runs: _Runs, n: int, calls: int) -> Measurement | None:
    """Judge what is counted one by one in a few short rounds; ``None`` when nothing of it leaks for sure."""
    growth, trends = await _rounds(runs, calls)
    if not any(trends[name] is Trend.STEADY for name in _COUNTED):
        return None
    attempts, leaks = await _confirm(runs, calls, growth, trends, {})
    remaining = await _remaining(runs, leaks)
    return Measurement(n, n + runs.calls, attempts, remaining) if _COUNTED & set(remaining) else None


async def _rounds(runs: _Runs, calls: int) -> tuple[dict[str, tuple[int, ...]], dict[str, Trend]]:
    runs.start()
    rounds = [await runs.grow(calls) for _ in range(rate_law.ROUNDS)]
    growth = {q.name: tuple(grown[q.name] for grown in rounds) for q in QUANTITIES}
    trends = {q.name: rate_law.trend(growth[q.name], q.floor) for q in QUANTITIES}
    if trends["resident"] is not Trend.STEADY:
        trends["resident"] = Trend.FLAT  # the noisiest: what it says unclearly is no reason to go on
    return growth, trends


async def _confirm(
    runs: _Runs,
    calls: int,
    growth: Mapping[str, tuple[int, ...]],
    trends: Mapping[str, Trend],
    previous: Mapping[str, Attempt],
) -> tuple[dict[str, Attempt], dict[str, Attempt]]:
    """Make the two long runs; return the attempt of every quantity, and those that leak by the rate law."""
    first = await runs.grow(rate_law.FIRST * calls)
    second = await runs.grow(rate_law.SECOND * calls)
    attempts = {name: Attempt(calls, grown, first[name], second[name]) for name, grown in growth.items()}
    leaks = {
        name: attempt
        for name, attempt in attempts.items()
        if trends[name] is Trend.STEADY
        and rate_law.confirms(attempt)
        and rate_law.persists(attempt, previous.get(name))
    }
    if trends["blocks"] is Trend.STEADY and "blocks" not in leaks:
        leaks.pop("resident", None)  # a cache that filled and stopped: its pages still come in for a while
    return attempts, leaks


async def _remaining(runs: _Runs, leaks: Mapping[str, Attempt]) -> tuple[str, ...]:
    """Leave out what only ended late: a thread, a task or a transport that was still closing."""
    left = dict(leaks)
    for pause in _PAUSES[:1] if runs.alone else _PAUSES:
        if not left:
            break
        kept = await runs.kept(pause)
        left = {name: a for name, a in left.items() if rate_law.remains(a, kept[name])}
    return tuple(left)


def _levels() -> array[int]:
    return array("q", bytes(8 * len(QUANTITIES)))


def _tasks() -> int | None:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # no loop runs: a plain callable
        return None
