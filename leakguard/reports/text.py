"""The report for people: what an engineer reads at three in the morning, most important first."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from leakguard.records import Finding, Hypothesis, Kind
from leakguard.reports import advice, sections, tree
from leakguard.reports.escape import safe
from leakguard.reports.model import Report
from leakguard.reports.sentence import describe
from leakguard.reports.style import Style, wrap
from leakguard.units import format_duration, format_size

MAX_REASONS = 8
INDENT = "   "

_COLOURS = {Kind.STEADY: "green", Kind.UNKNOWN: "yellow"}
_ANSWERS = {True: "yes", False: "no", None: "?"}


def render(report: Report, width: int = 100, colour: bool = False) -> str:
    """Return the report as text, without a final line break.

    Args:
        report: from ``model.build``.
        width: characters in a line, at least 40.
        colour: with terminal colours.
    """
    style = Style(colour)
    parts: list[list[str]] = [_head(report, style, width), _verdict(report, style, width)]
    parts += [_finding(number, each, report, style, width) for number, each in enumerate(report.fresh, 1)]
    bodies: list[tuple[str, Callable[[Report, int], list[str]]]] = [
        ("Accepted", sections.accepted),
        ("Memory", sections.memory),
        ("Recycles", sections.recycles),
        ("Response times", sections.response_times),
        ("Unhandled errors", sections.failures),
        ("Stuck", sections.stuck),
    ]
    parts += [[style.paint(title, "bold"), *lines] for title, body in bodies if (lines := body(report, width))]
    parts.append([style.paint("Doctor", "bold"), *doctor(report.doctor, style, width)])
    parts += [
        [style.paint(title, "bold"), *lines]
        for title, lines in (
            ("Notes", sections.notes(report, width)),
            ("Cost of leakguard", sections.cost(report)),
            ("Next", [line for step in advice.next_steps(report) for line in wrap(step, width, "  ")]),
        )
        if lines
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def doctor(hypotheses: tuple[Hypothesis, ...], style: Style, width: int) -> list[str]:
    """Return the doctor's hypotheses: the answer, the hypothesis, its evidence."""
    lines: list[str] = []
    for hypothesis in hypotheses:
        answer = _ANSWERS[hypothesis.holds]
        look = {True: ("red",), False: ("green",), None: ("yellow",)}[hypothesis.holds]
        lines.append(f"  {style.paint(answer.ljust(4), *look)} {safe(hypothesis.hypothesis)}")
        for evidence in hypothesis.evidence:
            lines += wrap(safe(evidence), width, " " * 7 + "- ")
    return lines


def _head(report: Report, style: Style, width: int) -> list[str]:
    where = safe(report.target or "app")
    server = f" on {safe(report.server)}" if report.server and report.server != "unknown" else ""
    python = f", Python {safe(report.python)}" if report.python else ""
    lines = [style.paint(f"leakguard {report.version}: {where}{server}{python}", "bold")]
    if report.began is not None and report.ended is not None:
        span = format_duration(report.ended - report.began)
        seen = [
            _plural(report.requests, "request"),
            _plural(len(report.story.workers), "worker"),
            _plural(len(report.story.recycles), "recycle"),
            _plural(report.story.windows, "window"),
        ]
        until = _clock(report.ended)
        if until.partition(" ")[0] == _clock(report.began).partition(" ")[0]:
            until = until.partition(" ")[2]
        lines += wrap(f"{_clock(report.began)} to {until} UTC ({span}): {', '.join(seen)}", width)
    lines.append(style.paint(f"journal {safe(report.story.path)}", "dim"))
    return lines


def _verdict(report: Report, style: Style, width: int) -> list[str]:
    kind = report.verdict.kind
    count = _plural(len(report.fresh), "finding")
    fresh = sum(finding.new for finding in report.fresh)
    title = f"Verdict: {kind.value}"
    said = f" ({count}, {fresh} new)" if report.fresh else ""
    lines = [style.paint(title, "bold", _COLOURS.get(kind, "red")) + said]
    if not report.fresh:
        for reason in report.verdict.reasons:
            lines += wrap(safe(reason), width, "  - ")
    return lines


def _finding(number: int, finding: Finding, report: Report, style: Style, width: int) -> list[str]:
    first, *rest = wrap(describe(finding, report.alike(finding)), width, f"{number}. ".ljust(len(INDENT)))
    lines = [style.paint(first, "bold"), *(style.paint(line, "bold") for line in rest)]
    lines += wrap("; ".join(_marks(finding, report)), width, INDENT)
    if finding.known:
        lines += wrap(f"known leak: {safe(finding.known)}", width, INDENT)
    held = _held(finding)
    if held:
        lines += wrap(held, width, INDENT)
    drawn = tree.draw(finding)
    if drawn:
        lines += ["", *(f"{INDENT}  {line}" for line in drawn), ""]
    reasons = list(finding.reasons)
    if reasons:
        lines.append(f"{INDENT}Why")
        for reason in reasons[:MAX_REASONS]:
            lines += wrap(safe(reason), width, f"{INDENT}  - ")
        if len(reasons) > MAX_REASONS:
            lines.append(f"{INDENT}  - and {len(reasons) - MAX_REASONS} more reasons (--format json)")
    steps = advice.advise(finding)
    if steps:
        lines.append(f"{INDENT}Next")
        for step in steps:
            lines += wrap(step, width, f"{INDENT}  - ")
    return lines


def _marks(finding: Finding, report: Report) -> list[str]:
    key = finding.fingerprint
    marks = [finding.status.value, "new" if finding.new else "seen before"]
    seen = report.story.first_seen.get(key)
    if seen is not None:
        marks.append(f"first seen {_clock(seen)} UTC")
    workers = report.story.found_by.get(key)
    if workers is not None:
        marks.append(f"in {_plural(workers, 'worker')}")
    return [*marks, f"fingerprint {safe(key)}"]


def _held(finding: Finding) -> str:
    said = []
    if finding.count is not None:
        said.append(f"{finding.count:,} alive in one worker".replace(",", " "))
    if finding.retained_bytes is not None:
        method = f" (estimate: {safe(finding.size_method)})" if finding.size_method else " (estimate)"
        said.append(f"{format_size(finding.retained_bytes)} held{method}")
    if finding.also_types:
        said.append(f"with {', '.join(safe(name) for name in finding.also_types[:5])}")
    return "; ".join(said)


def _clock(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}".replace(",", " ")
