"""The results as they are kept, one file a row, and as a table in the documents."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from benchmarks.recycling.measuring import KINDS, Result, as_json
from benchmarks.recycling.rows import ROWS

RESULTS = Path(__file__).parent / "results"
DOCUMENT = Path(__file__).resolve().parents[2] / "docs/recycling.md"
BEGIN = "<!-- benchmarks.recycling: begin -->"
END = "<!-- benchmarks.recycling: end -->"


def keep(result: Result) -> None:
    """Write one row down."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{result.name}.json").write_text(json.dumps(as_json(result), indent=1) + "\n")


def add(result: Result) -> Result:
    """Write one row down together with what was kept of it: a row may take several runs to see enough recycles."""
    path = RESULTS / f"{result.name}.json"
    if path.exists():
        result = together(Result(**json.loads(path.read_text())), result)
    keep(result)
    return result


def together(first: Result, second: Result) -> Result:
    """Return two runs of a row as one: counts are summed, times are the worse of the two."""
    ready = [each for each in (first.least_ready, second.least_ready) if each is not None]
    return dataclasses.replace(
        second,
        recycles=first.recycles + second.recycles,
        requests=first.requests + second.requests,
        lost=dict(Counter(first.lost) + Counter(second.lost)),
        longest_gap=max(first.longest_gap, second.longest_gap),
        median_gap=max(first.median_gap, second.median_gap),
        p99_steady=min(first.p99_steady, second.p99_steady),
        p99_recycle=max(first.p99_recycle, second.p99_recycle),
        extra_steady=min(first.extra_steady, second.extra_steady),
        extra_recycle=max(first.extra_recycle, second.extra_recycle),
        least_ready=min(ready, default=None),
        seconds=first.seconds + second.seconds,
        outage=first.outage or second.outage,
    )


def kept() -> list[Result]:
    """Return the rows that were measured, in the order of the table."""
    found = []
    for row in ROWS:
        path = RESULTS / f"{row.name}.json"
        if path.exists():
            found.append(Result(**json.loads(path.read_text())))
    return found


def table(results: Iterable[Result]) -> str:
    """Return the rows as a Markdown table."""
    heads = [
        "server",
        "workers",
        "replaced by",
        "recycles",
        "requests",
        "lost per recycle (total)",
        "refused / reset reused / reset fresh / cut / timeout",
        "longest gap ms: max (median)",
        "p99 ms: recycle / steady",
    ]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for each in results:
        kinds = " / ".join(str(each.lost.get(kind, 0)) for kind in KINDS)
        other = sum(count for kind, count in each.lost.items() if kind not in KINDS)
        per = each.total_lost / each.recycles if each.recycles else 0.0
        lost = f"{per:.2f} ({each.total_lost})" if each.recycles else f"({each.total_lost})"
        lost = "**server gone**" if each.outage else f"**{lost}**" if each.total_lost == 0 else lost
        lines.append(
            f"| {each.server} | {each.workers} | {each.way} | {each.recycles} | {each.requests} | {lost} | {kinds}"
            f"{f' / other {other}' if other else ''} | {each.longest_gap * 1000:.0f} ({each.median_gap * 1000:.0f}) | "
            f"{each.p99_recycle * 1000:.0f} / {each.p99_steady * 1000:.0f} |"
        )
    return "\n".join(lines)


def notes(results: Iterable[Result]) -> str:
    """Return what has to be said with some rows, one line each."""
    said = dict.fromkeys(
        f"- {each.server}, {_workers(each.workers)}: {_note(each)}." for each in results if _note(each)
    )
    return "\n".join(said)


def _workers(count: int) -> str:
    return f"{count} worker{'' if count == 1 else 's'}"


def _note(each: Result) -> str:
    ready = "" if each.least_ready is None else f"never fewer than {each.least_ready} of {each.workers} ready"
    return ", ".join(part for part in (each.note, ready) if part)


def shown() -> str:
    """Return what stands between the markers."""
    return "\n\n".join(part for part in (table(kept()), notes(kept())) if part)


def write() -> None:
    """Put the table between the markers of the document."""
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{shown()}\n\n{END}{after}")
