"""What came of a check, free of any object of the app: it crosses from one process to another."""

from __future__ import annotations

from dataclasses import dataclass

from leakguard.check.judging import Outcome
from leakguard.records import Finding, Kind, Verdict


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the list: what it is called, how it was answered, and what went wrong first."""

    name: str
    statuses: dict[int, int]
    cause: str | None = None

    @property
    def always(self) -> int | None:
        """The status that it was answered with every time, ``None`` when they differ or none came."""
        return next(iter(self.statuses)) if len(self.statuses) == 1 else None


@dataclass(frozen=True, slots=True)
class Result:
    """One check's result.

    Args:
        target: ``module:attribute`` as it was found.
        interface: what the app speaks.
        asked: the requests of a round trip.
        outcomes: one; with ``--separate`` one per request.
        blocked: why nothing that was found out counts as clean: requests that were not really answered.
        notes: what the reader should know besides.
        requests: sent in all.
        seconds: the check took.
        sought: the fingerprint that was to be reproduced.
    """

    target: str
    interface: str
    asked: tuple[Asked, ...]
    outcomes: tuple[Outcome, ...]
    blocked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    requests: int = 0
    seconds: float = 0.0
    sought: str | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding, accepted ones too, each fingerprint once."""
        found: dict[tuple[str, str | None], Finding] = {}
        for outcome in self.outcomes:
            for finding in outcome.findings:
                found.setdefault((finding.fingerprint, finding.route), finding)
        return tuple(found.values())

    @property
    def fresh(self) -> tuple[Finding, ...]:
        """The findings that no rule of the user's accepts."""
        return tuple(finding for finding in self.findings if not finding.accepted)

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """Why what was found must not be called all there is: what could not be measured or judged."""
        unknown = [reason for o in self.outcomes if o.verdict.kind is Kind.UNKNOWN for reason in o.verdict.reasons]
        return (*self.blocked, *unknown) or (() if self.outcomes else ("nothing was measured",))

    @property
    def verdict(self) -> Verdict:
        """What it all comes to: a finding before what could not be measured, that before steady."""
        leaking = [outcome.verdict for outcome in self.outcomes if any(not f.accepted for f in outcome.findings)]
        if leaking:
            return Verdict(leaking[0].kind, tuple(reason for verdict in leaking for reason in verdict.reasons))
        if self.unmeasured:
            return Verdict(Kind.UNKNOWN, self.unmeasured)
        reasons = dict.fromkeys(reason for outcome in self.outcomes for reason in outcome.verdict.reasons)
        return Verdict(Kind.STEADY, tuple(reasons))
