"""A comparison as text, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

from leakguard.records import SCHEMA, Finding, Json
from leakguard.reports import about, json_, markdown
from leakguard.reports.comparison import Comparison, Side
from leakguard.reports.escape import safe
from leakguard.reports.model import RouteTimes
from leakguard.reports.sections import MAX_ROUTES, Section
from leakguard.reports.sentence import Quote, describe
from leakguard.reports.style import Style, wrap
from leakguard.reports.text import lay_out
from leakguard.reports.words import UNKNOWN, count, milliseconds, percent, plural, size

Figure = tuple[str, Callable[[Side], float | None], Callable[[float | None], str]]


def _rate(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1f}" if value < 100 else count(value)


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else count(value)


FIGURES: tuple[Figure, ...] = (
    ("max", lambda side: side.report.overall.longest, milliseconds),
    ("99 %", lambda side: side.report.overall.p99, milliseconds),
    ("95 %", lambda side: side.report.overall.p95, milliseconds),
    ("50 %", lambda side: side.report.overall.p50, milliseconds),
    ("requests", lambda side: side.report.requests, _number),
    ("requests per second", lambda side: side.per_second, _rate),
    ("errors", lambda side: side.report.overall.errors, _number),
    ("recycles", lambda side: len(side.report.story.recycles), _number),
    ("requests lost", lambda side: side.lost, _number),
    ("fresh worker", lambda side: side.fresh, size),
    ("typical worker", lambda side: side.typical, size),
    ("largest worker", lambda side: side.largest, size),
)
"""The story's table: what it is called, where it comes from, how it is written."""


def as_text(comparison: Comparison, width: int = 100, colour: bool = False) -> str:
    """Return the comparison for people, without a final line break."""
    style = Style(colour)
    parts = [_head(comparison, style, width), _verdict(comparison, style)]
    parts += [lay_out(section, style, width) for section in _sections(comparison, safe)]
    return "\n\n".join("\n".join(part) for part in parts if part)


def as_markdown(comparison: Comparison) -> str:
    """Return the comparison as a Markdown document, without a final line break."""
    blocks = [f"# {about.title(comparison.after.report, markdown.code)}"]
    blocks.append(
        markdown.bullets(
            f"{which}: {markdown.code(side.name)}, {about.extent(side.report) or 'no window'}"
            for which, side in (("before", comparison.before), ("after", comparison.after))
        )
    )
    blocks.append(f"## {_findings(comparison)}")
    for section in _sections(comparison, markdown.code):
        blocks += markdown.lay_out(section)
    return "\n\n".join(block for block in blocks if block)


def as_json(comparison: Comparison) -> str:
    """Return the comparison as one JSON object in ASCII (``docs/comparison.schema.json``)."""
    return json.dumps(as_dict(comparison), indent=2)


def as_dict(comparison: Comparison) -> dict[str, Json]:
    """Return the comparison as plain JSON types; each finding as in the report of schema 1."""
    return {
        "schema": SCHEMA,
        "tool": {"name": "leakguard", "version": comparison.after.report.version},
        "before": _side(comparison.before),
        "after": _side(comparison.after),
        "new": [json_.finding(each, comparison.after.report) for each in comparison.new],
        "still_there": [json_.finding(each, comparison.after.report) for each in comparison.still_there],
        "gone": [json_.finding(each, comparison.before.report) for each in comparison.gone],
        "gone_for_sure": comparison.sure,
    }


def _side(side: Side) -> Json:
    report = side.report
    return {
        "name": side.name,
        "began": None if report.began is None else json_.moment(report.began),
        "ended": None if report.ended is None else json_.moment(report.ended),
        "seconds": round(side.seconds, 3),
        "verdict": report.verdict.kind.value,
        "reasons": list(report.verdict.reasons),
        "requests": report.requests,
        "requests_per_second": None if side.per_second is None else round(side.per_second, 3),
        "latency": json_.times(report.overall),
        "routes": [json_.times(times) for times in report.routes],
        "errors": report.overall.errors,
        "recycles": len(report.story.recycles),
        "lost": side.lost,
        "workers": len(report.story.workers),
        "rss_fresh": side.fresh,
        "rss_typical": side.typical,
        "rss_largest": side.largest,
    }


