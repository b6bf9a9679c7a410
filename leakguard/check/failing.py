"""When a check fails the build: which findings count, and the exit code."""

from __future__ import annotations

from collections.abc import Iterable

from leakguard.check.result import Result
from leakguard.errors import ConfigError
from leakguard.records import Finding, Kind, Status
from leakguard.reports.model import CLEAN, FINDINGS, NOT_MEASURED

ANY, CONFIRMED, UNKNOWN_LEAKS, NEVER = "any", "confirmed", "new", "never"
KINDS = tuple(kind.value for kind in Kind if kind not in {Kind.STEADY, Kind.UNKNOWN})
WORDS = (ANY, CONFIRMED, UNKNOWN_LEAKS, NEVER, *KINDS)


def parse(texts: Iterable[str]) -> frozenset[str]:
    """Return the words of ``--fail-on``: given several times, or with commas.

    Raises:
        ConfigError: one is none.
    """
    given = [word.strip().lower() for text in texts for word in text.split(",") if word.strip()]
    for word in given:
        if word not in WORDS:
            raise ConfigError("--fail-on", f"must be of {', '.join(WORDS)}", word, "for example --fail-on leak,native")
    if NEVER in given and len(set(given)) > 1:
        raise ConfigError("--fail-on", "must not have 'never' beside other words", ",".join(given), "leave one")
    return frozenset(given or [ANY])


def exit_code(result: Result, words: frozenset[str]) -> int:
    """Return 1 when a finding counts, else 3 when something was not measured, else 0."""
    if any(counts(finding, words) for finding in result.fresh):
        return FINDINGS
    return NOT_MEASURED if result.unmeasured else CLEAN


def counts(finding: Finding, words: frozenset[str]) -> bool:
    """Say whether a finding fails the build.

    ``any`` is every one that no rule accepts, ``confirmed`` one that was seen twice, ``new`` one that is no known leak of a
    package; beside kinds, ``confirmed`` and ``new`` narrow them.
    """
    if NEVER in words:
        return False
    kinds = words & set(KINDS)
    if (kinds and finding.kind.value not in kinds) or (CONFIRMED in words and finding.status is not Status.CONFIRMED):
        return False
    return not (UNKNOWN_LEAKS in words and finding.known is not None)
