"""A ready test for a finding: a command that drives the app, and a pytest test to keep."""

from __future__ import annotations

import re
import shlex

from leakguard.records import Finding

_PARAMETER = re.compile(r"\{[^}]*\}|<[^>]*>")
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
DEFAULT_TARGET = "app:app"


def command(finding: Finding, target: str | None, journal: str | None = None) -> str:
    """Return the command that drives the app in a process of its own and says whether the finding comes again.

    Args:
        finding: what to reproduce.
        target: the app as its server named it; ``app:app`` where that is not known.
        journal: the path of the journal that remembers it, unless it is the usual one.
    """
    words = ["leakguard", "check", target or DEFAULT_TARGET]
    request = _request(finding)
    if request is not None:
        words += ["--path", " ".join(request)]
    if finding.error is not None:
        words += ["--errors-expected"]
    words += ["--finding", finding.fingerprint]
    words += ["--journal", journal] if journal else []
    return shlex.join(words)


def test(finding: Finding, target: str | None) -> list[str]:
    """Return the lines of a pytest test that fails as long as the finding is there, for the fixture ``leakguard``."""
    request = _request(finding)
    if request is None:
        return _of_function(finding)
    module, _, attribute = (target or DEFAULT_TARGET).partition(":")
    made = attribute.endswith(")")
    attribute = attribute.partition("(")[0]
    if not _NAME.fullmatch(module) or not _NAME.fullmatch(attribute):
        module, attribute, made = "app", "app", False
    head, _, rest = attribute.partition(".")
    app = f"{head}{'.' + rest if rest else ''}{'()' if made else ''}"
    method, path = request
    body = ", json={}" if method in {"POST", "PUT", "PATCH"} else ""
    lines = [
        "from starlette.testclient import TestClient  # FastAPI too; Flask: app.test_client(); Django: Client()",
        "",
        f"from {module} import {head}",
        "",
        "",
        f"def test_{_slug(finding.route or '')}_does_not_leak(leakguard):",
    ]
    quiet = ", raise_server_exceptions=False" if finding.error is not None else ""
    lines.append(f"    client = TestClient({app}{quiet})")
    if finding.error is not None:
        lines.append(f"    # Send what makes it raise {_comment(finding.error)}.")
    expected = ", status=500" if finding.error is not None else ""
    call = f'leakguard.assert_client_does_not_leak(client, "{method}", {_literal(path)}{expected}{body})'
    return [*lines, f"    {call}"]


def _of_function(finding: Finding) -> list[str]:
    """Return a test of the function that allocated, for a finding that belongs to no single route."""
    site = finding.site
    function = site.function.rpartition(".")[2] if site is not None else ""
    module = (site.file.removesuffix(".py").replace("/", ".") if site is not None else "").removesuffix(".__init__")
    if not _NAME.fullmatch(module) or not _NAME.fullmatch(function):
        module, function = "app", "work"
    return [
        f"from {module} import {function}",
        "",
        "",
        f"def test_{function}_does_not_leak(leakguard):",
        f"    leakguard.assert_no_leaks(lambda: {function}())  # with the arguments that requests give it",
    ]


def _request(finding: Finding) -> tuple[str, str] | None:
    """Return method and path of the finding's route, parameters filled with 1; ``None`` when it names no single path."""
    method, _, path = (finding.route or "").partition(" ")
    if method not in _METHODS or not path.startswith("/"):
        return None
    return method, _PARAMETER.sub("1", path)


def _slug(route: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", route.lower()).strip("_")
    return words[:50].rstrip("_")


def _literal(text: str) -> str:
    """Return a string literal: ASCII, so that a hostile path is only text."""
    literal = ascii(text)
    return f'"{literal[1:-1]}"' if '"' not in literal and literal.startswith("'") else literal


def _comment(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
