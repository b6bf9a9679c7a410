"""Shapes of memory over a worker's life, clean ones and leaks, made from a seed.

Unit of noise: one standard deviation is 1, autocorrelated as in real processes (AR(1), 0.6). Each shape returns the
level per window for windows with the given requests handled so far and requests per window.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from leakguard.detection.growth import Point


def traffic(kind: str, windows: int, rng: random.Random) -> list[int]:
    """Return the requests handled in each window: steady, or a day's rise and fall."""
    period = rng.uniform(0.5, 2.0) * windows
    phase = rng.uniform(0, 2 * math.pi)
    wave = [1 + (0.6 * math.sin(2 * math.pi * i / period + phase) if kind == "diurnal" else 0) for i in range(windows)]
    return [max(1, round(rng.gauss(400 * w, 20))) for w in wave]


def noise(windows: int, rng: random.Random, sd: float = 1.0) -> list[float]:
    """Return autocorrelated noise."""
    value, out = rng.gauss(0, sd), []
    for _ in range(windows):
        value = 0.6 * value + rng.gauss(0, sd * 0.8)
        out.append(value)
    return out


def plain(done: list[int], per: list[int], rng: random.Random) -> list[float]:
    """Nothing happens."""
    return [0.0] * len(done)


def warm_up(done: list[int], per: list[int], rng: random.Random) -> list[float]:
    """Imports and pools: an exponential approach."""
    reach = rng.uniform(0.05, 0.4) * done[-1]
    return [30 * (1 - math.exp(-n / reach)) for n in done]


def cache_fills(done: list[int], per: list[int], rng: random.Random) -> list[float]:
    """A cache fills at a constant rate and is full."""
    full = rng.uniform(0.1, 0.6) * done[-1]
    return [30 * min(n / full, 1) for n in done]


def step(done: list[int], per: list[int], rng: random.Random) -> list[float]:
    """A late import: one step."""
    at = rng.uniform(0.1, 0.9) * done[-1]
    return [20.0 * (n > at) for n in done]


def diurnal(done: list[int], per: list[int], rng: random.Random) -> list[float]:
    """The level follows the traffic."""
    return [20 * n / 400 for n in per]


def sawtooth(done: list[int], per: list[int], rng: random.Random) -> list[float]:
    """Garbage until the collector runs."""
    tooth = rng.randint(4, 25)
    return [12 * ((i + tooth // 2) % tooth) / tooth for i in range(len(done))]


def bursts(done: list[int], per: list[int], rng: random.Random) -> list[float]:
    """Rare large requests."""
    return [rng.uniform(10, 40) if rng.random() < 0.06 else 0.0 for _ in done]


def ratchet(done: list[int], per: list[int], rng: random.Random) -> list[float]:
    """A high-water mark: the allocator keeps what the largest burst needed."""
    mark, out = 0.0, []
    for _ in done:
        mark = max(mark, rng.expovariate(1) * 6)
        out.append(mark)
    return out


CLEAN: dict[str, Callable[[list[int], list[int], random.Random], list[float]]] = {
    f.__name__: f for f in (plain, warm_up, cache_fills, step, diurnal, sawtooth, bursts, ratchet)
}


def life(name: str, seed: int, windows: int, leak: float = 0.0) -> list[Point]:
    """Return the points of one worker's life; ``leak`` is the drift over all of it in noise standard deviations."""
    rng = random.Random(f"{name} {seed}")
    per = traffic("diurnal" if name == "diurnal" else "plain", windows, rng)
    done, total = [], 0
    for n in per:
        total += n
        done.append(total)
    shape = CLEAN[name](done, per, rng)
    return [
        Point(n, 100 + s + e + leak * n / total, p / 10)
        for n, s, e, p in zip(done, shape, noise(windows, rng), per, strict=True)
    ]
