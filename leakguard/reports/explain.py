"""Everything about one finding: chain, source lines, rate over time, errors, advice, and a test that reproduces it."""

from __future__ import annotations

import datetime
import linecache
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from leakguard.records import Finding, Kind, Site
from leakguard.reports import about, advice, places, reproduction, tree, words
from leakguard.reports.escape import safe
from leakguard.reports.levels import Levels
from leakguard.reports.model import Report
from leakguard.reports.sentence import OUTSIDE, describe
from leakguard.reports.style import Style, sparkline, wrap
from leakguard.units import format_duration, format_size

AROUND = 3  # source lines shown before and after the one that is meant
MAX_OTHERS = 5
_HELD = frozenset({Kind.LEAK, Kind.RETAINED_REQUESTS})


@dataclass(frozen=True, slots=True)
class Subject:
    """What is explained: one finding out of a report, and how it grew.

    ``roots`` are folders in which the source may lie besides the working directory and the import path. ``journal`` is the
    path that a command must name, ``None`` for the usual one.
    """

    finding: Finding
    report: Report
    levels: Levels | None
    roots: tuple[Path, ...] = ()
    journal: str | None = None


def render(subject: Subject, width: int = 100, colour: bool = False) -> str:
    """Return the explanation as text, without a final line break."""
    style = Style(colour)
    finding, report = subject.finding, subject.report
    head = [style.paint(line, "bold") for line in wrap(describe(finding, report.alike(finding)), width)]
    head += wrap("; ".join(about.marks(finding, report)), width)
    head += wrap(f"known: {safe(finding.known)}", width) if finding.known else []
    head += wrap(held, width) if (held := about.held(finding)) else []
    parts: list[tuple[str, Iterable[str]]] = [
        ("Who holds it", _chain(finding, width)),
        *_source(subject, width),
        ("Rate over time", _rate(subject.levels, width)),
        ("Errors", _errors(subject, width)),
        ("Why", _listed(map(safe, finding.reasons), width)),
        ("What to do", _listed(advice.in_detail(finding), width)),
        ("Reproduce it", _reproduction(subject, width)),
    ]
    made = [
        [style.paint(title, "bold"), *lines] for title, lines in ((title, list(body)) for title, body in parts) if lines
    ]
    return "\n\n".join("\n".join(part) for part in [head, *made])


def _listed(items: Iterable[str], width: int) -> list[str]:
    return [line for item in items for line in wrap(item, width, "  - ")]


def _chain(finding: Finding, width: int) -> list[str]:
    """Return the chain with each edge named beside it."""
    drawn = tree.draw(finding)
    if not drawn:
        if finding.holder == OUTSIDE:
            return ["  nothing in Python refers to it: a C extension holds it, or lost it"]
        if finding.holder is not None:
            return wrap(f"{safe(finding.holder)}; the way from a root to it was not found", width, "  ")
        return ["  not found out: no look explained it yet"] if finding.kind in _HELD else []
    named = iter(tree.edges(finding))
    column = max(len(line) for line in drawn) + 3
    lines: list[str] = []
    for line in drawn:
        note = "the suspect: everything below it is what it keeps" if tree.is_underline(line) else next(named)
        if column + len(note) + 2 <= width:
            lines.append(f"  {line.ljust(column)}{note}")
        else:
            lines += [f"  {line}", f"  {'│' if not line.startswith('╰') else ' '}      {note}"]
    return lines


def _source(subject: Subject, width: int) -> list[tuple[str, list[str]]]:
    """Return the source lines: where it was allocated (or waits), and where the joined error was raised."""
    finding = subject.finding
    made = []
    if finding.site is not None:
        verb = "Waiting" if finding.kind is Kind.TASKS else "Allocated"
        made.append((f"{verb} at {_place(finding.site)}", _lines(finding.site, subject, width)))
    failure = subject.report.failure_of(finding)
    if failure is not None and failure.site is not None:
        made.append((f"{safe(failure.type)} raised at {_place(failure.site)}", _lines(failure.site, subject, width)))
    return made


