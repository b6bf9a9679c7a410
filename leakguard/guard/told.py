"""The findings that this worker has told, and which of them no longer hold."""

from __future__ import annotations

from collections.abc import Iterable

from leakguard.records import Finding

MAX_FINDINGS = 100
WITHDRAW_WINDOWS = 20
WITHDRAW_REQUESTS = 1000


class Told:
    """Remembers up to ``MAX_FINDINGS`` findings with the moment at which each last held, in windows and requests."""

    def __init__(self) -> None:
        self.findings: dict[str, Finding] = {}
        self._held: dict[str, tuple[int, int]] = {}
        self._windows = 0
        self._requests = 0

    def window(self, findings: Iterable[Finding], requests: int) -> None:
        """Note what holds at the end of one more window."""
        self._windows += 1
        self._requests = requests
        for finding in findings:
            key = finding.fingerprint
            if key in self.findings or len(self.findings) < MAX_FINDINGS:
                self.findings[key] = finding
                self._held[key] = (self._windows, requests)

    def take_withdrawn(self) -> tuple[str, ...]:
        """Return, once, the fingerprints of findings that no longer hold: a cache of unknown bound that is full now, say.

        Only after so many windows with so many requests without growth: a leak on a route that nobody asks for at night
        must still be there in the morning.
        """
        gone = tuple(
            key
            for key, (window, requests) in self._held.items()
            if self._windows - window >= WITHDRAW_WINDOWS and self._requests - requests >= WITHDRAW_REQUESTS
        )
        for key in gone:
            del self._held[key], self.findings[key]
        return gone
