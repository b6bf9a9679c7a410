"""The formats a report can be printed in: a new one is a module with a ``render`` and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from leakguard.reports.model import Report

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Look:
    """What the place can show that a report is printed to; formats for machines do not care."""

    width: int = WIDTH
    colour: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """One format: its name on the command line, what it is for, and how it is made."""

    name: str
    purpose: str
    render: Callable[[Report, Look], str]


def _text(report: Report, look: Look) -> str:
    from leakguard.reports import text

    return text.render(report, width=look.width, colour=look.colour)


def _json(report: Report, look: Look) -> str:  # noqa: ARG001 - every format has the same shape
    from leakguard.reports import json_

    return json_.render(report)


FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format("text", "for people", _text),
        Format("json", "for machines: one object, schema 1 (docs/report.schema.json)", _json),
    )
}
