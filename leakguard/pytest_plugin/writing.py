"""The reports that a run of pytest writes, in the formats of ``leakguard report``."""

from __future__ import annotations

import time
import typing
from pathlib import Path

import pytest

if typing.TYPE_CHECKING:
    from collections.abc import Sequence

    from leakguard.records import Finding
    from leakguard.reports.model import Report

_ON_TERMINAL = frozenset({"github", "text", "markdown"})
_IN_JUNITXML = "junit"


def targets(config: pytest.Config) -> list[tuple[str, Path | None]]:
    """Return the formats that are asked for, each with its file; ``None`` stands for the terminal, or for ``--junitxml``.

    Raises:
        UsageError: a format that there is not, or one without the file that it needs.
    """
    from leakguard.reports.formats import FORMATS

    found: list[tuple[str, Path | None]] = []
    for wanted in config.getoption("--leakguard-report"):
        name, _, file = wanted.partition("=")
        if name not in FORMATS:
            raise pytest.UsageError(
                f"leakguard: '--leakguard-report' must be one of {', '.join(sorted(FORMATS))} (got {wanted!r}); "
                "for example --leakguard-report json=leaks.json"
            )
        if not file and name == _IN_JUNITXML and not config.getoption("xmlpath", None):
            raise pytest.UsageError(
                "leakguard: '--leakguard-report junit' needs --junitxml=FILE, into which it writes properties; for a file of "
                "its own: --leakguard-report junit=FILE"
            )
        if not file and name not in _ON_TERMINAL | {_IN_JUNITXML}:
            raise pytest.UsageError(
                f"leakguard: '--leakguard-report {name}' needs a file; --leakguard-report {name}=leaks.{name}"
            )
        found.append((name, Path(file) if file else None))
    return found


def write(config: pytest.Config, found: Sequence[tuple[str, Finding]]) -> list[str]:
    """Write the reports and return a line for each that went to a file, or the text of those for the terminal."""
    from leakguard.reports.formats import FORMATS, Look

    report = reported([finding for _, finding in found])
    lines: list[str] = []
    for name, path in targets(config):
        if path is None:
            if name != _IN_JUNITXML:
                lines.append(FORMATS[name].render(report, Look()))
            continue
        text = FORMATS[name].render(report, Look())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
            lines.append(f"wrote {path}")
        except OSError as error:
            lines.append(f"could not write {path}: {error.strerror}")
    return lines


def reported(findings: Sequence[Finding]) -> Report:
    """Return the report of a test run: its findings, the same leak of several tests once, and no requests or workers."""
    import dataclasses
    import platform

    from leakguard.detection.finding import join
    from leakguard.journal.story import Story
    from leakguard.records import Kind, Verdict
    from leakguard.reports.model import build

    now = time.time()
    report = build(Story(path="", since=None, findings=join(findings)), now)
    verdict = report.verdict
    if not any(finding for finding in findings if not finding.accepted):
        verdict = Verdict(Kind.STEADY, ("no leak test of this run found one",))
    return dataclasses.replace(report, target="pytest", python=platform.python_version(), verdict=verdict)