def _head(comparison: Comparison, style: Style, width: int) -> list[str]:
    lines = [style.paint(about.title(comparison.after.report), "bold")]
    for which, side in (("before", comparison.before), ("after", comparison.after)):
        told = f"{safe(side.name)}, {about.extent(side.report) or 'no window'}"
        lines += wrap(told, width, f"{which + ':':<8}")
    return lines


def _verdict(comparison: Comparison, style: Style) -> list[str]:
    worse = bool(comparison.new or comparison.still_there)
    return [style.paint(_findings(comparison), "bold", "red" if worse else "green" if comparison.sure else "yellow")]


def _findings(comparison: Comparison) -> str:
    new, still, gone = (len(each) for each in (comparison.new, comparison.still_there, comparison.gone))
    if not new + still + gone:
        return (
            "Findings: none before, none after" if comparison.sure else "Findings: too little was measured afterwards"
        )
    return f"Findings: {new} new, {still} still there, {gone} {'gone' if comparison.sure else 'not seen again yet'}"


def _sections(comparison: Comparison, quote: Quote) -> list[Section]:
    title = "Gone" if comparison.sure else "Not seen again yet: too little was measured afterwards"
    after, before = comparison.after.report, comparison.before.report
    made = [
        Section("New", items=tuple(_said(each, quote, after.alike(each)) for each in comparison.new)),
        Section("Still there", items=tuple(_said(each, quote, after.alike(each)) for each in comparison.still_there)),
        Section(
            title,
            items=tuple(
                _said(each, quote, before.alike(each))
                + (" Its route had no request afterwards." if comparison.unused(each) else "")
                for each in comparison.gone
            ),
        ),
        Section("Before and after", (("", "before", "after", "change"), *(_row(comparison, each) for each in FIGURES))),
        _routes(comparison, quote),
    ]
    return [section for section in made if section]


def _said(finding: Finding, quote: Quote, alike: bool) -> str:
    return f"{describe(finding, alike, quote)} ({finding.status.value}, fingerprint {quote(finding.fingerprint)})"


def _row(comparison: Comparison, figure: Figure) -> tuple[str, str, str, str]:
    name, of, written = figure
    before, after = of(comparison.before), of(comparison.after)
    if name == "errors":
        shown = tuple(_errors(side) for side in (comparison.before, comparison.after))
        return name, shown[0], shown[1], _change(before, after)
    return name, written(before), written(after), _change(before, after)


def _errors(side: Side) -> str:
    requests, errors = side.report.requests, side.report.overall.errors
    return f"{count(errors)} ({percent(errors / requests)})" if requests and errors else count(errors)


def _change(before: float | None, after: float | None) -> str:
    if before is None or after is None or (not before and after):
        return ""
    return f"{(after / before - 1) * 100:+.0f} %" if before else UNKNOWN


def _routes(comparison: Comparison, quote: Quote) -> Section:
    pairs = comparison.routes
    rows: list[tuple[str, ...]] = [("", "requests", "after", "95 %", "after", "50 %", "after")]
    for before, after in pairs[:MAX_ROUTES]:
        route = next(times.route for times in (before, after) if times is not None)
        rows.append((quote(route or ""), *_both(before, after)))
    more = len(pairs) - MAX_ROUTES
    left_out = f"and {plural(more, 'more route')} (--format json)" if more > 0 else ""
    return Section("Response times by route", tuple(rows) if pairs else (), more=left_out)


def _both(before: RouteTimes | None, after: RouteTimes | None) -> tuple[str, ...]:
    counts = tuple("0" if times is None else count(times.count) for times in (before, after))
    slow = tuple(milliseconds(None if times is None else times.p95) for times in (before, after))
    middle = tuple(milliseconds(None if times is None else times.p50) for times in (before, after))
    return (*counts, *slow, *middle)
