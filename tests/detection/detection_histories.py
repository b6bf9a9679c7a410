"""Histories of whole workers, made from a seed: what the judge sees of a web app with and without a leak."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from leakguard.detection.suspicion import History
from leakguard.probes import latency
from leakguard.records import Census, Container, Pauses, Reading, RouteCount, Window

MIB = 1024 * 1024
MIX = {"POST /telemetry": 0.6, "GET /bans": 0.3, "POST /daily": 0.1}


@dataclass
class App:
    """A worker that serves a mix of routes; each ``per_*`` says what one request of a route leaves behind.

    ``failing`` is the share of a route's requests that fail. What is left behind is multiplied by ``left``, a function of
    the requests that left something so far (a cache stops at its size).
    """

    seed: int = 0
    windows: int = 60
    requests: int = 40
    interval: float = 1.0
    cold: int = 5
    mix: Mapping[str, float] = field(default_factory=lambda: dict(MIX))
    failing: Mapping[str, float] = field(default_factory=dict)
    leaky: str | None = None
    failed_only: bool = False
    per_blocks: float = 0.0
    per_heap: float = 0.0
    per_rss: float = 0.0
    per_entry: float = 0.0
    per_task: float = 0.0
    per_thread: float = 0.0
    per_fd: float = 0.0
    retained: float = 0.0
    debt: float = 0.0
    bound: int | None = None
    limit: int | None = None  # entries after which nothing more is left behind
    path: str = "app.STORE"
    looks: int = 8
    noise: float = 20.0
    heap_known: bool = True
    lag: int = 2
    level: Callable[[int, random.Random], float] | None = None  # extra blocks per window
    wave: Callable[[int, random.Random], float] = lambda i, rng: 1.0  # traffic per window, as a share of the usual
    busy: bool = False  # windows close by requests: each has a fortieth of all before it
    fd_level: Callable[[int, random.Random], float] | None = None  # extra descriptors per window
    full_every: int = 1  # windows between two full collections
    garbage: Callable[[int, random.Random], float] | None = (
        None  # extra blocks per window, a tenth of them tracked objects
    )

    def history(self) -> History:
        """Let it live, and return what it saw of itself."""
        rng = random.Random(self.seed)
        total = left = 0
        windows, kept_later = [], [0] * self.lag
        censuses = []
        look_at = {round((i + 1) * self.windows / self.looks) - 1 for i in range(self.looks)} if self.looks else set()
        types = {"builtins.dict": 5000, "app.models.User": 300}
        errors_total = 0
        for i in range(self.windows):
            usual = max(self.requests, total / 40) if self.busy else self.requests * self.wave(i, rng)
            n = max(1, round(rng.gauss(usual, usual**0.5)))
            picks = rng.choices(list(self.mix), weights=list(self.mix.values()), k=n)
            fails = [rng.random() < self.failing.get(route, 0.0) for route in picks]
            total += n
            for route, failed in zip(picks, fails, strict=True):
                hit = (self.leaky is None or route == self.leaky) and (failed or not self.failed_only)
                if hit and (self.limit is None or left < self.limit):
                    left += 1
                errors_total += failed
            kept_later.append(round(left * self.retained))
            kept = kept_later[-1 - self.lag]
            routes = []
            for route in self.mix:
                count = picks.count(route)
                mine = self.leaky in {None, route}
                its = kept if route == self.leaky else 0
                routes.append(
                    RouteCount(
                        route,
                        count=count,
                        errors=sum(f for r, f in zip(picks, fails, strict=True) if r == route),
                        sketch=latency.sketch([rng.uniform(5, 15) for _ in range(min(count, 20))]),
                        retained=its,
                        gc_debt=round(count * self.debt) if mine else 0,
                        retained_by_failure={"feed": its} if its and self.failed_only else {},
                    )
                )
            wobble = rng.gauss(0, self.noise)
            litter = self.garbage(i, rng) if self.garbage else 0.0
            extra = litter + (self.level(i, rng) if self.level else 0.0)
            grown = left if (self.per_blocks or self.per_heap or self.per_rss) else 0
            reading = Reading(
                at=(i + 1) * self.interval,
                rss=round(100 * MIB + self.per_rss * grown + abs(rng.gauss(0, 40_000))),
                heap=round(30 * MIB + self.per_heap * grown + abs(rng.gauss(0, 2_000))) if self.heap_known else None,
                blocks=round(200_000 + self.per_blocks * grown + wobble + extra + 500),
                threads=round(10 + self.per_thread * left),
                fds=round(
                    30 + self.per_fd * left + rng.randint(0, 3) + (self.fd_level(i, rng) if self.fd_level else 0.0)
                ),
                tasks=round(5 + self.per_task * left + rng.randint(0, 3)),
                cpu=i * 0.1,
            )
            windows.append(
                Window(
                    opened=i * self.interval,
                    closed=(i + 1) * self.interval,
                    reading=reading,
                    requests=total,
                    in_flight=rng.randint(0, 3),
                    routes=tuple(routes),
                    pauses=Pauses(
                        count=2, full=int((i - 1) % self.full_every == 0), total=0.002 * self.interval, longest=0.001
                    ),
                    blocks_low=round(200_000 + self.per_blocks * grown + wobble + extra),
                    warm=i >= self.cold,
                )
            )
            if i in look_at and i >= self.cold:
                length = round(self.per_entry * left)
                containers = (
                    (Container(4711, self.path, "builtins.dict", length, self.bound),) if self.per_entry else ()
                )
                censuses.append(
                    Census(
                        at=(i + 1) * self.interval,
                        requests=total,
                        types={name: n + rng.randint(-40, 40) for name, n in types.items()},
                        containers=containers,
                        objects=50_000 + round(litter / 10),
                    )
                )
        return History(tuple(windows), tuple(censuses))
