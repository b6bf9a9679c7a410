"""The scores as a table: on the screen, and between two marks of a document."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.accuracy.scoring import Score

BEGIN, END = "<!-- check -->", "<!-- end of check -->"

TARGETS = (
    ("found", 0.95, lambda score: score.found if score.leaky else None),
    ("kind right", 0.95, lambda score: score.kind),
    ("type or holder right", 0.90, lambda score: score.holder_or_type),
    ("site right", 0.85, lambda score: score.site),
    ("route right", 0.90, lambda score: score.route),
    ("extension named", 0.0, lambda score: score.owner),
)
"""What is counted, the share that is aimed at, and how to read it off a score (``None``: does not count)."""


def render(scores: Sequence[Score]) -> str:
    """Return the table and the totals in Markdown."""
    rows = [
        "| case | version | Python | found | kind | type or holder | site | route | extension | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows += [_row(score) for score in scores]
    return "\n".join([*rows, "", *_totals(scores)])


def line(score: Score) -> str:
    """Return one run in one line, as it ends."""
    mark = "ok " if score.right else "NOT"
    said = score.failed or score.said
    return f"{mark} {score.case} {score.which} {score.version} on {score.python}: {said} ({_seconds(score)} s)"


def reached(scores: Sequence[Score]) -> bool:
    """Say whether every target is met: the shares of ``TARGETS``, and no false alarm."""
    alarms = any(score.found or score.failed for score in scores if not score.leaky)
    return not alarms and all(_share(scores, read)[0] >= aim for _, aim, read in TARGETS)


def write(text: str, document: Path) -> None:
    """Put the table between its marks in a document that has them.

    Raises:
        ValueError: it has not.
    """
    whole = document.read_text("utf-8")
    before, begun, rest = whole.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError(f"{document.name} has no place for the table: {BEGIN} ... {END}")
    document.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")


def _row(score: Score) -> str:
    words = ("yes", "**no**") if score.leaky else ("**false alarm**", "nothing, rightly")
    found = words[0] if score.found else words[1]
    if score.failed:
        found = f"**failed**: {score.failed[:60]}"
    marks = [_mark(m) for m in (score.kind, score.holder_or_type, score.site, score.route, score.owner)]
    version = f"{score.which} {score.version}"
    return f"| {score.case} | {version} | {score.python} | {found} | {' | '.join(marks)} | {_seconds(score)} |"


def _mark(right: bool | None) -> str:
    return "" if right is None else "yes" if right else "**no**"


def _seconds(score: Score) -> str:
    return "-" if score.seconds is None else f"{score.seconds:.1f}"


def _totals(scores: Sequence[Score]) -> list[str]:
    lines = []
    for name, aim, read in TARGETS:
        share, right, of = _share(scores, read)
        wanted = f" (target {aim:.0%})" if aim else ""
        lines.append(f"- {name}: {right} of {of}, {share:.0%}{wanted}")
    innocent = [score for score in scores if not score.leaky]
    alarms = sum(score.found for score in innocent)
    lines.append(f"- false alarms: {alarms} of {len(innocent)} fixed versions and controls (target 0)")
    lines.append(f"- not measured: {sum(score.failed is not None for score in scores)} of {len(scores)}")
    times = [score.seconds for score in scores if score.seconds is not None]
    if times:
        lines.append(f"- seconds per run: median {statistics.median(times):.1f}, longest {max(times):.1f}")
    return lines


def _share(scores: Sequence[Score], read: Callable[[Score], bool | None]) -> tuple[float, int, int]:
    counted = [right for score in scores if (right := read(score)) is not None]
    return (sum(counted) / len(counted) if counted else 1.0), sum(counted), len(counted)