def _place(site: Site) -> str:
    return f"{safe(str(site))} in {safe(site.function)}"


def _lines(site: Site, subject: Subject, width: int) -> list[str]:
    path = places.find(site, subject.roots)
    if path is None:
        return wrap(
            f"{safe(site.file)} is not on this machine, or not below this directory: run this where the code lies, or "
            "name the folder: --source DIR",
            width,
            "  ",
        )
    text = linecache.getlines(str(path))
    if not 0 < site.line <= len(text):
        return wrap(
            f"{safe(str(path))} has no line {site.line} any more: it changed since it was measured", width, "  "
        )
    first, last = max(site.line - AROUND, 1), min(site.line + AROUND, len(text))
    digits = len(str(last))
    lines = []
    for number in range(first, last + 1):
        mark = ">" if number == site.line else " "
        lines.append(f"  {mark} {number:>{digits}} | {safe(text[number - 1].rstrip().expandtabs(4))}".rstrip())
    changed = _changed(path, site, subject.report)
    return [*lines, *(wrap(changed, width, "  ") if changed else [])]


def _changed(path: Path, site: Site, report: Report) -> str | None:
    """Say that a file is not, or may not be, what was measured: its lines may have moved."""
    if not places.fits(path, site):
        return f"(line {site.line} of {path.name} is not in {safe(site.function)} any more: it changed since it was measured)"
    try:
        written = path.stat().st_mtime
    except OSError:
        return None
    if report.ended is None or written <= report.ended:
        return None
    when = datetime.datetime.fromtimestamp(written, tz=datetime.UTC)
    return f"({path.name} was changed at {when:%Y-%m-%d %H:%M} UTC, after this was measured: lines may have moved)"


def _rate(seen: Levels | None, width: int) -> list[str]:
    if seen is None:
        return ["  too few windows for it"]
    values = seen.values
    shown = (
        (format_size if seen.in_bytes else words.count)(values[0]),
        (format_size if seen.in_bytes else words.count)(values[-1]),
    )
    span = format_duration(seen.points[-1][0] - seen.points[0][0])
    lines = [
        f"  {sparkline(values)}",
        *wrap(f"{seen.name} in worker {seen.pid}: {shown[0]} to {shown[1]} in {span}", width, "  "),
    ]
    if seen.rates:
        rates = ", ".join(f"{format_size(rate) if seen.in_bytes else _figure(rate)}" for rate in seen.rates)
        lines += wrap(f"per {safe(seen.per)}, in each third of the time: {rates}", width, "  ")
    return lines


def _figure(rate: float) -> str:
    return f"{rate:.2f}" if abs(rate) >= 0.1 else f"{rate:.2g}"


def _errors(subject: Subject, width: int) -> list[str]:
    """Return the unhandled errors that belong to it: the one that its requests ended in, and others of its route."""
    finding, failures = subject.finding, subject.report.story.failures
    mine = [failure for failure in failures if str(failure) == finding.error]
    others = [failure for failure in failures if failure not in mine and failure.route == finding.route]
    said = []
    for failure in [*mine, *others[:MAX_OTHERS]]:
        kept = f"; {words.count(failure.retained)} of these requests are in memory" if failure.retained else ""
        said.append(
            f"{safe(str(failure))}, raised {words.plural(failure.count, 'time')} on {safe(failure.route)}{kept}"
        )
    return _listed(said, width)


def _reproduction(subject: Subject, width: int) -> Sequence[str]:
    finding, target = subject.finding, subject.report.target
    lines = [f"  {safe(reproduction.command(finding, target, subject.journal))}"]
    if finding.error is not None:
        lines += wrap(f"(--requests FILE sends bodies: those that end in {safe(finding.error)})", width, "  ")
    lines += ["  or as a test, with the pytest plugin that comes with leakguard:", ""]
    return [*lines, *(f"    {safe(line)}".rstrip() for line in reproduction.test(finding, target))]
