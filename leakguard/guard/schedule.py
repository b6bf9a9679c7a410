"""When to take the next census: often while it can still tell something, seldom when it has nothing new to say."""

from __future__ import annotations

from leakguard.config import Config, Level
from leakguard.records import Window

FIRST_REQUESTS = 50  # a baseline before the first requests would call every lazy import growth
ROUTINE_REQUESTS = 100  # between two looks of routine: fewer tell nothing new about a rate
WANTED_REQUESTS = 25  # between two looks that are wanted
# A look each time the requests since the baseline grew by this share: many early, few later.
SPACING = 0.15
WANTED_SPACING = 0.03
# The share of the time since the last look that a look may take, on another core and at the lowest priority: of routine,
# while something grows that only more looks can explain, and at the level ``census``.
ROUTINE_SHARE = 0.1
WANTED_SHARE = 0.2
OFTEN_SHARE = 0.3
YOUNG_LOOKS, YOUNG_SHARE = 8, 0.6  # so many looks hardly rest: the first ones tell most


class CensusSchedule:
    """Decides when the next census is due; lives in the guard's thread."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._first_requests: int | None = None
        self._requests = 0
        self._looks = 0
        self._looked = 0.0
        self._took = 0.0

    def due(self, now: float, requests: int, latest: Window | None, *, wanted: bool) -> bool:
        """Return whether to look now.

        Args:
            now: monotonic seconds.
            requests: handled by this worker so far.
            latest: the last closed window; nothing is due before a warm one.
            wanted: whether something grows that more looks could explain.
        """
        if latest is None or not latest.warm or requests < FIRST_REQUESTS:
            return False
        if self._first_requests is None:
            return True
        spacing, rest = self._spacing(requests - self._first_requests, wanted)
        return requests - self._requests >= spacing and now - self._looked >= rest

    def looked(self, now: float, requests: int) -> None:
        """Note that a census begins."""
        self._looked, self._requests = now, requests
        self._looks += 1
        if self._first_requests is None:
            self._first_requests = requests

    def took(self, seconds: float) -> None:
        """Note how long the last census took until its answer was there."""
        self._took = seconds

    def _spacing(self, since_first: int, wanted: bool) -> tuple[float, float]:
        interval = self._config.interval
        if self._config.level is Level.PARANOID:
            return 1, interval
        if self._config.level in {Level.CENSUS, Level.TRACE}:
            return WANTED_REQUESTS, max(interval, self._took / OFTEN_SHARE)
        share = YOUNG_SHARE if self._looks < YOUNG_LOOKS else WANTED_SHARE if wanted else ROUTINE_SHARE
        if wanted:
            return max(WANTED_REQUESTS, WANTED_SPACING * since_first), self._took / share
        return max(ROUTINE_REQUESTS, SPACING * since_first), self._took / share
