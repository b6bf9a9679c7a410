"""The rate law: does something grow by a constant amount per call, for as long as one keeps calling?

A cache grows until it is full, a pool until it is large enough, a leak for ever. So: after a warm-up of n calls, five
rounds of n calls each must all grow, the last two at least half as much as the median, and then 2n and 4n calls must
grow about twice and four times as much. Whatever grows unclearly is measured again with n doubled, up to three times;
what is still unclear then is not accused. And the rate that was confirmed must be no lower than before n was doubled:
keys that turn up ever more rarely (Zipf's law) look steady over any window that is short against the time before it.

``n`` is the contract: the law separates caches up to about 10 n entries (12 n calls are made before it accuses) from
leaks down to about 1/n per call (a rarer one may show nothing in three rounds running). Everything here is pure.
"""

from __future__ import annotations

import enum
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from leakguard.detection import words

ROUNDS = 5
"""Rounds of n calls in one attempt."""

DOUBLINGS = 3
"""How often n is doubled when the rounds were unclear."""

FIRST, SECOND = 2, 4
"""The two long runs that confirm, in multiples of n."""

# "About 2x and 4x": a cache that fills in the middle of the 4n run still shows up to 0.7 of it at 10.8 n entries, and in
# simulation a leak of one in n calls chosen at random keeps 0.7 of its mean in nine cases of ten over all attempts.
ABOUT = 0.7


class Trend(enum.StrEnum):
    """What five rounds say: nothing grows, something grows unclearly, or every round grows alike."""

    FLAT = "flat"
    UNCLEAR = "unclear"
    STEADY = "steady"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one quantity did in one attempt: its growth per round of ``calls`` calls, then in the two confirming runs."""

    calls: int
    growth: tuple[int, ...]
    first: int | None = None
    second: int | None = None

    @property
    def total(self) -> int:
        """Growth over all of the attempt's calls."""
        return sum(self.growth) + (self.first or 0) + (self.second or 0)

    @property
    def all_calls(self) -> int:
        """Calls made in the attempt."""
        runs = (FIRST if self.first is not None else 0) + (SECOND if self.second is not None else 0)
        return self.calls * (len(self.growth) + runs)

    @property
    def per_call(self) -> float:
        """Growth per call over the whole attempt."""
        return self.total / self.all_calls if self.all_calls else 0.0


def trend(growth: Sequence[int], floor: int = 0) -> Trend:
    """Say what the ``growth`` of successive rounds of equally many calls amounts to.

    Args:
        growth: growth per round, oldest first.
        floor: growth in one round that is still noise; 0 where the quantity is counted exactly.
    """
    median = statistics.median(growth)
    # One round that gives much back must not hide four that grow: something else may have ended just then.
    if max(growth[-3:]) <= floor or (sum(growth) <= floor and median <= floor):
        return Trend.FLAT
    if min(growth) > floor and min(growth[-2:]) >= median / 2:
        return Trend.STEADY
    return Trend.UNCLEAR


def confirms(attempt: Attempt) -> bool:
    """Say whether the two long runs grew about as the rounds foretold: two and four times their mean, or more."""
    if attempt.first is None or attempt.second is None:
        return False
    mean = statistics.fmean(attempt.growth)
    return attempt.first >= ABOUT * FIRST * mean and attempt.second >= ABOUT * SECOND * mean


def persists(attempt: Attempt, previous: Attempt | None) -> bool:
    """Say whether the rate per call is about what it was in the ``previous`` attempt, or higher."""
    return previous is None or attempt.per_call >= ABOUT * previous.per_call


def remains(attempt: Attempt, grown_now: int) -> bool:
    """Say whether most of what an attempt grew by is still there, after everything late was given time to end."""
    return 2 * grown_now >= attempt.total


def contract(n: int) -> str:
    """Return what the law promises at ``n``, in words for the reader of a failure."""
    rarest = f"1 in {words.count(n)} calls" if n > 1 else "1 per call"
    return (
        f"n = {words.count(n)} separates caches up to about {words.count(10 * n)} entries (10 n) "
        f"from leaks down to about {rarest} (1/n per call)"
    )
