"""Pace: how long a tick, a window and a rest between two judgements last, in time and in requests.

Leaks grow with requests, not with minutes: what a quiet worker shows in an hour, a busy one shows in seconds. So a window also
closes when enough requests were handled. How many are enough grows with the worker's age: the windows by requests in a
worker's whole life are as many as the logarithm of its requests, and an old worker closes one per interval.
"""

from __future__ import annotations

import math
import time

TICKS_PER_WINDOW = 5
SHORTEST_TICK = 0.02
LONGEST_TICK = 1.0
FEWEST_REQUESTS = 200  # in a window that closes before its time: fewer say little about a rate
WINDOW_SHARE = (
    1 / 40
)  # of all requests so far: about ninety windows from the two thousandth request to the twenty thousandth
JUDGING_SHARE = 1 / 15  # a judgement costs as much as some windows, and a few requests more change nothing


class Pace:
    """Decides when the guard's thread ticks and when a window closes; lives in that thread.

    Args:
        interval: seconds after which a window closes in any case.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._opened = time.monotonic()
        self._requests = 0
        self._total = 0
        self._judged = 0
        self._judged_at = -math.inf

    def note(self, requests: int) -> None:
        """Take note of the requests handled so far."""
        self._total = requests

    def tick(self, now: float) -> float:
        """Return the seconds until the next tick: a few ticks per window, at the pace at which requests come."""
        longest = min(max(self._interval / TICKS_PER_WINDOW, SHORTEST_TICK), LONGEST_TICK)
        came, lasted = self._total - self._requests, now - self._opened
        if self._total == 0:
            return longest
        expected = self._enough() / came * lasted if came > 0 and lasted > 0 else longest
        return min(max(expected / TICKS_PER_WINDOW, SHORTEST_TICK), longest)

    def window_due(self, now: float) -> bool:
        """Return whether the window closes now: its time is over, or enough requests were handled in it."""
        return now - self._opened >= self._interval or self._total - self._requests >= self._enough()

    def window_closed(self, now: float) -> None:
        """Begin the next window."""
        self._opened, self._requests = now, self._total

    def judging_due(self, now: float, requests: int) -> bool:
        """Return whether enough has happened since the last judgement for another, and if so, count from here."""
        due = now - self._judged_at >= self._interval or requests >= self._judged * (1 + JUDGING_SHARE)
        if due:
            self._judged, self._judged_at = requests, now
        return due

    def _enough(self) -> float:
        return max(FEWEST_REQUESTS, WINDOW_SHARE * self._total)
