"""Throughput and latency of a real server with leakguard, beside the same server with a middleware that does nothing."""

from __future__ import annotations

import random
import statistics
import subprocess
import typing

import psutil

from benchmarks.cost.server import Load, serving, wrk
from benchmarks.cost.table import Scale, Table, against, spread

PATH = "/hello/you"
TARGET = 0.97


class Round(typing.NamedTuple):
    """One stretch of load: what wrk saw, and the server's processor time per request in microseconds."""

    load: Load
    each: float


def run(scale: Scale) -> Table:
    """Serve both apps at once and load them in turn, in shuffled order."""
    dice = random.Random(1)
    rounds: dict[str, list[Round]] = {"nothing": [], "guarded": []}
    with serving("nothing") as plain, serving("guarded") as guarded:
        servers = {"nothing": plain, "guarded": guarded}
        for number in range(scale.rounds + 1):
            for name in dice.sample(list(servers), 2):
                taken = _round(*servers[name], scale.seconds / 2)
                if number:  # the first round warms up
                    rounds[name].append(taken)
    pairs = list(zip(rounds["guarded"], rounds["nothing"], strict=True))
    rate = [mine.load.per_second / theirs.load.per_second for mine, theirs in pairs]
    tail = [mine.load.p99 / theirs.load.p99 for mine, theirs in pairs]
    each = [theirs.each / mine.each for mine, theirs in pairs]
    rows = [
        (
            title,
            spread([taken.load.per_second for taken in rounds[name]], 0),
            spread([taken.load.p99 for taken in rounds[name]]),
            spread([taken.each for taken in rounds[name]], 1),
        )
        for title, name in (("do-nothing middleware", "nothing"), ("leakguard", "guarded"))
    ]
    bound = against(statistics.median(rate), TARGET, least=True)
    text = (
        "uvicorn with one worker, `wrk -t1 -c16` against Starlette's hello-world; both servers live at once and are loaded in "
        f"turn, {scale.rounds} rounds; median and range. Server and client share the machine's cores."
    )
    note = f"Throughput to the do-nothing middleware's, by round: {spread(rate, 3)} ({bound}). p99 likewise: {spread(tail, 2)}."
    steady = (
        "What the machine's other work disturbs less, the server's processor time per request, allows a throughput of "
        f"{spread(each, 3)} of the do-nothing middleware's."
    )
    columns = ("", "requests per second", "p99 ms", "processor us per request")
    return Table("Throughput", text, columns, tuple(rows), (note, steady))


def _round(port: int, server: subprocess.Popen[bytes], seconds: float) -> Round:
    process = psutil.Process(server.pid)
    before = process.cpu_times()
    load = wrk(port, PATH, seconds)
    after = process.cpu_times()
    took = after.user + after.system - before.user - before.system
    return Round(load, took / (load.per_second * max(round(seconds), 1)) * 1e6)
