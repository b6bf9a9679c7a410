"""The findings that this worker has told, and which of them no longer hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from leakguard.records import Finding, Status

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

    def as_sure_as_before(self, finding: Finding) -> Finding:
        """Return the finding, still confirmed if it was: what chance makes look slower today is no less a leak."""
        before = self.findings.get(finding.fingerprint)
        confirmed = before is not None and before.status is Status.CONFIRMED
        return dataclasses.replace(finding, status=Status.CONFIRMED) if confirmed else finding

    def take_withdrawn(self) -> tuple[str, ...]:
        """Return, once, the fingerprints of findings that no longer hold: a cache of unknown bound that is full now, say.

        Only after so many windows with so many requests without growth: a leak on a route that nobody asks for at night
        must still be there in the morning. What was only a level, without a holder in Python, goes at once when a holder
        that accounts for it has been found.
        """
        gone = tuple(key for key in self._held if self._outlived(key) or self._superseded(key))
        for key in gone:
            del self._held[key], self.findings[key]
        return gone

    def _outlived(self, key: str) -> bool:
        window, requests = self._held[key]
        return self._windows - window >= WITHDRAW_WINDOWS and self._requests - requests >= WITHDRAW_REQUESTS

    def _superseded(self, key: str) -> bool:
        holding = (self.findings[k] for k, (window, _) in self._held.items() if window == self._windows)
        named = any(finding.status is Status.CONFIRMED and _has_holder(finding) for finding in holding)
        return named and self._held[key][0] < self._windows and not _has_holder(self.findings[key])


def _has_holder(finding: Finding) -> bool:
    from leakguard.detection.finding import OUTSIDE  # there is a finding now; most workers never have one

    return finding.holder is not None and finding.holder != OUTSIDE
