"""The rate law decides on numbers alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard.detection import rate_law
from leakguard.detection.rate_law import Attempt, Trend


def obeys(level_after: list[int], n: int) -> bool:
    """Apply the law to a recorded level, one entry per call, as the measuring does."""
    position = n - 1
    previous: Attempt | None = None

    def grown(calls: int) -> int:
        nonlocal position
        before = level_after[position]
        position += calls
        return level_after[position] - before

    for calls in (n << doubling for doubling in range(rate_law.DOUBLINGS + 1)):
        growth = tuple(grown(calls) for _ in range(rate_law.ROUNDS))
        verdict = rate_law.trend(growth)
        if verdict is Trend.FLAT:
            return False
        if verdict is Trend.STEADY:
            attempt = Attempt(calls, growth, grown(rate_law.FIRST * calls), grown(rate_law.SECOND * calls))
            if rate_law.confirms(attempt) and rate_law.persists(attempt, previous):
                return True
        else:
            attempt = Attempt(calls, growth)
        previous = attempt
    return False


def levels(step, calls: int = 200 * 100) -> list[int]:
    total, out = 0, []
    for index in range(calls):
        total += step(index)
        out.append(total)
    return out


@pytest.mark.parametrize(
    ("growth", "expected"),
    [
        ((0, 0, 0, 0, 0), Trend.FLAT),
        ((100, 40, 0, 0, 0), Trend.FLAT),
        ((5, -5, 5, -5, 0), Trend.FLAT),
        ((1, 1, 1, 1, 1), Trend.STEADY),
        ((100, 100, 100, 50, 50), Trend.STEADY),
        ((100, 100, 100, 50, 49), Trend.UNCLEAR),
        ((0, 1, 0, 1, 0), Trend.UNCLEAR),
        ((100, 100, -200, 100, 100), Trend.UNCLEAR),
        ((100, 100, -9000, 100, 100), Trend.UNCLEAR),
    ],
)
def test_trend_of_five_rounds(growth: tuple[int, ...], expected: Trend) -> None:
    """Every round must grow and the last two keep at least half the median; all else is flat or unclear."""
    assert rate_law.trend(growth) is expected


def test_growth_up_to_the_floor_is_noise() -> None:
    """What does not exceed the floor is flat, and one unit more in every round is steady."""
    assert rate_law.trend((10, 10, 10, 10, 10), floor=10) is Trend.FLAT
    assert rate_law.trend((11, 11, 11, 11, 11), floor=10) is Trend.STEADY


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(200, 400, True), (140, 280, True), (139, 400, False), (200, 279, False), (None, None, False), (800, 9000, True)],
)
def test_long_runs_must_grow_about_two_and_four_times(first: int, second: int, expected: bool) -> None:
    """0.7 of the foretold growth confirms, anything less does not, and faster growth is no excuse."""
    assert rate_law.confirms(Attempt(100, (100,) * 5, first, second)) is expected


def test_growth_that_ended_late_is_forgiven() -> None:
    """Half of it must still be there after waiting."""
    attempt = Attempt(100, (100,) * 5, 200, 400)
    assert attempt.total == 1100
    assert rate_law.remains(attempt, 550)
    assert not rate_law.remains(attempt, 549)


def test_a_rate_that_fell_when_n_was_doubled_is_not_accused() -> None:
    """Growth that slows down between attempts is a cache with a long tail; growth that speeds up is not."""
    previous = Attempt(100, (100,) * 5)
    assert rate_law.persists(Attempt(200, (140,) * 5), previous)
    assert not rate_law.persists(Attempt(200, (139,) * 5), previous)
    assert rate_law.persists(Attempt(200, (900,) * 5), previous)
    assert rate_law.persists(Attempt(100, (1,) * 5), None)


def test_growth_by_a_root_of_the_calls_is_acquitted() -> None:
    """Distinct keys under Zipf's law grow by about the square root of the calls: never a leak, at any n."""
    for n in (50, 100, 500):
        assert not obeys([int(40 * (i + 1) ** 0.5) for i in range(200 * n)], n)


def test_per_call_is_over_all_calls() -> None:
    """The rate counts the five rounds and both long runs."""
    assert Attempt(100, (100,) * 5, 200, 400).per_call == 1.0
    assert Attempt(100, (50,) * 5).per_call == 0.5
    assert Attempt(100, ()).per_call == 0.0


@pytest.mark.parametrize("n", [10, 100, 500])
def test_caches_up_to_ten_n_entries_are_acquitted(n: int) -> None:
    """A cache of 10 n entries that takes one entry per call passes; one of 20 n cannot be told from a leak."""
    assert not obeys(levels(lambda i: i < 10 * n, 200 * n), n)
    assert obeys(levels(lambda i: i < 20 * n, 200 * n), n)


@pytest.mark.parametrize("n", [10, 100, 500])
def test_leaks_down_to_one_in_n_calls_are_found(n: int) -> None:
    """One object kept in every n-th call is enough, wherever the counting starts."""
    for start in range(0, n, max(1, n // 7)):
        assert obeys(levels(lambda i, start=start: (i + start) % n == 0, 200 * n), n)


def test_leak_behind_a_filling_cache_is_found() -> None:
    """One leak in ten calls shows once the cache of 1000 entries in front of it is full."""
    assert obeys(levels(lambda i: (i < 1000) + (i % 10 == 0)), 100)


def test_sawtooth_is_acquitted() -> None:
    """A store that is purged every so often never obeys the law, whatever its period."""
    for period in (7, 130, 333, 500, 801):
        assert not obeys(levels(lambda i, period=period: 1 if (i + 1) % period else 1 - period), 100), period


@given(seed=st.integers(0, 10_000), spread=st.integers(1, 50))
def test_noise_around_a_level_is_acquitted(seed: int, spread: int) -> None:
    """A level that only trembles is never accused."""
    rng = random.Random(seed)
    level = [rng.randint(-spread, spread) for _ in range(20_000)]
    assert not obeys(level, 100)


@given(rate=st.integers(1, 50), noise=st.integers(0, 20), seed=st.integers(0, 10_000))
def test_leak_above_the_noise_is_found(rate: int, noise: int, seed: int) -> None:
    """A leak of one or more per call is found through noise smaller than half a round's growth."""
    rng = random.Random(seed)
    assert obeys([rate * i + rng.randint(-noise, noise) for i in range(20_000)], 100)


def test_contract_says_n_in_numbers() -> None:
    """The reader learns which caches are too large and which leaks too rare for this n."""
    assert rate_law.contract(500) == (
        "n = 500 separates caches up to about 5 000 entries (10 n) from leaks down to about 1 in 500 calls (1/n per call)"
    )
    assert "1 per call" in rate_law.contract(1)
