"""What the history costs: slim, and weighed, so that it is not taken for the host's growth."""

from __future__ import annotations

import dataclasses
import gc
import sys

import pytest
from detection_histories import App

from leakguard.detection.footprint import slim, slim_census, weight
from leakguard.detection.judge import judge
from leakguard.records import Census, Window


def test_slim_records_are_judged_alike() -> None:
    """Nothing that the judge needs is lost."""
    for app in (App(), App(leaky="GET /bans", per_entry=1, per_blocks=6), App(leaky="GET /bans", retained=1)):
        history = app.history()
        thin = dataclasses.replace(
            history,
            windows=tuple(slim(window) for window in history.windows),
            censuses=tuple(slim_census(census) for census in history.censuses),
        )
        assert judge(thin) == judge(history)


def test_the_weight_is_what_the_interpreter_counts() -> None:
    """A thousand slim windows take the stated number of blocks, within a fifth."""
    kept: list[Window] = [None] * 1000  # type: ignore[list-item]

    def fill() -> None:
        for start in range(0, 1000, 100):
            windows = App(seed=start, windows=100, looks=0, requests=3000).history().windows
            kept[start : start + 100] = [slim(window) for window in windows]

    fill()  # once for nothing: whatever is cached is cached now
    kept[:] = [None] * 1000  # type: ignore[list-item]
    gc.collect()
    before = sys.getallocatedblocks()
    fill()
    gc.collect()
    grown = sys.getallocatedblocks() - before
    assert sum(weight(window) for window in kept) == pytest.approx(grown, rel=0.2)
    assert grown < 40 * 1000


def test_a_slim_look_keeps_only_types_that_count() -> None:
    """Types with a handful of objects cannot have grown by much."""
    census = Census(at=1, requests=10, types={"dict": 5000, "app.One": 1}, containers=(), objects=9)
    assert slim_census(census).types == {"dict": 5000}
