"""The false-alarm table of whole clean workers: what fills, swings, bursts and steps, over fifty seeds each, judged on the way.

``pytest -m long -s tests/detection/test_detection_clean_lives.py`` prints the table of ``docs/accuracy.md``.
"""

from __future__ import annotations

import math
import random
import typing
from collections.abc import Callable

import pytest
from detection_histories import App

from leakguard.detection.judge import judge
from leakguard.detection.suspicion import History
from leakguard.records import Kind, Status

SEEDS = 50
WINDOWS = 120
STEP = 6  # windows between two judgements

Options = dict[str, typing.Any]


def warm_up(rng: random.Random) -> Options:
    """Interpreter and framework warm up exponentially, for up to a third of the life."""
    reach, height = rng.uniform(2, 40), rng.uniform(500, 8000)
    return {"level": lambda i, _: height * (1 - math.exp(-i / reach))}


def known_cache(rng: random.Random) -> Options:
    """A cache whose bound is known fills at a constant rate."""
    bound = round(10 ** rng.uniform(2, 5))
    return {**_cache(rng), "bound": bound, "limit": bound}


def small_cache(rng: random.Random) -> Options:
    """A cache without a known bound is full before the first fifth of the life has passed."""
    return {**_cache(rng), "limit": round(rng.uniform(0.02, 0.2) * WINDOWS * 12)}


def random_keys(rng: random.Random) -> Options:
    """A cache without a known bound sees the same keys again and again: new ones become rarer, within the life."""
    keys = rng.randint(50, 500)
    blocks = rng.uniform(2, 10)
    return {"level": lambda i, _: blocks * keys * (1 - math.exp(-i * 12 / keys))}


def _cache(rng: random.Random) -> Options:
    return {"leaky": "GET /bans", "per_entry": 1.0, "per_blocks": rng.uniform(2, 12), "per_heap": rng.uniform(0, 400)}


def diurnal(rng: random.Random) -> Options:
    """Traffic rises and falls, and memory with it."""
    period, phase, depth = rng.uniform(0.5, 2) * WINDOWS, rng.uniform(0, 6), rng.uniform(500, 6000)

    def wave(i: int, _: random.Random) -> float:
        return 1 + 0.6 * math.sin(2 * math.pi * i / period + phase)

    return {"requests": 400, "wave": wave, "level": lambda i, rng: depth * wave(i, rng)}


def bursts(rng: random.Random) -> Options:
    """Now and then a request a hundred times as large."""
    often, height = rng.uniform(0.02, 0.15), rng.uniform(1000, 20_000)
    return {"level": lambda i, rng: rng.uniform(0.2, 1) * height if rng.random() < often else 0.0}


def pool(rng: random.Random) -> Options:
    """A pool of connections fills to its limit within the first eighth of the life: descriptors and blocks."""
    limit, blocks = rng.randint(10, 100), rng.uniform(50, 200)
    pace = limit / rng.uniform(1, WINDOWS / 8)

    def open_(i: int, _: random.Random) -> float:
        return min(limit, pace * i)

    return {"fd_level": open_, "level": lambda i, rng: blocks * open_(i, rng)}


def lazy_imports(rng: random.Random) -> Options:
    """Modules are imported when first asked for: steps, most of them early."""
    moments = sorted(rng.expovariate(1) * 20 for _ in range(rng.randint(3, 12)))
    sizes = [rng.uniform(300, 6000) for _ in moments]
    return {"level": lambda i, _: sum(size for at, size in zip(moments, sizes, strict=True) if at <= i)}


def garbage(rng: random.Random) -> Options:
    """Cycles pile up until the collector comes, which it does seldom."""
    every, per = rng.randint(5, 60), rng.uniform(20, 400)
    return {"full_every": every, "garbage": lambda i, _: per * ((i - 1) % every)}


def errors(rng: random.Random) -> Options:
    """Some requests fail, and nothing is left behind."""
    return {"failing": {"POST /telemetry": rng.uniform(0.01, 0.5)}}


def plain(rng: random.Random) -> Options:
    """Nothing happens."""
    return {}


# Shape: the most lives of fifty in which anything was ever confirmed, by windows of time and by windows of requests.
TABLE: dict[Callable[[random.Random], Options], int] = {
    plain: 0,
    warm_up: 2,
    known_cache: 0,
    small_cache: 0,
    random_keys: 3,
    diurnal: 0,
    bursts: 0,
    pool: 0,
    lazy_imports: 1,
    garbage: 0,
    errors: 0,
}


def ever_confirmed(options: Options, seed: int) -> set[Kind]:
    """Return what kinds were confirmed at any time of one life."""
    history = App(seed=seed, windows=WINDOWS, looks=12, **options).history()
    kinds: set[Kind] = set()
    for number in range(12, WINDOWS + 1, STEP):
        windows = history.windows[:number]
        looks = tuple(census for census in history.censuses if census.at <= windows[-1].closed)
        kinds |= {found.kind for found in judge(History(windows, looks)) if found.status is Status.CONFIRMED}
    return kinds


@pytest.mark.long
@pytest.mark.parametrize("busy", [False, True], ids=["by time", "by requests"])
@pytest.mark.parametrize("shape", TABLE, ids=lambda shape: shape.__name__)
def test_a_clean_life_is_hardly_ever_confirmed(shape: Callable[[random.Random], Options], busy: bool) -> None:
    """Over fifty lives of a clean shape, judged every few windows, no more are ever confirmed than the table says."""
    if busy and shape is diurnal:
        pytest.skip("windows by requests take the traffic's rise and fall out")
    told = [
        kinds for seed in range(SEEDS) if (kinds := ever_confirmed({**shape(random.Random(seed)), "busy": busy}, seed))
    ]
    print(
        f"\n| {shape.__name__} | {'requests' if busy else 'time'} | {len(told)} of {SEEDS} | {sorted(set().union(*told))}"
    )
    assert len(told) <= TABLE[shape]
