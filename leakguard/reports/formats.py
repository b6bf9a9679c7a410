"""The formats a report can be printed in: a new one is a module with a ``render`` and a line here."""

from __future__ import annotations

import importlib
import typing
from collections.abc import Callable
from dataclasses import dataclass

from leakguard.reports.comparison import Comparison
from leakguard.reports.model import Report

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Look:
    """What the place can show that a report is printed to; formats for machines do not care."""

    width: int = WIDTH
    colour: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """One format: its name on the command line, what it is for, how a report is made, and a comparison if it knows one."""

    name: str
    purpose: str
    render: Callable[[Report, Look], str]
    compare: Callable[[Comparison, Look], str] | None = None


def _text(report: Report, look: Look) -> str:
    from leakguard.reports import text

    return text.render(report, width=look.width, colour=look.colour)


def _compared_text(comparison: Comparison, look: Look) -> str:
    from leakguard.reports import compared

    return compared.as_text(comparison, width=look.width, colour=look.colour)


def _compared(function: str) -> Callable[[Comparison, Look], str]:
    """Return a way to print a comparison that looks the same everywhere."""

    def render(comparison: Comparison, look: Look) -> str:  # noqa: ARG001 - every format has the same shape
        made = importlib.import_module("leakguard.reports.compared")
        return typing.cast("str", getattr(made, function)(comparison))

    return render


def _lazily(module: str) -> Callable[[Report, Look], str]:
    """Return the ``render`` of a format that looks the same everywhere; its module is imported when it is used."""

    def render(report: Report, look: Look) -> str:  # noqa: ARG001 - every format has the same shape
        made = importlib.import_module(f"leakguard.reports.{module}")
        return typing.cast("str", made.render(report))

    return render


FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format("text", "for people", _text, _compared_text),
        Format(
            "json",
            "for machines: one object, schema 1 (docs/report.schema.json)",
            _lazily("json_"),
            _compared("as_json"),
        ),
        Format("html", "one self-contained file with charts, for a browser (extra 'html')", _lazily("html")),
        Format(
            "markdown", "for a pull request, a job summary or a ticket", _lazily("markdown"), _compared("as_markdown")
        ),
        Format("github", "GitHub annotations, one line per finding", _lazily("github")),
        Format("sarif", "SARIF 2.1.0, for code scanning", _lazily("sarif")),
        Format("junit", "JUnit XML, one test case per route", _lazily("junit")),
    )
}
"""All formats by name. ``FORMATS[name].render(report, Look())`` is the whole interface: a ``reports.model.Report`` in, the
text out, without a final line break. Reports that come from no journal are made by ``reports.model.of_findings``."""
