"""Which route it is, from levels request by request; and what drift does to a level."""

from __future__ import annotations

import random

import pytest

from leakguard.detection.drift import lasting, likelihoods, without_steps
from leakguard.detection.stepwise import route_by_steps

ROUTES = {"GET /a": 0.5, "GET /b": 0.3, "POST /c": 0.2}


def samples(
    seed: int, leaky: str | None, each: float, *, noise: float, count: int = 1000
) -> tuple[list[int], list[int], dict[str, list[int]]]:
    """Levels, requests in flight and ended requests per route of a thousand requests, one route of which leaks."""
    rng = random.Random(seed)
    ended = {route: [0] for route in ROUTES}
    levels, in_flight = [1_000_000], [0]
    left = 0.0
    for _ in range(count):
        (route,) = rng.choices(list(ROUTES), list(ROUTES.values()))
        for name, counts in ended.items():
            counts.append(counts[-1] + (name == route))
        left += each if route == leaky else 0.0
        in_flight.append(rng.randint(0, 7))
        levels.append(round(1_000_000 + left + 300 * in_flight[-1] + rng.gauss(0, noise)))
    return levels, in_flight, ended


@pytest.mark.parametrize("seed", range(5))
def test_the_route_with_whose_requests_the_level_rises_is_named(seed: int) -> None:
    """144 bytes per request of a fifth of the traffic, under the memory of eight requests in flight."""
    assert route_by_steps(*samples(seed, "POST /c", 144, noise=400), total_rate=144 * 0.2) == "POST /c"


@pytest.mark.parametrize("seed", range(20))
def test_without_a_leak_nobody_is_blamed(seed: int) -> None:
    """Noise alone names no route, whatever the suspicion says."""
    assert route_by_steps(*samples(seed, None, 0, noise=400), total_rate=30) is None


def test_few_samples_say_nothing() -> None:
    """Less than a hundred requests are not judged."""
    assert route_by_steps(*samples(1, "POST /c", 5000, noise=1, count=50), total_rate=1000) is None


def test_what_all_requests_leave_behind_is_no_routes() -> None:
    """A leak of every request is not put down to the busiest route."""
    levels, in_flight, ended = samples(3, None, 0, noise=50)
    levels = [level + 40 * i for i, level in enumerate(levels)]
    assert route_by_steps(levels, in_flight, ended, total_rate=40) is None


def test_a_few_steps_are_taken_out_and_many_are_not() -> None:
    """An import is not the leak; what steps again and again may be."""
    requests = list(range(0, 6000, 100))
    rng = random.Random(1)
    plain = [n + rng.gauss(0, 5) for n in requests]
    stepped = [level + 5000 * (i > 20) for i, level in enumerate(plain)]
    assert max(abs(a - b) for a, b in zip(without_steps(requests, stepped), plain, strict=True)) < 150
    often = [level + 500 * (i // 5) for i, level in enumerate(plain)]
    assert without_steps(requests, often)[-1] > plain[-1] + 2000


def test_what_slows_down_does_not_last() -> None:
    """Growth like the logarithm of the requests leaves no slope behind, a leak beside it leaves its own."""
    requests = list(range(1000, 20_000, 300))
    rng = random.Random(2)
    traffic = [rng.gauss(100, 5) for _ in requests]
    slower = [20_000 * (1 - 1 / (1 + n / 4000)) + rng.gauss(0, 50) for n in requests]
    alone = lasting(requests, slower, traffic)
    leaking = lasting(requests, [level + 0.5 * n for level, n in zip(slower, requests, strict=True)], traffic)
    assert alone is not None
    assert leaking is not None
    assert leaking.slope - alone.slope == pytest.approx(0.5, abs=0.01)
    assert alone.slope < 0


def test_the_likelier_cause_is_the_one_that_moves_with_the_level() -> None:
    """A random walk and white noise hide neither the cause nor its rate."""
    rng = random.Random(5)
    causes: dict[str, list[float]] = {"right": [0.0], "wrong": [0.0]}
    walk, levels = 0.0, [0.0]
    for _ in range(100):
        causes["right"].append(causes["right"][-1] + rng.randint(20, 60))
        causes["wrong"].append(causes["wrong"][-1] + rng.randint(20, 60))
        walk += rng.gauss(0, 30)
        levels.append(10 * causes["right"][-1] + walk + rng.gauss(0, 50))
    found = likelihoods(levels, [1.0] * 101, causes)
    assert found["right"].log > found["wrong"].log + 4
    assert found["right"].slope == pytest.approx(10, rel=0.1)
