"""Reproducing one finding: was it met again, and what else is there to say when it was not?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from leakguard.check.judging import Outcome
from leakguard.check.result import Result
from leakguard.detection import words
from leakguard.records import Finding, Kind, Verdict

SHORTEST = 4
"""Characters of a fingerprint that must be given."""


def is_fingerprint(text: str) -> bool:
    """Say whether a text may be a fingerprint or the beginning of one."""
    return len(text) >= SHORTEST and all(character in "0123456789abcdef" for character in text)


def reproduce(result: Result, fingerprint: str, known: Finding | None) -> Result:
    """Return the result as far as it is about one finding.

    Its verdict is ``steady`` when the finding did not come again though enough was measured; others that were found are
    mentioned, with their fingerprints.

    Args:
        result: of the whole check.
        fingerprint: the finding's, or its beginning.
        known: the finding as the journal remembers it, ``None`` when it does not.
    """
    met = [finding for finding in result.findings if finding.fingerprint.startswith(fingerprint)]
    others = [finding for finding in result.fresh if finding not in met]
    notes = [f"{_who(known)} is what the journal remembers under {fingerprint}"] if known is not None else []
    notes += [f"another finding: {_who(other)}, fingerprint {other.fingerprint}" for other in others]
    verdict = None if met else _not_met(result, fingerprint, known)
    outcomes = tuple(_only(outcome, met, verdict) for outcome in result.outcomes)
    return dataclasses.replace(result, outcomes=outcomes, notes=(*notes, *result.notes), sought=fingerprint)


def _only(outcome: Outcome, met: Sequence[Finding], otherwise: Verdict | None) -> Outcome:
    findings = tuple(finding for finding in outcome.findings if finding in met)
    if findings:
        verdict = Verdict(findings[0].kind, tuple(f.reasons[0] for f in findings if f.reasons))
    elif outcome.verdict.kind is Kind.UNKNOWN or otherwise is None:
        verdict = outcome.verdict
    else:
        verdict = otherwise
    return dataclasses.replace(outcome, findings=findings, verdict=verdict)


def _not_met(result: Result, fingerprint: str, known: Finding | None) -> Verdict:
    trips = sum(outcome.calls for outcome in result.outcomes)
    said = f"the finding {fingerprint} did not come again in {words.plural(trips, 'round trip')}"
    asked = [each.name for each in result.asked]
    if known is not None and known.route is not None and known.route not in asked:
        missing = f"its route {known.route} was not requested; name it: --path or --requests"
        return Verdict(Kind.UNKNOWN, (said, missing))
    return Verdict(Kind.STEADY, (said,))


def _who(finding: Finding) -> str:
    what = finding.holder or finding.type or finding.kind.value
    return f"{finding.kind.value} of {what}" + (f" on {finding.route}" if finding.route else "")
