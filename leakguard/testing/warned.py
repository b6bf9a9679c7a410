"""Warnings that tell of something left open: counted while the callable runs."""

from __future__ import annotations

import collections
import typing
import warnings

from leakguard.detection.suspicion import Suspicion
from leakguard.probes.code import origin, site
from leakguard.records import Kind, Site, Status

_NEVER_AWAITED = "never awaited"


class Warned:
    """Counts resource warnings and coroutines never awaited. To be entered inside ``quiet.silence``, which cleans up after it.

    Keeps a count for each of at most ``MOST`` places, and nothing of what the warnings say.
    """

    MOST = 100

    def __init__(self) -> None:
        self._counts: collections.Counter[tuple[str, Site]] = collections.Counter()

    def listen(self) -> None:
        """Begin: these warnings are shown every time from here on, and shown to this."""
        warnings.simplefilter("always", ResourceWarning)
        warnings.filterwarnings("always", message=f".*{_NEVER_AWAITED}", category=RuntimeWarning)
        warnings.showwarning = self._note  # type: ignore[assignment]

    def suspicions(self, calls: int) -> tuple[Suspicion, ...]:
        """Return what was warned of in so many calls, the most frequent first."""
        return tuple(
            Suspicion(
                kind=Kind.LEAK,
                status=Status.CONFIRMED,
                key="warnings",
                name=name,
                per_request=count / max(calls, 1),
                reasons=(f"{name} was raised {count} times in {calls} calls",),
                type=name,
                site=place,
                growth=count,
                requests=calls,
            )
            for (name, place), count in self._counts.most_common()
        )

    def _note(
        self, message: Warning | str, category: type[Warning], filename: str, lineno: int, *_more: typing.Any
    ) -> None:
        unawaited = issubclass(category, RuntimeWarning) and _NEVER_AWAITED in str(message)
        if not unawaited and not issubclass(category, ResourceWarning):
            return
        name = "RuntimeWarning (coroutine never awaited)" if unawaited else category.__name__
        key = name, site(filename, lineno, "the finalizer" if origin(filename) == "stdlib" else "the call")
        if key in self._counts or len(self._counts) < self.MOST:
            self._counts[key] += 1
