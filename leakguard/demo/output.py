"""What the demo prints at the end: the report of the guarded server's journal, and the story's table."""

from __future__ import annotations

import json

from leakguard.demo.run import ROOM, Result
from leakguard.demo.schedule import PEAK_RATE, RATE
from leakguard.reports import json_
from leakguard.reports.formats import FORMATS, Look
from leakguard.reports.model import build
from leakguard.units import format_size


def as_text(result: Result, look: Look) -> str:
    """Return the report for people, then the table of both sides."""
    comparison = result.comparison
    setting = (
        f"The same load without leakguard and with it, measured in this run: {comparison.seconds} s each, {RATE} requests\n"
        f"a second with peaks of {PEAK_RATE}. The ceiling of {format_size(comparison.ceiling)} is a fresh worker and "
        f"{format_size(ROOM)}; without leakguard a\n"
        "worker above it was killed, as PM2's max_memory_restart does. Times count from when a request was meant to go out."
    )
    report = FORMATS["text"].render(build(result.story), look).rstrip("\n")
    return f"{report}\n\n{setting}\n\n{comparison.as_text()}"


def as_json(result: Result) -> str:
    """Return the report for machines (schema 1) with one more key, ``demo``: the figures of both sides."""
    return json.dumps({**json_.as_dict(build(result.story)), "demo": result.comparison.as_dict()}, indent=2)
