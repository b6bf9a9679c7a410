"""A check's result in the words and formats of the reports."""

from __future__ import annotations

import json

from leakguard.check.result import Result
from leakguard.detection import rate_law, words
from leakguard.records import Json
from leakguard.reports.escape import safe
from leakguard.reports.formats import FORMATS, Look
from leakguard.reports.json_ import as_dict
from leakguard.reports.model import Report, of_findings
from leakguard.reports.style import Style, wrap
from leakguard.units import format_duration


def render(result: Result, form: str, look: Look) -> str:
    """Return the result in one of ``reports.formats.FORMATS``, without a final line break."""
    report = as_report(result)
    if form == "json":
        return json.dumps({**as_dict(report), "check": about(result)}, indent=2)
    told = FORMATS[form].render(report, look)
    return f"{told}\n\n{_measured(result, look)}" if form == "text" else told


def as_report(result: Result) -> Report:
    """Return the result as a report without a journal."""
    return of_findings(result.findings, result.verdict, target=result.target, requests=result.requests)


def about(result: Result) -> dict[str, Json]:
    """Return what only a check knows, for the key ``check`` of the JSON."""
    return {
        "interface": result.interface,
        "seconds": round(result.seconds, 1),
        "loops": [outcome.n for outcome in result.outcomes],
        "round_trips": [outcome.calls for outcome in result.outcomes],
        "requests": [
            {
                "name": each.name,
                "statuses": {str(status): count for status, count in each.statuses.items()},
                "cause": each.cause,
            }
            for each in result.asked
        ],
        "notes": list(result.notes),
        "why": [outcome.why for outcome in result.outcomes],
        "finding": None
        if result.sought is None
        else {"fingerprint": result.sought, "reproduced": bool(result.findings)},
    }


def _measured(result: Result, look: Look) -> str:
    style = Style(look.colour)
    lines = [style.paint("Measured", "bold")]
    for outcome in result.outcomes:
        who = ", ".join(outcome.names[:4]) + (f" and {len(outcome.names) - 4} more" if len(outcome.names) > 4 else "")
        said = f"{safe(who)}: {words.plural(outcome.calls, 'round trip')}; {rate_law.contract(outcome.n)}"
        lines += wrap(said, look.width, "  - ")
    whys = dict.fromkeys(outcome.why for outcome in result.outcomes if outcome.why)
    lines += [line for why in whys for line in wrap(f"not all could be looked at: {safe(why)}", look.width, "  - ")]
    lines += [line for note in result.notes for line in wrap(safe(note), look.width, "  - ")]
    sent = words.plural(result.requests, "request")
    lines.append(f"  {sent} in {format_duration(result.seconds)}, {result.interface}, in one process")
    return "\n".join(lines)
