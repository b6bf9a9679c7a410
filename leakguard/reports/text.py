"""The report for people: what an engineer reads at three in the morning, most important first."""

from __future__ import annotations

from leakguard.records import Finding, Hypothesis, Kind
from leakguard.reports import about, advice, sections, tree
from leakguard.reports.escape import safe
from leakguard.reports.model import Report
from leakguard.reports.sections import Section
from leakguard.reports.sentence import describe
from leakguard.reports.style import Style, clip, table, wrap

INDENT = "   "
FIGURES = 60  # characters that the figures of a table take; what is left is for its names

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
    parts += [lay_out(section, style, width) for section in sections.before_doctor(report)]
    if report.doctor:
        parts.append([style.paint("Doctor", "bold"), *doctor(report.doctor, style, width)])
    parts += [lay_out(section, style, width) for section in sections.after_doctor(report)]
    parts.append(lay_out(Section("Next", said=tuple(advice.next_steps(report))), style, width))
    return "\n\n".join("\n".join(part) for part in parts if part)


def lay_out(section: Section, style: Style, width: int) -> list[str]:
    """Return a section as lines: its title, its table, its sentences, its items; nothing for an empty one."""
    if not section:
        return []
    names = max(width - FIGURES, 20)
    rows = [(clip(first, names), *rest) for first, *rest in section.rows]
    lines = [style.paint(section.title, "bold"), *table(rows, left=section.left)]
    for sentence in section.said:
        lines += wrap(sentence, width, "  ")
    for item in section.items:
        lines += wrap(item, width, "  - ")
    return [*lines, *([f"  {section.more}"] if section.more else [])]


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
    seen = about.extent(report)
    lines = [style.paint(about.title(report), "bold"), *(wrap(seen, width) if seen else [])]
    if report.story.path:
        lines.append(style.paint(f"journal {safe(report.story.path)}", "dim"))
    return lines


def _verdict(report: Report, style: Style, width: int) -> list[str]:
    kind = report.verdict.kind
    painted = style.paint(f"Verdict: {kind.value}", "bold", _COLOURS.get(kind, "red"))
    lines = [painted + about.verdict(report).removeprefix(kind.value)]
    if not report.fresh:
        for reason in report.verdict.reasons:
            lines += wrap(safe(reason), width, "  - ")
    return lines


def _finding(number: int, finding: Finding, report: Report, style: Style, width: int) -> list[str]:
    first, *rest = wrap(describe(finding, report.alike(finding)), width, f"{number}. ".ljust(len(INDENT)))
    lines = [style.paint(first, "bold"), *(style.paint(line, "bold") for line in rest)]
    lines += wrap("; ".join(about.marks(finding, report)), width, INDENT)
    if finding.known:
        lines += wrap(f"known leak: {safe(finding.known)}", width, INDENT)
    if held := about.held(finding):
        lines += wrap(held, width, INDENT)
    drawn = tree.draw(finding)
    if drawn:
        lines += ["", *(f"{INDENT}  {line}" for line in drawn), ""]
    for title, sentences in (("Why", map(safe, about.reasons(finding))), ("Next", advice.advise(finding))):
        told = [line for sentence in sentences for line in wrap(sentence, width, f"{INDENT}  - ")]
        lines += [f"{INDENT}{title}", *told] if told else []
    return lines
