"""The report as one HTML file, and the same document for the page: text first, charts by uPlot, nothing from the network.

Names that come from clients or from code are escaped twice over: control and bidirectional characters become visible, and
Jinja escapes the rest. The file carries a content security policy that allows its own two scripts and styles, by hash,
and no request to anywhere.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import time
import typing
from pathlib import Path

from leakguard.errors import MissingExtraError
from leakguard.reports.escape import safe
from leakguard.reports.html import words
from leakguard.reports.html.series import series
from leakguard.reports.html.view import view
from leakguard.reports.model import Report

if typing.TYPE_CHECKING:
    import jinja2

STATIC = Path(__file__).with_name("static")
SCRIPTS = ("vendor/uPlot.iife.min.js", "charts.js")
PAGE_SCRIPTS = ("vendor/uPlot.iife.min.js", "vendor/idiomorph.min.js", "charts.js", "live.js")
STYLES = ("vendor/uPlot.min.css", "page.css")


def render(report: Report) -> str:
    """Return the report as one self-contained HTML document.

    Raises:
        MissingExtraError: without Jinja, which the extra ``html`` brings.
    """
    scripts = [_asset(name) for name in SCRIPTS]
    styles = [_asset(name) for name in STYLES]
    policy = (
        f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes(styles)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return _render("report.html", report, scripts=scripts, styles=styles, policy=policy, note="")


def render_page(report: Report, note: str = "") -> str:
    """Return the same document for the page: it links its scripts and styles and renews itself.

    Args:
        report: from ``model.build``.
        note: a sentence above it.

    Raises:
        MissingExtraError: without Jinja, which the extra ``html`` brings.
    """
    return _render("page.html", report, scripts=PAGE_SCRIPTS, styles=STYLES, now=time.time(), note=note)


def _render(template: str, report: Report, **more: object) -> str:
    return _environment().get_template(template).render(report=report, view=view(report), series=series(report), **more)


@functools.cache
def _asset(name: str) -> str:
    return STATIC.joinpath(name).read_text(encoding="utf-8").strip()


def _hashes(texts: list[str]) -> str:
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


@functools.cache
def _environment() -> jinja2.Environment:
    try:
        import jinja2
        import markupsafe
    except ImportError:
        raise MissingExtraError("the HTML report and the page", "Jinja", "html") from None

    def harmless(value: object) -> object:
        # Every string that a template prints passes here, so that none can be forgotten.
        return safe(value) if type(value) is str else value

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(words.FILTERS)
    environment.filters["asset"] = markupsafe.Markup  # our own files, and nothing else
    return environment
