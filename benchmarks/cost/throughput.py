"""Throughput and latency of a real server with leakguard, beside the same server with a middleware that does nothing."""

from __future__ import annotations

import random
import statistics

from benchmarks.cost.server import Load, serving, wrk
from benchmarks.cost.table import Scale, Table, against, spread

PATH = "/hello/you"
TARGET = 0.97


def run(scale: Scale) -> Table:
    """Serve both apps at once and load them in turn, in shuffled order."""
    dice = random.Random(1)
    loads: dict[str, list[Load]] = {"nothing": [], "guarded": []}
    with serving("nothing") as (one, _), serving("guarded") as (other, _):
        ports = {"nothing": one, "guarded": other}
        for number in range(scale.rounds + 1):
            for name in dice.sample(list(ports), 2):
                load = wrk(ports[name], PATH, scale.seconds / 2)
                if number:  # the first round warms up
                    loads[name].append(load)
    pairs = list(zip(loads["guarded"], loads["nothing"], strict=True))
    rate = [mine.per_second / theirs.per_second for mine, theirs in pairs]
    tail = [mine.p99 / theirs.p99 for mine, theirs in pairs]
    rows = [
        (title, spread([load.per_second for load in loads[name]], 0), spread([load.p99 for load in loads[name]]))
        for title, name in (("do-nothing middleware", "nothing"), ("leakguard", "guarded"))
    ]
    bound = against(statistics.median(rate), TARGET, least=True)
    text = (
        "uvicorn with one worker, `wrk -t1 -c16` against Starlette's hello-world; both servers live at once and are loaded in "
        f"turn, {scale.rounds} rounds; median and range. Server and client share the machine's cores."
    )
    note = f"Throughput to the do-nothing middleware's, by round: {spread(rate, 3)} ({bound}). p99 likewise: {spread(tail, 2)}."
    return Table("Throughput", text, ("", "requests per second", "p99 ms"), tuple(rows), (note,))
