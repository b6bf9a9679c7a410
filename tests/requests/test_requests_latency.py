"""Latency sketches: quantiles within their stated error, merging by addition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard.probes.latency import GAMMA, count, merge, quantile, sketch
from leakguard.records import Sketch

times = st.lists(st.floats(0.02, 1e6), min_size=1, max_size=200)


@given(times, st.sampled_from([0.5, 0.95, 0.99]))
def test_quantiles_are_within_their_error(values: list[float], q: float) -> None:
    """A quantile is off by at most (gamma - 1) / (gamma + 1) of the true value at its rank."""
    ordered = sorted(values)
    true = ordered[max(-(-len(ordered) * int(q * 100) // 100), 1) - 1]
    estimate = quantile(sketch(values), q)
    assert estimate == pytest.approx(true, rel=(GAMMA - 1) / (GAMMA + 1) + 1e-9)


@given(times, times)
def test_merging_is_sketching_all(left: list[float], right: list[float]) -> None:
    """The merge of two sketches is the sketch of both."""
    assert merge([sketch(left), sketch(right)]) == sketch(left + right)


@given(times)
def test_the_maximum_is_exact_and_bounds_the_rest(values: list[float]) -> None:
    """q=1 is the true maximum, and no other quantile is above it."""
    made = sketch(values)
    assert quantile(made, 1) == max(values)
    assert all((quantile(made, q) or 0) <= max(values) for q in (0.5, 0.95, 0.99))
    assert count(made) == len(values)


def test_an_empty_sketch_has_no_quantile() -> None:
    """Nothing measured gives nothing, not zero."""
    assert quantile(Sketch(), 0.5) is None


def test_buckets_are_bounded() -> None:
    """However wild the times, a sketch has at most 430 buckets."""
    assert len(sketch(1.01**power for power in range(-3000, 3000)).buckets) < 430


@given(st.lists(st.sampled_from([0.0, 0.02, 1.0, GAMMA, GAMMA**2, 3.0, 1e12]), max_size=40))
def test_times_of_one_bucket_are_counted_together_and_alike(values: list[float]) -> None:
    """Times that are sketched at once fall into the buckets that they fall into one by one, at the borders as well."""
    assert sketch(values) == merge([Sketch(), *(sketch([value]) for value in values)])
