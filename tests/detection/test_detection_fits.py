"""The two fits and the attribution that stands on them."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakguard.detection.regression import dot, fit_slope, fit_weights
from leakguard.detection.routes import EVERY, Cause, Counts, attribute_lengths, attribute_levels
from leakguard.records import Reading, RouteCount, Window

READING = Reading(at=0.0, rss=1)


def test_a_slope_is_found_beside_a_nuisance() -> None:
    """The level follows requests and traffic; each gets its own share."""
    rng = random.Random(1)
    traffic = [rng.uniform(10, 100) for _ in range(60)]
    requests = list(itertools.accumulate(traffic))
    level = [3 * r + 50 * t + rng.gauss(0, 1) for r, t in zip(requests, traffic, strict=True)]
    fit = fit_slope(requests, level, traffic)
    assert fit is not None
    assert fit.slope == pytest.approx(3, rel=0.001)
    assert fit.nuisance == pytest.approx(50, rel=0.02)
    assert fit.z > 3


def test_without_movement_there_is_no_slope() -> None:
    """Requests that stand still, or too few points, give no fit rather than a wrong one."""
    assert fit_slope([5, 5, 5, 5], [1, 2, 3, 4]) is None
    assert fit_slope([1, 2], [1, 2]) is None
    flat = fit_slope([1, 2, 3, 4], [7, 7, 7, 7])
    assert flat is not None
    assert (flat.slope, flat.z) == (0, 0)


def test_noise_has_no_significant_slope() -> None:
    """Plain noise seldom passes three standard errors."""
    rng = random.Random(7)
    zs = [fit_slope(range(60), [rng.gauss(0, 1) for _ in range(60)]) for _ in range(200)]
    assert sum(fit is not None and abs(fit.z) > 3 for fit in zs) <= 6


weights = st.lists(st.floats(0, 20), min_size=1, max_size=5)


@given(weights, st.integers(0, 1000))
@settings(deadline=None, max_examples=80)
def test_weights_are_recovered(true: list[float], seed: int) -> None:
    """Exact mixtures of independent columns give back their weights, zeros included."""
    rng = random.Random(seed)
    columns = [[rng.uniform(0, 100) for _ in range(30)] for _ in true]
    level = [dot(true, row) for row in zip(*columns, strict=True)]
    assert fit_weights(columns, level) == pytest.approx(true, abs=1e-5)


@given(st.integers(0, 1000), st.integers(1, 5))
@settings(deadline=None, max_examples=80)
def test_no_weight_is_negative_and_none_can_be_improved(seed: int, size: int) -> None:
    """The conditions of Karush, Kuhn and Tucker hold: no weight below zero, and no pull on a weight at zero."""
    rng = random.Random(seed)
    columns = [[rng.gauss(0, 1) for _ in range(20)] for _ in range(size)]
    level = [rng.gauss(0, 1) for _ in range(20)]
    found = fit_weights(columns, level)
    assert min(found) >= 0
    mean = sum(level) / 20
    rest = [y - mean for y in level]
    for weight, column in zip(found, columns, strict=True):
        middle = sum(column) / 20
        rest = [r - weight * (value - middle) for r, value in zip(rest, column, strict=True)]
    for weight, column in zip(found, columns, strict=True):
        middle = sum(column) / 20
        pull = dot([value - middle for value in column], rest)
        assert pull < 1e-6 if weight < 1e-9 else abs(pull) < 1e-6


def traffic(counts: list[dict[str, int]], errors: list[dict[str, int]] | None = None) -> list[Window]:
    done, windows = 0, []
    for i, each in enumerate(counts):
        done += sum(each.values())
        failed = errors[i] if errors else {}
        routes = tuple(RouteCount(route, count=n, errors=failed.get(route, 0)) for route, n in each.items())
        windows.append(Window(i, i + 1, READING, done, 0, routes, warm=True))
    return windows


def mixed(seed: int, number: int = 60) -> list[dict[str, int]]:
    rng = random.Random(seed)
    return [
        {"GET /a": rng.randint(5, 60), "GET /b": rng.randint(5, 60), "GET /c": rng.randint(0, 5)} for _ in range(number)
    ]


def test_a_length_names_its_route_exactly() -> None:
    """One entry per request of a route, seen at four looks, is that route and the rate 1.00."""
    counts = Counts(traffic(mixed(3)))
    cause = Cause("GET /a")
    points = [(counts.requests[i], round(counts.columns[cause][i])) for i in (14, 29, 44, 59)]
    found = attribute_lengths(points, counts)
    assert found.cause == cause
    assert found.per_request == pytest.approx(1.0)


def test_a_length_that_follows_every_request_blames_no_route() -> None:
    """A middleware that keeps every request is no route's fault."""
    counts = Counts(traffic(mixed(4)))
    points = [(counts.requests[i], counts.requests[i]) for i in (14, 29, 44, 59)]
    assert attribute_lengths(points, counts).cause is EVERY


def test_failed_requests_are_a_cause_of_their_own() -> None:
    """What only failed requests leave behind is said per failed request."""
    rng = random.Random(5)
    each = mixed(5)
    errors = [{"GET /a": rng.randint(0, n["GET /a"] // 2)} for n in each]
    counts = Counts(traffic(each, errors))
    cause = Cause("GET /a", failed=True)
    points = [(counts.requests[i], round(2 * counts.columns[cause][i])) for i in (14, 29, 44, 59)]
    found = attribute_lengths(points, counts)
    assert found.cause == cause
    assert str(found.cause) == "failed GET /a"
    assert found.per_request == pytest.approx(2.0)


@pytest.mark.parametrize("seed", range(8))
def test_a_noisy_level_names_its_route_or_none(seed: int) -> None:
    """Two blocks per request under noise: the right route, or a plain "cannot separate", never a wrong one."""
    rng = random.Random(seed)
    counts = Counts(traffic(mixed(seed, 200)))
    column = counts.columns[Cause("GET /b")]
    points = [(r, 2 * n + rng.gauss(0, 30), 50.0) for r, n in zip(counts.requests, column, strict=True)]
    found = attribute_levels(points, counts)
    assert found.route in {"GET /b", None}
    if found.route is None:
        assert Cause("GET /b") in found.rivals


def test_a_clear_level_names_its_route() -> None:
    """With little noise the route is named, at its rate."""
    rng = random.Random(11)
    counts = Counts(traffic(mixed(11, 100)))
    column = counts.columns[Cause("GET /b")]
    points = [(r, 2 * n + rng.gauss(0, 5), 50.0) for r, n in zip(counts.requests, column, strict=True)]
    found = attribute_levels(points, counts)
    assert found.route == "GET /b"
    assert found.per_request == pytest.approx(2, rel=0.02)


def test_the_only_route_needs_no_regression() -> None:
    """With one route there is no doubt."""
    counts = Counts(traffic([{"GET /a": 10 + i % 3} for i in range(20)]))
    points = [(r, 1.0 * r, 10.0) for r in counts.requests]
    assert attribute_levels(points, counts).route == "GET /a"


def test_routes_beyond_the_bound_are_left_out() -> None:
    """However many routes an app has, a fit looks at the twelve busiest."""
    windows = traffic([{f"GET /{n}": n + 1 for n in range(300)} for _ in range(5)])
    assert len(Counts(windows).columns) == 12
