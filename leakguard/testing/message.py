"""The text of a failed leak test: one sentence, then the chain, what was measured, what n means, how to forgive it."""

from __future__ import annotations

from collections.abc import Sequence

from leakguard.detection import rate_law, words
from leakguard.detection.finding import OUTSIDE
from leakguard.records import Finding, Kind
from leakguard.testing.measuring import QUANTITIES, Measurement, Quantity
from leakguard.units import format_size

MOST_FINDINGS = 3
"""Findings told in full; of more only the number is said."""

_NOUN = {
    Kind.THREADS: "threads that never end",
    Kind.TASKS: "asyncio tasks that never end",
    Kind.DESCRIPTORS: "open descriptors",
}
_MADE = {"temporary file": "made"}


def tell(
    measurement: Measurement,
    findings: Sequence[Finding],
    why: str | None = None,
    forgive: str = "assert_no_leaks(..., ignore=[{}])",
) -> str:
    """Return the message for the findings of one check, the gravest first.

    Args:
        measurement: what was measured.
        findings: what is not forgiven; at least one.
        why: what stood in the way of looking for the holder, if something did.
        forgive: where rules go; ``{}`` stands for them.
    """
    shown, more = findings[:MOST_FINDINGS], len(findings) - MOST_FINDINGS
    parts = [_story(finding, why) for finding in shown]
    if more > 0:
        parts.append(f"...and {words.plural(more, 'finding')} more")
    if measurement.leaks:
        parts.append(_measured(measurement))
    if measurement.n:
        parts.append(f"{rate_law.contract(measurement.n)}; {words.plural(measurement.calls, 'call')} were made")
    return "\n\n".join(parts + ending(shown, forgive))


def ending(findings: Sequence[Finding], forgive: str) -> list[str]:
    """Return the last part of a message, how to forgive the findings by name; nothing when they have no names."""
    rules = ", ".join(f'"{rule}"' for finding in findings if (rule := _rule(finding)) is not None)
    return [f"if it is meant to stay, forgive it by name: {forgive.format(rules)}"] if rules else []


def sentence(finding: Finding) -> str:
    """Return a finding in one sentence: what leaks, how much per call, held by whom, allocated where."""
    said = [f"{finding.kind}: {_what(finding)} per call"]
    if finding.holder == OUTSIDE and finding.kind is not Kind.NATIVE:
        said.append("held outside Python")
    elif finding.holder is not None and finding.holder != OUTSIDE:
        said.append(f"held by {finding.holder}")
    if finding.site is not None:
        verb = "waiting" if finding.kind in {Kind.TASKS, Kind.THREADS} else _MADE.get(finding.type or "", "allocated")
        said.append(f"{verb} at {finding.site} in {finding.site.function}")
    if finding.kind is not Kind.NATIVE and finding.bytes_per_request and finding.per_request:
        said.append(f"{format_size(finding.bytes_per_request / finding.per_request)} each")
    return ", ".join(said)


def _what(finding: Finding) -> str:
    if finding.kind is Kind.NATIVE:
        return f"{format_size(finding.bytes_per_request or 0)} of C heap, outside Python,"
    noun = _NOUN.get(finding.kind) or finding.type or ("entries" if finding.holder else "allocated blocks")
    return f"{words.rate(finding.per_request or 0).lstrip('+')} {noun}"


def _story(finding: Finding, why: str | None) -> str:
    lines = [sentence(finding)]
    if finding.chain:
        lines += [f"  {'  ' * depth}{'└ ' if depth else ''}{edge}" for depth, edge in enumerate(finding.chain)]
    elif finding.holder is None and finding.kind is Kind.LEAK:
        lines.append("  holder not found")
    if why is not None and (finding.site is None or not finding.chain):
        lines.append(f"  not all could be looked at: {why}")
    if finding.also_types:
        lines.append(f"  with it: {', '.join(finding.also_types)}")
    lines += [f"  {reason}" for reason in finding.reasons if reason != f"held by {finding.holder}"]
    lines.append(f"  fingerprint {finding.fingerprint}")
    return "\n".join(lines)


def _measured(measurement: Measurement) -> str:
    lines = ["measured growth:"]
    for quantity in QUANTITIES:
        if quantity.name not in measurement.leaks:
            continue
        attempt = measurement.attempts[quantity.name]
        rounds = " ".join(f"{grown:+}" for grown in attempt.growth)
        lines.append(
            f"  {quantity.unit}: {rounds} in {len(attempt.growth)} rounds of {words.count(attempt.calls)} calls, "
            f"{attempt.first:+} in {words.count(rate_law.FIRST * attempt.calls)}, "
            f"{attempt.second:+} in {words.count(rate_law.SECOND * attempt.calls)}: {_per_call(quantity, attempt.per_call)}"
        )
    return "\n".join(lines)


def _per_call(quantity: Quantity, rate: float) -> str:
    return f"{words.size_rate(rate)} per call" if quantity.name == "heap" else f"{words.rate(rate)} per call"


def _rule(finding: Finding) -> str | None:
    if finding.holder is not None and "." in finding.holder:
        return f"holder:{finding.holder}"
    if finding.type is not None:
        return f"type:{finding.type}"
    return f"site:{finding.site.file}" if finding.site is not None else None
