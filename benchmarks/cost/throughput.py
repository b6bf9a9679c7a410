"""Throughput and latency of a real server with leakguard, beside the same server with a middleware that does nothing."""

from __future__ import annotations

import random
import statistics
import subprocess
import typing

import psutil

from benchmarks.cost.server import Load, serving, wrk
from benchmarks.cost.table import QUICK, Scale, Table, against, spread

PATH = "/hello/you"
TARGET = 0.97
INSTANCES = 4
"""Pairs of servers, one after the other: where a process's memory happens to lie makes a difference of some percent."""
YOUNG, GROWN = 3.0, 8.0
"""Stretches of load that a worker is young, and after which it is no longer: until then leakguard looks at it often."""
ROUND = 0.25
"""Of a stretch: short, for a shared machine is at times half as fast as at others, and both servers should feel the same."""


class Round(typing.NamedTuple):
    """One stretch of load: what wrk saw, and the server's processor time per request in microseconds."""

    load: Load
    each: float


class Pair(typing.NamedTuple):
    """The same stretch of load at both servers."""

    plain: Round
    guarded: Round

    @property
    def rate(self) -> float:
        """Throughput with leakguard to that without."""
        return self.guarded.load.per_second / self.plain.load.per_second


def run(scale: Scale) -> Table:
    """Serve both apps at once and load them in turn, in shuffled order; anew for each instance."""
    dice = random.Random(1)
    young: list[Pair] = []
    later: list[Pair] = []
    for _ in range(INSTANCES if scale is not QUICK else 1):
        with serving("nothing") as plain, serving("guarded") as guarded:
            for port, _ in (plain, guarded):
                wrk(port, PATH, 1)  # caches fill
            young.append(_pair(dice, plain, guarded, YOUNG * scale.seconds))
            for port, _ in (plain, guarded):
                wrk(port, PATH, (GROWN - YOUNG) * scale.seconds)
            later += [_pair(dice, plain, guarded, ROUND * scale.seconds) for _ in range(scale.rounds)]
    rows = [
        (
            title,
            spread([getattr(pair, name).load.per_second for pair in later], 0),
            spread([getattr(pair, name).load.p99 for pair in later]),
            spread([getattr(pair, name).each for pair in later], 1),
        )
        for title, name in (("do-nothing middleware", "plain"), ("leakguard", "guarded"))
    ]
    rate, first = [pair.rate for pair in later], [pair.rate for pair in young]
    bound = against(statistics.median(rate), TARGET, least=True)
    text = (
        "uvicorn with one worker, `wrk -t1 -c16` against Starlette's hello-world; both servers live at once and are loaded in "
        f"turn, {len(later)} rounds over {len(young)} pairs of servers, each after {GROWN * scale.seconds:.0f} s of load; "
        "median and range. Server and client share the machine's cores."
    )
    note = (
        f"Throughput to the do-nothing middleware's, by round: {spread(rate, 3)} ({bound}); in the first "
        f"{YOUNG * scale.seconds:.0f} s of a worker, in which leakguard looks often: {spread(first, 3)}. "
        f"p99 likewise: {spread([pair.guarded.load.p99 / pair.plain.load.p99 for pair in later])}."
    )
    steady = (
        "What the machine's other work disturbs less, the server's processor time per request, allows a throughput of "
        f"{spread([pair.plain.each / pair.guarded.each for pair in later], 3)} of the do-nothing middleware's."
    )
    columns = ("", "requests per second", "p99 ms", "processor us per request")
    return Table("Throughput", text, columns, tuple(rows), (note, steady))


Served = tuple[int, "subprocess.Popen[bytes]"]


def _pair(dice: random.Random, plain: Served, guarded: Served, seconds: float) -> Pair:
    servers = {"plain": plain, "guarded": guarded}
    taken = {name: _round(*servers[name], seconds) for name in dice.sample(list(servers), 2)}
    return Pair(**taken)


def _round(port: int, server: subprocess.Popen[bytes], seconds: float) -> Round:
    process = psutil.Process(server.pid)
    before = process.cpu_times()
    load = wrk(port, PATH, seconds)
    after = process.cpu_times()
    took = after.user + after.system - before.user - before.system
    return Round(load, took / (load.per_second * max(round(seconds), 1)) * 1e6)
